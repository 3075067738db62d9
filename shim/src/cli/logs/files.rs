//! A log and the files that it was rotated to, read as one.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

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
        let newest = LogFile::open(path).with_context(opening)?;
        ensure!(
            path.metadata().with_context(opening)?.is_file(),
            "the log {} can't be read back: it is no regular file",
            path.display()
        );
        let mut files = vec![newest];
        for number in 1.. {
            match open_numbered(path, number).with_context(opening)? {
                Some(file) => files.push(file),
                None => break,
            }
        }
        if files[0].is_at(path) {
            files.reverse();
            return Ok(files);
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
