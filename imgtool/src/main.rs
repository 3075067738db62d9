//! windlass-img: gets, makes and keeps OCI images, and unpacks their layers into an OCI bundle.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::Parser;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use windlass_img::cli::CommandLine;
use windlass_img::sys::signal::{self, Interrupted};
use windlass_img::warnings;

/// musl's own allocator gives large buffers back to the kernel each time, and is slow with threads.
#[cfg(target_env = "musl")]
#[global_allocator]
static HEAP: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    let error = match CommandLine::parse_from(arguments()).run() {
        Ok(()) => return ExitCode::SUCCESS,
        Err(error) => error,
    };
    let broken_pipe = |cause: &(dyn std::error::Error + 'static)| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    // Whoever read our output has seen enough.
    if error.chain().any(broken_pipe) && nobody_reads_stdout() {
        return ExitCode::SUCCESS;
    }
    // A signal shows in many ways (EINTR among them); this is what it was.
    if let Err(interrupted) = signal::check() {
        warnings::tell(&interrupted.to_string());
        let Interrupted(number) = interrupted;
        // The shell's way to say "ended by this signal".
        return ExitCode::from(128 + u8::try_from(number).unwrap_or(0));
    }
    warnings::tell(&format!("{error:#}"));
    ExitCode::FAILURE
}

/// The command line, with `help VERB` as `VERB --help`: people type both.
fn arguments() -> Vec<OsString> {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|verb| verb == "help") {
        arguments.remove(1);
        arguments.push("--help".into());
    }
    arguments
}

/// Whether stdout is a pipe that nobody reads any more: the pipe that broke may also be another.
fn nobody_reads_stdout() -> bool {
    let stdout = io::stdout();
    let mut stdout = [PollFd::new(&stdout, PollFlags::empty())];
    // poll(2) tells of POLLERR whatever was asked for.
    let told = poll(&mut stdout, Some(&Timespec::default()));
    told.is_ok() && stdout[0].revents().contains(PollFlags::ERR)
}
