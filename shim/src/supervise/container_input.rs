//! What goes into the container: its standard input, a pipe or its terminal.

use std::os::fd::OwnedFd;

use anyhow::Result;
use rustix::io::Errno;

use super::{Interest, Poller, Token};

/// The writing end of the container's standard input, if it has one that is still open.
#[derive(Debug)]
pub struct ContainerInput {
    fd: Option<OwnedFd>,
    is_terminal: bool,
    watched: bool,
}

impl ContainerInput {
    pub(super) fn new(fd: Option<OwnedFd>, is_terminal: bool) -> Self {
        ContainerInput {
            fd,
            is_terminal,
            watched: false,
        }
    }

    /// Writes what the container takes without waiting and returns how much that was. If it was
    /// not all, [`super::Front::input_wanted`] says when to go on. What nobody will ever read
    /// counts as written.
    pub fn write(&mut self, bytes: &[u8], poller: &Poller) -> Result<usize> {
        let Some(fd) = &self.fd else {
            return Ok(bytes.len());
        };
        let mut written = 0;
        while written < bytes.len() {
            match rustix::io::write(fd, &bytes[written..]) {
                Ok(count) => written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    if !self.watched {
                        poller.add(fd, Token::STDIN, Interest::OUT)?;
                        self.watched = true;
                    }
                    return Ok(written);
                }
                // EPIPE: the container has closed its standard input; EIO: its terminal is gone.
                Err(_) => {
                    self.shut(poller)?;
                    return Ok(bytes.len());
                }
            }
        }
        Ok(written)
    }

    /// Ends the container's standard input. A terminal has no end of file, so there it does
    /// nothing.
    pub fn close(&mut self, poller: &Poller) -> Result<()> {
        if self.is_terminal {
            Ok(())
        } else {
            self.shut(poller)
        }
    }

    /// Writing is possible again: stops watching for that.
    pub(super) fn writable(&mut self, poller: &Poller) -> Result<()> {
        if let Some(fd) = self.fd.as_ref().filter(|_| self.watched) {
            poller.remove(fd)?;
            self.watched = false;
        }
        Ok(())
    }

    /// Nobody is there to read it any more.
    pub(super) fn shut(&mut self, poller: &Poller) -> Result<()> {
        self.writable(poller)?;
        self.fd = None;
        Ok(())
    }
}
