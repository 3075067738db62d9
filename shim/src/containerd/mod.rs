//! The front for containerd: its shim v2 contract (`docs/runtime-v2.md` in containerd's repository).
//!
//! Containerd calls the program with `start` for each container, and with `delete` when something
//! went wrong; in between it talks to the process that `start` has left, by ttrpc.

mod command_line;
mod daemon;
mod delete;
mod events;
mod info;
mod log;
mod messages;
mod metrics;
mod rootfs;
mod runtime_choice;
mod service;
mod settings;
mod start;
mod stdio;
mod task_socket;
mod ttrpc;

use std::io::Write;

use anyhow::Result;

use self::command_line::{Action, CommandLine};
use self::runtime_choice::called_as;
use crate::sys::argv;

/// Whether a program of this name is containerd's shim.
pub fn is_name_of_shim(program: &str) -> bool {
    program.starts_with("containerd-shim-")
}

/// Does what containerd asks for on the command line; returns the exit status.
pub fn main() -> u8 {
    let program = called_as();
    match carry_out(&program) {
        Ok(()) => 0,
        Err(error) => {
            // Containerd puts this into its own error.
            let _ = writeln!(std::io::stderr(), "{program}: {error:#}");
            1
        }
    }
}

fn carry_out(program: &str) -> Result<()> {
    let line = CommandLine::parse(argv::words().iter().skip(1).cloned())?;
    match line.action {
        Action::Version => print(&info::version(program)),
        Action::Help => print(&command_line::help(program)),
        Action::Info => return info::info(program),
        Action::Start => return start::start(line),
        Action::Delete => return delete::delete(program, line),
        Action::Serve => return daemon::serve(program, line, None),
    }
    Ok(())
}

fn print(text: &str) {
    // A closed pipe is no failure.
    let _ = std::io::stdout().write_all(text.as_bytes());
}
