//! Bytes from one descriptor to another without looking at them: `splice(2)` between two pipes, so
//! that they never come into our memory, and a copy where one of them is none.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};

/// How much is moved at a time, in bytes: what a pipe holds (pipe(7)).
const PIECE: usize = 64 * 1024;
/// How many pieces are moved before others get their turn.
const PIECES_PER_TURN: usize = 16;

/// A way between two descriptors, with what is on its way.
#[derive(Debug)]
pub(super) struct Transfer {
    by_splice: bool,
    /// Read and not written yet, from `at` on; only without splice.
    pending: Vec<u8>,
    at: usize,
}

/// Why a turn of moving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    /// The source has ended, and all of it has arrived.
    Ended,
    /// All that was there has arrived.
    Empty,
    /// There may be more.
    Paused,
    /// The sink takes no more now.
    Full,
    /// The sink fails. What was on its way is kept, to be tried again.
    Refused(Errno),
}

impl Transfer {
    /// Both descriptors must not block.
    pub(super) fn between(source: impl AsFd, sink: impl AsFd) -> Self {
        let is_pipe = |fd: BorrowedFd<'_>| {
            fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
        };
        Transfer {
            by_splice: is_pipe(source.as_fd()) && is_pipe(sink.as_fd()),
            pending: Vec::new(),
            at: 0,
        }
    }

    /// Moves what can be moved in one turn; also says how many bytes left the source.
    pub(super) fn run(&mut self, source: BorrowedFd<'_>, sink: BorrowedFd<'_>) -> (usize, Moved) {
        let mut moved = 0;
        for _ in 0..PIECES_PER_TURN {
            let outcome = if self.by_splice {
                splice_piece(source, sink)
            } else {
                self.copy_piece(source, sink)
            };
            match outcome {
                Ok(count) => moved += count,
                Err(Errno::INTR) => {}
                Err(end) => return (moved, self.why(end, sink)),
            }
        }
        self.release();
        (moved, Moved::Paused)
    }

    /// Gives up the buffer when there is nothing in it.
    fn release(&mut self) {
        if self.pending.is_empty() {
            self.pending = Vec::new();
        }
    }

    fn why(&mut self, end: Errno, sink: BorrowedFd<'_>) -> Moved {
        self.release();
        match end {
            END => Moved::Ended,
            // Either the source is empty or the sink is full: the call doesn't say which.
            Errno::AGAIN if self.pending.is_empty() && has_room(sink) => Moved::Empty,
            Errno::AGAIN => Moved::Full,
            errno => Moved::Refused(errno),
        }
    }

    fn copy_piece(&mut self, source: BorrowedFd<'_>, sink: BorrowedFd<'_>) -> Result<usize, Errno> {
        self.write_pending(sink)?;
        self.pending.reserve_exact(PIECE);
        let count = match rustix::io::read(source, spare_capacity(&mut self.pending)) {
            // EIO: nobody has the container's side of its terminal open any more.
            Ok(0) | Err(Errno::IO) => return Err(END),
            other => other?,
        };
        // What the sink doesn't take is kept, and is what the next piece begins with.
        let _ = self.write_pending(sink);
        Ok(count)
    }

    fn write_pending(&mut self, sink: BorrowedFd<'_>) -> Result<(), Errno> {
        while self.at < self.pending.len() {
            match rustix::io::write(sink, &self.pending[self.at..]) {
                Ok(count) => self.at += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        self.pending.clear();
        self.at = 0;
        Ok(())
    }
}

/// Stands for the end of the source; no call of ours fails with it.
const END: Errno = Errno::XFULL;

fn splice_piece(source: BorrowedFd<'_>, sink: BorrowedFd<'_>) -> Result<usize, Errno> {
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    match splice(source, None, sink, None, PIECE, flags) {
        Ok(0) => Err(END),
        other => other,
    }
}

fn has_room(sink: BorrowedFd<'_>) -> bool {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut fds = [PollFd::from_borrowed_fd(sink, PollFlags::OUT)];
    poll(&mut fds, Some(&now)).is_ok() && !fds[0].revents().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};
    use std::os::fd::OwnedFd;

    fn pipe() -> (OwnedFd, OwnedFd) {
        pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap()
    }

    #[test]
    fn pipes_are_spliced_and_say_why_they_stop() {
        let ((from, into_from), (sink_out, sink)) = (pipe(), pipe());
        let mut transfer = Transfer::between(&from, &sink);
        assert!(transfer.by_splice);
        let mut run = || transfer.run(from.as_fd(), sink.as_fd());
        assert_eq!(run(), (0, Moved::Empty));
        rustix::io::write(&into_from, b"abc").unwrap();
        assert_eq!(run(), (3, Moved::Empty));
        let mut written = 3;
        while run().1 != Moved::Full {
            written += rustix::io::write(&into_from, &[b'x'; 4096]).unwrap();
        }
        written += rustix::io::write(&into_from, b"behind").unwrap();
        drop(into_from);
        assert_eq!(run(), (0, Moved::Full));
        let mut read = 0;
        let mut buffer = vec![0; 65536];
        while let Ok(count) = rustix::io::read(&sink_out, &mut buffer[..]) {
            read += count;
        }
        let (rest, end) = run();
        assert_eq!(end, Moved::Ended);
        while let Ok(count) = rustix::io::read(&sink_out, &mut buffer[..]) {
            read += count;
        }
        assert!(rest > 0);
        assert_eq!(read, written);
    }

    #[test]
    fn a_file_gets_a_copy_and_a_refusal_loses_nothing() {
        let (from, into_from) = pipe();
        let full = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let file = tempfile::tempfile().unwrap();
        let mut transfer = Transfer::between(&from, &file);
        assert!(!transfer.by_splice);
        rustix::io::write(&into_from, b"abc").unwrap();
        assert_eq!(
            transfer.run(from.as_fd(), full.as_fd()),
            (3, Moved::Refused(Errno::NOSPC))
        );
        drop(into_from);
        assert_eq!(transfer.run(from.as_fd(), file.as_fd()), (0, Moved::Ended));
        let mut text = [0; 8];
        assert_eq!(rustix::io::pread(&file, &mut text, 0).unwrap(), 3);
        assert_eq!(&text[..3], b"abc");
    }

    #[test]
    fn a_sink_without_readers_refuses() {
        let ((from, into_from), (reader, sink)) = (pipe(), pipe());
        drop(reader);
        rustix::io::write(&into_from, b"abc").unwrap();
        let mut transfer = Transfer::between(&from, &sink);
        // The program under test ignores SIGPIPE, as all Rust programs do.
        assert_eq!(
            transfer.run(from.as_fd(), sink.as_fd()).1,
            Moved::Refused(Errno::PIPE)
        );
    }
}
