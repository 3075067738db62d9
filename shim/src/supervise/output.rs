//! What comes out of the container: one stream, read in turns.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::Result;
use rustix::io::Errno;

use super::{Front, Interest, LogFile, Poller, Source, Token};

/// How much is read at a time, in bytes: what a pipe holds (pipe(7)).
pub(super) const READ_SIZE: usize = 64 * 1024;
/// How many times one stream is read before others get their turn.
const READS_PER_TURN: usize = 16;

/// One of the container's output streams.
#[derive(Debug)]
pub(super) struct OutputStream {
    pub(super) source: Source,
    pub(super) fd: OwnedFd,
    watched: bool,
    /// Bytes read since the container's exit was known.
    read_after_exit: usize,
}

/// Why a turn of reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The stream has ended: nobody holds its other end.
    Ended,
    /// All that was there has been read.
    Empty,
    /// There may be more.
    Paused,
}

impl OutputStream {
    pub(super) fn new(source: Source, fd: OwnedFd) -> Self {
        OutputStream {
            source,
            fd,
            watched: false,
            read_after_exit: 0,
        }
    }

    pub(super) fn token(&self) -> Token {
        match self.source {
            Source::Stdout => Token::STDOUT,
            Source::Stderr => Token::STDERR,
        }
    }

    /// Has the poller watch the stream, or not.
    pub(super) fn set_watched(&mut self, watched: bool, poller: &Poller) -> Result<()> {
        if watched != self.watched {
            if watched {
                poller.add(&self.fd, self.token(), Interest::IN)?;
            } else {
                poller.remove(&self.fd)?;
            }
            self.watched = watched;
        }
        Ok(())
    }

    /// Reads until the stream is empty, has ended, has had its turn, or someone can't keep up.
    /// Bytes go to the log first and then to the front.
    pub(super) fn read_turn(
        &mut self,
        buffer: &mut [u8],
        mut log: Option<&mut LogFile>,
        front: &mut impl Front,
        poller: &Poller,
    ) -> Result<Turn> {
        // The beginning of a line whose end hasn't come yet, at the start of the buffer.
        let mut kept = 0;
        let mut turn = Turn::Paused;
        for _ in 0..READS_PER_TURN {
            let read = match rustix::io::read(self.fd.as_fd(), &mut buffer[kept..]) {
                Ok(0) | Err(Errno::IO) => {
                    turn = Turn::Ended;
                    break;
                }
                Ok(read) => read,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => {
                    turn = Turn::Empty;
                    break;
                }
                Err(errno) => return Err(errno.into()),
            };
            self.read_after_exit += read;
            let filled = kept + read;
            if let Some(log) = log.as_deref_mut() {
                let left = log.write_lines(self.source, &buffer[..filled]);
                front.output(self.source, &buffer[kept..filled], poller)?;
                buffer.copy_within(filled - left..filled, 0);
                kept = left;
                if log.stuck() {
                    break;
                }
            } else {
                front.output(self.source, &buffer[..filled], poller)?;
            }
            if front.holds_back() {
                break;
            }
        }
        if let Some(log) = log {
            log.write_partial(self.source, &buffer[..kept]);
        }
        Ok(turn)
    }

    /// From now on it counts how much is read.
    pub(super) fn note_exit(&mut self) {
        self.read_after_exit = 0;
    }

    /// Whether all has been read that can have been written before the container's exit: what
    /// someone else writes who still holds the stream comes behind that.
    pub(super) fn exhausted(&self) -> bool {
        let capacity = rustix::pipe::fcntl_getpipe_size(&self.fd).unwrap_or(READ_SIZE);
        self.read_after_exit >= capacity
    }
}
