//! This program around a call of the runtime, whose system calls it follows:
//!
//! - `kill`: ends a process of the runtime at one of its calls
//! - `resctrl`: shows the runtime a resctrl file system that the host doesn't have
//!
//! It is a process of its own: when it ends, the kernel lets go of what it still follows, so that
//! a container goes on as if nobody had watched.

mod kill;
mod memory;
mod resctrl;

use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::sys::trace::{self, At, Event};

pub use kill::Killed;
pub use resctrl::{Imitation, NOT_LOOKED};

/// Who is told of each system call.
trait Follower {
    /// A thread is about to make a call.
    fn before(&mut self, thread: i32, number: i64, arguments: [u64; 6]) -> io::Result<()>;
    /// It has made it.
    fn after(&mut self, thread: i32, value: i64) -> io::Result<()>;
}

/// `tracer kill N FILE PROGRAM [WORD]...` and `tracer resctrl DIR PROGRAM [WORD]...`: the exit
/// status is the program's.
pub fn main(words: &[String]) -> ExitCode {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let status = match words.as_slice() {
        ["kill", number, file, program @ ..] => number
            .parse()
            .map_err(io::Error::other)
            .and_then(|number| kill::follow(number, Path::new(file), program)),
        ["resctrl", directory, program @ ..] => resctrl::follow(Path::new(directory), program),
        _ => Err(io::Error::other("unknown words")),
    };
    match status {
        Ok(status) => ExitCode::from(u8::try_from(status).unwrap_or(255)),
        Err(error) => {
            eprintln!("tracer: {error}");
            ExitCode::from(125)
        }
    }
}

/// Starts the program and follows it to its end, which its children may outlive; returns its exit
/// status as a shell says it.
fn follow(program: &[&str], follower: &mut dyn Follower) -> io::Result<i32> {
    let (name, words) = program
        .split_first()
        .ok_or_else(|| io::Error::other("no program"))?;
    let mut command = Command::new(name);
    command.args(words);
    trace::trace_me(&mut command);
    let child = command.spawn()?;
    let main = i32::try_from(child.id()).map_err(io::Error::other)?;
    // The stop behind exec.
    trace::next()?;
    trace::follow(main)?;
    loop {
        let (thread, event) = trace::next()?;
        let mut signal = 0;
        match event {
            Event::Ended(status) if thread == main => return Ok(status),
            Event::Ended(_) => continue,
            Event::Signal(other) => signal = other,
            Event::Other => {}
            Event::Call => match alive(trace::call(thread))?.flatten() {
                Some(At::Entry { number, arguments }) => {
                    alive(follower.before(thread, number, arguments))?;
                }
                Some(At::Exit { value }) => {
                    alive(follower.after(thread, value))?;
                }
                None => {}
            },
        }
        alive(trace::go_on(thread, signal))?;
    }
}

/// A thread that was killed while it was stopped is no error: its end is told next.
fn alive<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        other => other.map(Some),
    }
}
