//! What goes into the container: its standard input, a pipe or its terminal, fed by the front or
//! from a descriptor.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::Result;
use rustix::io::Errno;

use super::poller::{Interest, Part, Poller, Token};
use super::transfer::{Moved, Transfer};

/// The writing end of the container's standard input, if it has one that is still open.
#[derive(Debug)]
pub struct ContainerInput {
    key: u32,
    fd: Option<OwnedFd>,
    is_terminal: bool,
    /// Waiting for the container to take more.
    watched: bool,
    source: Option<Source>,
}

/// Where the bytes come from, where it isn't the front that writes them.
#[derive(Debug)]
struct Source {
    fd: OwnedFd,
    transfer: Transfer,
    watched: bool,
}

impl ContainerInput {
    pub(super) fn new(key: u32, fd: Option<OwnedFd>, is_terminal: bool) -> Self {
        ContainerInput {
            key,
            fd,
            is_terminal,
            watched: false,
            source: None,
        }
    }

    /// From now on what comes out of `source` (which doesn't block) goes in, until its end.
    pub(super) fn feed_from(&mut self, source: OwnedFd, poller: &Poller) -> Result<()> {
        let Some(fd) = &self.fd else {
            return Ok(());
        };
        let mut source = Source {
            transfer: Transfer::between(&source, fd),
            fd: source,
            watched: false,
        };
        source.set_watched(true, self.key, poller)?;
        self.source = Some(source);
        Ok(())
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
                    self.watch_for_room(poller)?;
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
            self.forget_source(poller)
        } else {
            self.shut(poller)
        }
    }

    /// The source has something, or the container takes more: moves what can be moved. False
    /// without a source: then it is the front's turn.
    pub(super) fn feed(&mut self, poller: &Poller) -> Result<bool> {
        self.no_longer_waiting(poller)?;
        let (Some(fd), Some(source)) = (&self.fd, &mut self.source) else {
            return Ok(false);
        };
        match source.transfer.run(source.fd.as_fd(), fd.as_fd()) {
            (_, Moved::Empty | Moved::Paused) => source.set_watched(true, self.key, poller)?,
            (_, Moved::Full) => {
                source.set_watched(false, self.key, poller)?;
                self.watch_for_room(poller)?;
            }
            (_, Moved::Ended) => {
                self.forget_source(poller)?;
                self.close(poller)?;
            }
            (_, Moved::Refused(_)) => self.shut(poller)?,
        }
        Ok(true)
    }

    fn watch_for_room(&mut self, poller: &Poller) -> Result<()> {
        if let Some(fd) = self.fd.as_ref().filter(|_| !self.watched) {
            poller.add(fd, Token::of_core(self.key, Part::Input), Interest::OUT)?;
            self.watched = true;
        }
        Ok(())
    }

    fn no_longer_waiting(&mut self, poller: &Poller) -> Result<()> {
        if let Some(fd) = self.fd.as_ref().filter(|_| self.watched) {
            poller.remove(fd)?;
            self.watched = false;
        }
        Ok(())
    }

    fn forget_source(&mut self, poller: &Poller) -> Result<()> {
        if let Some(mut source) = self.source.take() {
            source.set_watched(false, self.key, poller)?;
        }
        Ok(())
    }

    /// Nobody is there to read it any more.
    pub(super) fn shut(&mut self, poller: &Poller) -> Result<()> {
        self.no_longer_waiting(poller)?;
        self.forget_source(poller)?;
        self.fd = None;
        Ok(())
    }
}

impl Source {
    fn set_watched(&mut self, watched: bool, key: u32, poller: &Poller) -> Result<()> {
        if watched && !self.watched {
            poller.add(
                &self.fd,
                Token::of_core(key, Part::InputSource),
                Interest::IN,
            )?;
        } else if !watched && self.watched {
            poller.remove(&self.fd)?;
        }
        self.watched = watched;
        Ok(())
    }
}
