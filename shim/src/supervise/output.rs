//! What comes out of the container: one stream, moved in turns to where it belongs.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use super::poller::{Interest, Part, Poller, Token};
use super::transfer::{Moved, Transfer};
use super::{Front, Log, ProcessKey, Source};

/// How much is read at a time, in bytes.
const READ_SIZE: usize = 128 * 1024;
/// How much a pipe holds, in bytes (pipe(7)), and how much while more comes than that: every time that
/// one is full, the container sleeps and has to be woken.
const PIPE_SIZE: usize = 64 * 1024;
const WIDE_PIPE_SIZE: usize = 256 * 1024;
/// How many times one stream is read before others get their turn.
const READS_PER_TURN: usize = 16;
/// How long to wait before writing again to a file that refused (a full disk), and before reading a stream
/// that the kernel won't watch.
const RETRY: Duration = Duration::from_millis(500);

/// One of the container's output streams.
#[derive(Debug)]
pub(super) struct OutputStream {
    key: ProcessKey,
    pub(super) source: Source,
    fd: OwnedFd,
    target: Target,
    watched: Watched,
    /// When it is to be tried anyway, since the kernel won't watch it.
    unwatched_until: Option<Instant>,
    /// Whether its pipe was made wider, or is none.
    wide: bool,
    /// Bytes read since the container's exit was known.
    read_after_exit: usize,
    /// The beginning of a line whose next bytes were there already when a turn ended.
    begun_line: Vec<u8>,
}

#[derive(Debug)]
enum Target {
    /// The log, and the front.
    Front,
    /// A descriptor, untouched.
    Sink(Sink),
}

#[derive(Debug)]
struct Sink {
    fd: OwnedFd,
    transfer: Transfer,
    state: Room,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    /// It took all that there was.
    Some,
    /// It takes nothing now.
    None,
    /// It failed, and will be tried again then.
    After(Instant),
    /// Nobody will ever read it: what comes is dropped, so that the container can go on.
    Gone,
}

/// Which of the descriptors the poller watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watched {
    Neither,
    Stream,
    Sink,
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
    /// `fd` and `sink` don't block. Without a sink the log and the front get the bytes.
    pub(super) fn new(key: ProcessKey, source: Source, fd: OwnedFd, sink: Option<OwnedFd>) -> Self {
        let target = match sink {
            None => Target::Front,
            Some(sink) => Target::Sink(Sink {
                transfer: Transfer::between(&fd, &sink),
                fd: sink,
                state: Room::Some,
            }),
        };
        OutputStream {
            key,
            source,
            fd,
            target,
            watched: Watched::Neither,
            unwatched_until: None,
            wide: false,
            read_after_exit: 0,
            begun_line: Vec::new(),
        }
    }

    /// Whether its bytes come through the log and the front.
    pub(super) fn is_for_front(&self) -> bool {
        matches!(self.target, Target::Front)
    }

    /// Has the poller watch what the stream waits for: bytes, if they may flow, or room for them. Where it
    /// can't (`ENOSPC`: fs.epoll.max_user_watches; `ENOMEM`) the stream is slow, and no other is the worse for it.
    pub(super) fn set_watched(&mut self, flowing: bool, poller: &Poller) -> Result<()> {
        let wanted = match &self.target {
            _ if !flowing => Watched::Neither,
            Target::Front => Watched::Stream,
            Target::Sink(sink) => match sink.state {
                Room::Some | Room::Gone => Watched::Stream,
                Room::None => Watched::Sink,
                Room::After(_) => Watched::Neither,
            },
        };
        if wanted == Watched::Neither {
            self.unwatched_until = None;
        }
        if wanted == self.watched {
            return Ok(());
        }
        match (self.watched, &self.target) {
            (Watched::Stream, _) => poller.remove(&self.fd)?,
            (Watched::Sink, Target::Sink(sink)) => poller.remove(&sink.fd)?,
            _ => {}
        }
        self.watched = Watched::Neither;
        let (stream, room) = match self.source {
            Source::Stdout => (Part::Stdout, Part::StdoutSink),
            Source::Stderr => (Part::Stderr, Part::StderrSink),
        };
        let added = match (wanted, &self.target) {
            (Watched::Stream, _) => {
                poller.add(&self.fd, Token::of_core(self.key.0, stream), Interest::IN)
            }
            (Watched::Sink, Target::Sink(sink)) => {
                poller.add(&sink.fd, Token::of_core(self.key.0, room), Interest::OUT)
            }
            _ => Ok(()),
        };
        if added.is_ok() {
            self.watched = wanted;
            self.unwatched_until = None;
        } else {
            let soon = Instant::now() + RETRY;
            self.unwatched_until.get_or_insert(soon);
        }
        Ok(())
    }

    /// When a sink that has failed, or a stream that can't be watched, is due to be tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        let sink = match &self.target {
            Target::Sink(Sink {
                state: Room::After(due),
                ..
            }) => Some(*due),
            _ => None,
        };
        sink.into_iter().chain(self.unwatched_until).min()
    }

    /// Reads until the stream is empty, has ended, has had its turn, or someone can't keep up; also
    /// says how many bytes that were.
    pub(super) fn turn(
        &mut self,
        buffer: &mut Vec<u8>,
        log: Option<&mut Log>,
        front: &mut impl Front,
        poller: &Poller,
    ) -> Result<(usize, Turn)> {
        self.unwatched_until = None;
        let (count, turn) = match &mut self.target {
            Target::Front => self.read_turn(buffer, log, front, poller)?,
            Target::Sink(sink) => {
                let (count, moved) = if sink.state == Room::Gone {
                    drop_piece(&self.fd, buffer)
                } else {
                    sink.transfer.run(self.fd.as_fd(), sink.fd.as_fd())
                };
                (count, sink.note(moved))
            }
        };
        self.read_after_exit += count;
        Ok((count, turn))
    }

    /// Bytes go to the log first and then to the front.
    fn read_turn(
        &mut self,
        buffer: &mut Vec<u8>,
        mut log: Option<&mut Log>,
        front: &mut impl Front,
        poller: &Poller,
    ) -> Result<(usize, Turn)> {
        buffer.clear();
        buffer.reserve_exact(READ_SIZE);
        buffer.append(&mut self.begun_line);
        let mut total = 0;
        let mut turn = Turn::Paused;
        let mut failure = None;
        for _ in 0..READS_PER_TURN {
            // The beginning of a line whose end hadn't come yet.
            let kept = buffer.len();
            let read = match rustix::io::read(self.fd.as_fd(), spare_capacity(buffer)) {
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
                Err(errno) => {
                    failure = Some(errno);
                    break;
                }
            };
            total += read;
            if read > PIPE_SIZE / 2 && !self.wide {
                self.widen();
            }
            if let Some(log) = log.as_deref_mut() {
                let left = log.write_lines(self.source, buffer);
                front.output(self.key, self.source, &buffer[kept..], poller)?;
                buffer.drain(..buffer.len() - left);
                if log.stuck() {
                    break;
                }
            } else {
                front.output(self.key, self.source, buffer, poller)?;
                buffer.clear();
            }
            if front.holds_back(self.key) {
                break;
            }
        }
        if let Some(log) = log {
            // What stands in the stream behind it is as late, so nobody misses it: a prompt is the
            // last of what is there.
            if turn == Turn::Paused && failure.is_none() && self.has_more() {
                self.begun_line = buffer.as_slice().to_vec();
            } else {
                log.pause(self.source, buffer);
            }
        }
        match failure {
            Some(errno) => Err(errno.into()),
            None => Ok((total, turn)),
        }
    }

    fn has_more(&self) -> bool {
        rustix::io::ioctl_fionread(&self.fd).is_ok_and(|count| count > 0)
    }

    /// The beginning of a line that the log hasn't got yet, if the stream is read no further.
    pub(super) fn take_begun_line(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.begun_line)
    }

    /// Where that fails (the user's pipes are too large already, it is a terminal) it stays as it is.
    fn widen(&mut self) {
        let _ = rustix::pipe::fcntl_setpipe_size(&self.fd, WIDE_PIPE_SIZE);
        self.wide = true;
    }

    /// Nothing has come for a while: others may need what the kernel allows for pipes.
    pub(super) fn narrow(&mut self) {
        if std::mem::take(&mut self.wide) {
            let _ = rustix::pipe::fcntl_setpipe_size(&self.fd, PIPE_SIZE);
        }
    }

    /// From now on it counts how much is read.
    pub(super) fn note_exit(&mut self) {
        self.read_after_exit = 0;
    }

    /// Whether all has been read that can have been written before the container's exit: what
    /// someone else writes who still holds the stream comes behind that.
    pub(super) fn exhausted(&self) -> bool {
        let capacity = rustix::pipe::fcntl_getpipe_size(&self.fd).unwrap_or(PIPE_SIZE);
        self.read_after_exit >= capacity
    }

    /// Whether its sink takes nothing now.
    pub(super) fn is_held_back(&self) -> bool {
        matches!(
            &self.target,
            Target::Sink(Sink {
                state: Room::None | Room::After(_),
                ..
            })
        )
    }
}

impl Sink {
    fn note(&mut self, moved: Moved) -> Turn {
        let (state, turn) = match moved {
            Moved::Ended => (Room::Some, Turn::Ended),
            Moved::Empty => (Room::Some, Turn::Empty),
            Moved::Paused => (Room::Some, Turn::Paused),
            Moved::Full => (Room::None, Turn::Paused),
            // Nobody will ever read it.
            Moved::Refused(Errno::PIPE) => (Room::Gone, Turn::Paused),
            // A full disk, a file server that is away.
            Moved::Refused(_) => (Room::After(Instant::now() + RETRY), Turn::Paused),
        };
        if self.state != Room::Gone {
            self.state = state;
        }
        turn
    }
}

/// Reads a piece that nobody wants.
fn drop_piece(fd: &OwnedFd, buffer: &mut Vec<u8>) -> (usize, Moved) {
    buffer.clear();
    buffer.reserve_exact(READ_SIZE);
    match rustix::io::read(fd, spare_capacity(buffer)) {
        Ok(0) | Err(Errno::IO) => (0, Moved::Ended),
        Ok(count) => (count, Moved::Paused),
        Err(Errno::INTR) => (0, Moved::Paused),
        Err(Errno::AGAIN) => (0, Moved::Empty),
        Err(_) => (0, Moved::Ended),
    }
}
