//! A log and the files that it was rotated to, read as one.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use flate2::bufread::GzDecoder;

use crate::supervise::log::{made_from, numbered};

const BUFFER: usize = 64 * 1024;

/// One of a log's files.
pub(super) struct LogFile {
    content: Content,
    /// Device and inode; of a compressed file, those of what it was made from.
    identity: (u64, u64),
}

enum Content {
    Plain(BufReader<File>),
    Compressed(Box<BufReader<GzDecoder<BufReader<File>>>>),
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let mut identity = (metadata.dev(), metadata.ino());
        let file = BufReader::with_capacity(BUFFER, file);
        let content = if path.extension().is_some_and(|ending| ending == "gz") {
            let inside = GzDecoder::new(file);
            let comment = inside.header().and_then(|header| header.comment());
            identity = comment.and_then(made_from).unwrap_or(identity);
            Content::Compressed(Box::new(BufReader::with_capacity(BUFFER, inside)))
        } else {
            Content::Plain(file)
        };
        Ok(LogFile { content, identity })
    }

    /// Appends the rest of the record in hand to `record`; it isn't complete unless there is a
    /// newline at its end.
    pub(super) fn read_record(&mut self, record: &mut Vec<u8>) -> Result<()> {
        self.content
            .reader()
            .read_until(b'\n', record)
            .map(|_| ())
            .context("reading the log")
    }

    /// Passes over so many bytes.
    pub(super) fn skip(&mut self, bytes: u64) -> Result<()> {
        io::copy(&mut self.content.reader().take(bytes), &mut io::sink())
            .map(|_| ())
            .context("reading the log")
    }

    /// Whether `path` is (still) the name of this file.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        let metadata = path.metadata();
        metadata.is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity)
    }

    /// The file, if it can still grow.
    pub(super) fn growing(&self) -> Option<BorrowedFd<'_>> {
        match &self.content {
            Content::Plain(file) => Some(file.get_ref().as_fd()),
            Content::Compressed(_) => None,
        }
    }
}

impl Content {
    fn reader(&mut self) -> &mut dyn BufRead {
        match self {
            Content::Plain(file) => file,
            Content::Compressed(inside) => inside,
        }
    }
}

/// All files of the log at `path`, the oldest first.
pub(super) fn open_all(path: &Path) -> Result<Vec<LogFile>> {
    let opening = || format!("opening the log {}", path.display());
    loop {
        // The youngest first: what is rotated meanwhile has a number then that is still to come,
        // instead of one that was looked at already.
        let newest = open_newest(path).with_context(opening)?;
        // One that is away is being rotated: the next turn waits for it.
        ensure!(
            path.metadata().map_or(true, |metadata| metadata.is_file()),
            "the log {} can't be read back: it is no regular file",
            path.display()
        );
        let mut files = vec![newest];
        for number in 1.. {
            match open_numbered(path, number).with_context(opening)? {
                // It was given the next number since it was looked at, as the oldest is first.
                Some(file) if files.iter().any(|seen| seen.identity == file.identity) => {}
                Some(file) => files.push(file),
                // It has been given the next number, and the one before not yet this.
                None if open_numbered(path, number + 1)
                    .with_context(opening)?
                    .is_some() => {}
                None => break,
            }
        }
        if files[0].is_at(path) {
            files.reverse();
            return Ok(files);
        }
    }
}

/// The file that is written to. When it has been rotated there is none for a moment.
fn open_newest(path: &Path) -> io::Result<LogFile> {
    const MOMENT: Duration = Duration::from_secs(1);
    let patience = Instant::now() + MOMENT;
    loop {
        match LogFile::open(path) {
            Err(error)
                if error.kind() == io::ErrorKind::NotFound
                    && Instant::now() < patience
                    && open_numbered(path, 1)?.is_some() =>
            {
                sleep(Duration::from_millis(1));
            }
            opened => return opened,
        }
    }
}

fn open_numbered(path: &Path, number: u32) -> io::Result<Option<LogFile>> {
    for name in numbered(path, number) {
        match LogFile::open(&name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened.map(Some),
        }
    }
    Ok(None)
}

/// The files of the log at `path` that follow `last`, the oldest first; all, if that isn't kept any
/// more.
pub(super) fn open_after(path: &Path, last: &LogFile) -> Result<Vec<LogFile>> {
    let mut files = open_all(path)?;
    // The youngest of that inode: it can't have been given to another file since it is held open.
    let is_last = |file: &LogFile| file.identity == last.identity;
    if let Some(index) = files.iter().rposition(is_last) {
        files.drain(..=index);
    }
    Ok(files)
}
