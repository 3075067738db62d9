//! Fifos, whose other end containerd has: both may be restarted without the other losing anything.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};
use rustix::io::{fcntl_dupfd_cloexec, ioctl_fionread};

/// Whether there is a fifo at `path`. An error if there is nothing.
pub fn is_fifo(path: &Path) -> Result<bool> {
    let file = open(path, OFlags::PATH)?;
    let stat = fstat(&file).with_context(|| format!("fstat({})", path.display()))?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Fifo)
}

/// A file that exists, for [`OFlags`] of its own. A terminal doesn't become ours.
pub fn open(path: &Path, flags: OFlags) -> Result<OwnedFd> {
    openat(
        CWD,
        path,
        flags | OFlags::NOCTTY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .with_context(|| format!("open({})", path.display()))
}

/// Where a container's output goes.
#[derive(Debug)]
pub struct FifoOutput {
    /// While there is someone who reads, and be it only us, a reader that goes away breaks nothing,
    /// and what it left comes to the next one.
    keeper: Option<OwnedFd>,
    writer: OwnedFd,
}

impl FifoOutput {
    /// Opens the fifo without waiting for anybody; also returns what writes into it.
    pub fn open(path: &Path) -> Result<(Self, OwnedFd)> {
        let keeper = open(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
        let writer = open(path, OFlags::WRONLY | OFlags::NONBLOCK)?;
        let given = fcntl_dupfd_cloexec(&writer, 3).context("dup")?;
        let keeper = Some(keeper);
        Ok((FifoOutput { keeper, writer }, given))
    }

    /// Whether somebody else reads it. From now on, output breaks when the last reader goes.
    pub fn is_read(&mut self) -> bool {
        self.keeper = None;
        has_reader(&self.writer)
    }

    /// To be asked when all output is in the fifo: whether it can be closed, so that the reader gets
    /// to its end. Not while nobody reads it: what is in it would be lost, and a reader that is just
    /// about to open it would wait for a writer for ever.
    pub fn can_be_closed(&mut self) -> bool {
        self.is_read()
    }

    /// Whether something is in it that nobody has read.
    pub fn has_unread(&self) -> bool {
        ioctl_fionread(&self.writer).is_ok_and(|unread| unread > 0)
    }
}

/// pipe(7): without a reader, the writing end is ready for `POLLERR`.
fn has_reader(writer: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(writer, PollFlags::OUT)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&now)).is_ok() && !fds[0].revents().contains(PollFlags::ERR)
}

/// Where a container's input comes from: what reads the fifo, and a writer that keeps it from
/// ending when a client goes away. Dropping the writer lets it end with the last client.
pub fn open_input(path: &Path) -> Result<(OwnedFd, OwnedFd)> {
    let reader = open(path, OFlags::RDONLY | OFlags::NONBLOCK)?;
    let writer = open(path, OFlags::WRONLY | OFlags::NONBLOCK)?;
    debug_assert!(has_reader(&writer), "{:?}", writer.as_fd());
    Ok((reader, writer))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};

    use rustix::fs::{FileType, mknodat};

    use super::*;

    fn fifo(directory: &tempfile::TempDir) -> std::path::PathBuf {
        let path = directory.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        path
    }

    #[test]
    fn output_outlives_its_reader_and_waits_for_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let path = fifo(&directory);
        assert!(is_fifo(&path).unwrap());
        assert!(!is_fifo(directory.path()).unwrap());
        assert!(is_fifo(&directory.path().join("none")).is_err());

        let (mut output, given) = FifoOutput::open(&path).unwrap();
        let mut container = File::from(given);
        let reader = File::open(&path).unwrap();
        container.write_all(b"one ").unwrap();
        drop(reader);
        container.write_all(b"two").unwrap();
        drop(container);
        assert!(!output.can_be_closed(), "nobody has read it");
        assert!(!output.can_be_closed());
        assert!(output.has_unread());
        let mut reader = File::open(&path).unwrap();
        assert!(output.can_be_closed());
        drop(output);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one two");
    }

    #[test]
    fn a_reader_that_comes_late_to_an_empty_output_gets_to_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = fifo(&directory);
        let (mut output, given) = FifoOutput::open(&path).unwrap();
        drop(given);
        assert!(!output.can_be_closed());
        assert!(!output.has_unread());
        let mut reader = File::open(&path).unwrap();
        assert!(output.can_be_closed());
        drop(output);
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);
    }

    #[test]
    fn input_ends_when_it_is_closed_and_the_last_client_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = fifo(&directory);
        let (reader, writer) = open_input(&path).unwrap();
        let mut reader = File::from(reader);
        let mut buffer = [0; 8];
        let again = Some(libc::EAGAIN);
        let nothing = |result: std::io::Result<usize>| result.unwrap_err().raw_os_error() == again;
        assert!(nothing(reader.read(&mut buffer)), "no client yet");
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .write_all(b"a")
            .unwrap();
        assert_eq!(reader.read(&mut buffer).unwrap(), 1);
        assert!(nothing(reader.read(&mut buffer)), "a client left");
        let client = File::options().write(true).open(&path).unwrap();
        drop(writer);
        assert!(
            nothing(reader.read(&mut buffer)),
            "closed, but there is a client"
        );
        drop(client);
        assert_eq!(reader.read(&mut buffer).unwrap(), 0);
    }
}
