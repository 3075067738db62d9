//! The person's side of a terminal: raw mode and size, and writing to wherever our standard output
//! leads without ever waiting for it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::SendFlags;
use rustix::stdio::stdin;
use rustix::termios::{
    OptionalActions, Termios, Winsize, isatty, tcgetattr, tcgetwinsize, tcsetattr,
};

/// The size of the terminal that our standard input is, if it is one.
pub fn size_of_stdin() -> Option<Winsize> {
    tcgetwinsize(stdin()).ok()
}

/// Our standard input in raw mode, until this is dropped.
#[derive(Debug)]
pub(super) struct RawTerminal(Termios);

impl RawTerminal {
    /// Puts the terminal into raw mode: every key goes to the container. None without a terminal.
    pub(super) fn enter() -> Result<Option<Self>> {
        if !isatty(stdin()) {
            return Ok(None);
        }
        let before = tcgetattr(stdin()).context("tcgetattr(stdin)")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).context("tcsetattr(stdin)")?;
        Ok(Some(RawTerminal(before)))
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        // The terminal may be gone, and then there is nothing to restore.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}

/// One of our own output streams.
#[derive(Debug)]
pub(super) struct Output {
    fd: OwnedFd,
    is_socket: bool,
    pending: Vec<u8>,
    broken: bool,
}

impl Output {
    /// Opens pipes and terminals a second time, so that they can be non-blocking for us and stay as
    /// they are for those we share them with.
    pub(super) fn open(fd: BorrowedFd<'_>) -> Result<Self> {
        let kind = rustix::fs::fstat(fd).map(|stat| FileType::from_raw_mode(stat.st_mode));
        let reopen = kind == Ok(FileType::Fifo) || isatty(fd);
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let number = std::os::fd::AsRawFd::as_raw_fd(&fd);
        let path = format!("/proc/self/fd/{number}");
        let own = reopen
            .then(|| rustix::fs::open(path, flags, Mode::empty()).ok())
            .flatten();
        let fd = match own {
            Some(own) => own,
            // A regular file never makes us wait; of a terminal that isn't ours we have to bear it.
            None => rustix::io::fcntl_dupfd_cloexec(fd, 3).context("dup")?,
        };
        let is_socket = kind == Ok(FileType::Socket);
        Ok(Output {
            fd,
            is_socket,
            pending: Vec::new(),
            broken: false,
        })
    }

    /// Takes `bytes`, and writes what can be written without waiting.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        if !self.broken {
            self.pending.extend_from_slice(bytes);
            self.flush();
        }
    }

    /// Writes what waits. If nobody will ever read it (a closed pipe), it is dropped.
    pub(super) fn flush(&mut self) {
        let mut written = 0;
        while written < self.pending.len() {
            let rest = &self.pending[written..];
            let outcome = if self.is_socket {
                rustix::net::send(&self.fd, rest, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)
            } else {
                rustix::io::write(&self.fd, rest)
            };
            match outcome {
                Ok(count) => written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    self.broken = true;
                    written = self.pending.len();
                }
            }
        }
        self.pending.drain(..written);
    }

    pub(super) fn is_behind(&self) -> bool {
        !self.pending.is_empty()
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
