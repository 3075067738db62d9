//! The core: has a runtime make containers and processes in them, owns their standard streams,
//! writes their logs, and knows how they ended. It knows nothing of who asked for that: whoever
//! wants output as it comes, or has input to give, is a [`Front`].
//!
//! One thread, one [`Poller`], any number of processes, and nothing that blocks: the runtime is a
//! child like any other. Every process is watched by its pidfd. Output is read only as fast as
//! the log (and a front that asks for it, or the pipe that it goes into) takes it; a container that
//! writes faster is held back by its full pipe, as it would be by `cat`. No byte is dropped.

mod birth;
mod call;
mod console;
mod container_input;
mod front;
pub mod log;
pub mod oom;
mod output;
mod poller;
mod process;
mod runtime;
mod supervisor;
#[cfg(test)]
mod tests;
mod transfer;

use jiff::Timestamp;

pub use self::birth::{Birth, Born, Descent, Input, Output, Refusal};
pub use self::call::{Failure, Said};
pub use self::container_input::ContainerInput;
pub use self::front::Front;
pub use self::log::Log;
pub use self::oom::{News, OomWatch};
pub use self::poller::{Event, Interest, Poller, Token};
pub use self::runtime::{PATIENCE, Runtime, absolute, find as find_runtime};
pub use self::supervisor::{Handle, Supervisor};

/// A process that is supervised, or is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProcessKey(u32);

/// A call of the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallKey(u32);

/// Which of a process's streams bytes came from. A terminal has only one, stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Descriptor 1, or the terminal.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

impl Source {
    /// The stream's name in a k8s-file log.
    pub fn name(self) -> &'static str {
        match self {
            Source::Stdout => "stdout",
            Source::Stderr => "stderr",
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Its exit status, or 128 + the signal that ended it.
    pub status: i32,
    /// When we learned of it.
    pub at: Timestamp,
}
