//! The core: creates and starts one container through its runtime, owns its standard streams, writes
//! its log, and knows how it ended. It knows nothing of who asked for that: whoever wants output as
//! it comes, or has input to give, is a [`Front`].
//!
//! One thread, one [`Poller`]. The container is watched by its pidfd. Output is read only as fast
//! as the log (and a front that asks for it) takes it; a container that writes faster is held back
//! by its full pipe, as it would be by `cat`. No byte is dropped.

mod console;
mod container_input;
mod create;
mod log;
#[allow(dead_code, reason = "the fronts that report it follow")]
mod oom;
mod output;
mod poller;
mod runtime;
mod watch;

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use anyhow::Result;
use jiff::Timestamp;
use rustix::termios::Winsize;

pub use self::container_input::ContainerInput;
pub use self::create::{Created, create};
pub use self::log::LogFile;
pub use self::poller::{Event, Interest, Poller, Token};
pub use self::runtime::{Runtime, absolute, find as find_runtime};
pub use self::watch::watch;

/// What is to be supervised, and how.
#[derive(Debug)]
pub struct Order<'a> {
    /// Who creates, starts and deletes the container.
    pub runtime: &'a Runtime,
    /// The container's id.
    pub id: &'a str,
    /// The bundle's directory, absolute.
    pub bundle: &'a Path,
    /// A directory of our own, where the runtime can leave the process id and reach the console
    /// socket.
    pub directory: &'a Path,
    /// The standard streams are one terminal (of this size) instead of three pipes.
    pub terminal: Option<Winsize>,
    /// Without a terminal: standard input is a pipe that stays open, instead of `/dev/null`.
    pub stdin: bool,
    /// Leave the stopped container to someone else's `delete`.
    pub keep: bool,
}

/// Which of the container's streams bytes came from. A terminal has only one, stdout.
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

/// How the container's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Its exit status, or 128 + the signal that ended it.
    pub status: i32,
    /// When we learned of it.
    pub at: Timestamp,
}

/// How the supervision ended.
#[derive(Debug)]
pub struct Ending {
    /// How the container did.
    pub exit: Exit,
    /// What went wrong after that (the runtime's `delete`, the last lines of the log), one line
    /// each.
    pub troubles: Vec<String>,
}

/// Why there is no container.
#[derive(Debug)]
pub struct Refusal(pub String);

/// Whoever stands between the core and the outside: takes the output, gives input and signals.
pub trait Front {
    /// Registers the front's own descriptors, with tokens from [`Token::FIRST_OF_FRONT`] on.
    fn register(&mut self, poller: &Poller) -> Result<()>;

    /// One of the front's own descriptors is ready.
    fn ready(&mut self, event: Event, poller: &Poller, container: &mut Handle<'_>) -> Result<()>;

    /// The container takes input again, after [`ContainerInput::write`] had to stop.
    fn input_wanted(&mut self, poller: &Poller, container: &mut Handle<'_>) -> Result<()>;

    /// The container has written `bytes`. They are in the log already (if there is one).
    fn output(&mut self, source: Source, bytes: &[u8], poller: &Poller) -> Result<()>;

    /// The core must not read further output now, because someone who must not miss any of it is
    /// behind.
    fn holds_back(&self) -> bool;

    /// The container's process has ended. Output that it wrote before may still follow.
    fn exited(&mut self, exit: Exit);
}

/// What a front may do to the container.
#[derive(Debug)]
pub struct Handle<'a> {
    /// Its standard input.
    pub input: &'a mut ContainerInput,
    pidfd: BorrowedFd<'a>,
    console: Option<BorrowedFd<'a>>,
}

impl Handle<'_> {
    /// Sends a signal to the container's first process; without effect once that has ended.
    pub fn signal(&self, signal: i32) {
        // ESRCH: it has ended; EINVAL: no such signal. Neither is the supervisor's trouble.
        let _ = crate::sys::pidfd_send_signal(self.pidfd, signal);
    }

    /// Sets the size of the container's terminal, if it has one.
    pub fn resize(&self, size: Winsize) {
        if let Some(console) = self.console {
            let _ = rustix::termios::tcsetwinsize(console, size);
        }
    }
}

/// Where the runtime leaves the process id.
fn pid_file(directory: &Path) -> PathBuf {
    directory.join("init.pid")
}
