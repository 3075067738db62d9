//! A file that records are appended to: gathered, written in large pieces, rotated at a limit, and
//! kept until they are written.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::FileOptions;
use super::compression::Compression;
use super::rotation::{AtLimit, SizeLimit, replacement, shift};

/// How much formatted text is gathered before it is written.
const WRITE_SIZE: usize = 256 * 1024;
/// How long to wait before trying again what the file system refused (a full disk).
const RETRY: Duration = Duration::from_millis(500);

/// A log file that is being written. Nothing is dropped while it can't be: see [`LogFile::stuck`].
#[derive(Debug)]
pub(super) struct LogFile {
    file: File,
    path: PathBuf,
    is_new: bool,
    /// Records that are not in the file yet; empty unless a write failed.
    pending: Vec<u8>,
    /// How long `pending` may become before [`LogFile::make_room`] has something to do.
    room: usize,
    failure: Option<(Instant, io::Error)>,
    /// The file's length.
    length: u64,
    limit: Option<SizeLimit>,
    /// Why the file could not be rotated, and when that was tried.
    unrotated: Option<(Instant, String)>,
    rotations: u64,
    compression: Compression,
    /// How much may still be written in all.
    allowance: Option<u64>,
    dropped: u64,
}

impl LogFile {
    /// Opens a file for appending and creates it if it isn't there. A pipe or a socket is refused:
    /// its reader could stop the supervisor.
    pub(super) fn open(options: &FileOptions) -> Result<Self> {
        let path = &options.path;
        let (file, is_new) = match open(path, options.mode, true) {
            Ok(file) => (file, true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let file = open(path, options.mode, false).with_context(|| opening(path))?;
                (file, false)
            }
            Err(error) => return Err(error).with_context(|| opening(path)),
        };
        let metadata = file.metadata().with_context(|| opening(path))?;
        let kind = metadata.file_type();
        if !kind.is_file() && !kind.is_char_device() || kind.is_fifo() {
            bail!("{}: is neither a regular file nor a device", opening(path));
        }
        if !kind.is_file() && options.limit.is_some() {
            bail!("{}: a device can't be rotated", opening(path));
        }
        // What lies behind a symbolic link is what is renamed.
        let path = if options.limit.is_some() {
            std::fs::canonicalize(path).with_context(|| opening(path))?
        } else {
            path.clone()
        };
        let mut log = LogFile {
            file,
            path,
            is_new,
            pending: Vec::new(),
            room: 0,
            failure: None,
            length: metadata.len(),
            limit: options.limit,
            unrotated: None,
            rotations: 0,
            compression: Compression::default(),
            allowance: options
                .total
                .map(|total| total.saturating_sub(metadata.len())),
            dropped: 0,
        };
        if kind.is_file() && log.length > 0 && !ends_with_newline(&log.path) {
            // What was cut short must not take the next record with it.
            log.pending.push(b'\n');
            log.flush();
            log.release();
        }
        log.measure_room();
        Ok(log)
    }

    /// The file's path, if [`LogFile::open`] has created it.
    pub(super) fn created(&self) -> Option<&Path> {
        self.is_new.then_some(&self.path)
    }

    /// Appends one record, which is never divided between two files.
    pub(super) fn record(&mut self, start: &[u8], text: &[u8], end: &[u8]) {
        let length = start.len() + text.len() + end.len();
        if self.allowance.is_some() && !self.is_allowed(length) {
            self.dropped += text.len() as u64;
            return;
        }
        if self.pending.len() + length > self.room {
            self.make_room(length);
        }
        self.pending.extend_from_slice(start);
        self.pending.extend_from_slice(text);
        self.pending.extend_from_slice(end);
    }

    fn is_allowed(&mut self, length: usize) -> bool {
        match &mut self.allowance {
            // conmon writes the record that goes over the limit, and none after it.
            Some(left) if *left > 0 => {
                *left = left.saturating_sub(length as u64);
                true
            }
            Some(_) => false,
            None => true,
        }
    }

    fn make_room(&mut self, length: usize) {
        if self.failure.is_some() {
            return;
        }
        let rotation_is_due = self.limit.is_some_and(|limit| {
            let before = self.length + self.pending.len() as u64;
            before > 0 && before + length as u64 > limit.size
        });
        let was_tried = matches!(&self.unrotated, Some((when, _)) if when.elapsed() < RETRY);
        if self.pending.len() + length > WRITE_SIZE || rotation_is_due && !was_tried {
            self.flush();
        }
        if rotation_is_due && !was_tried && self.pending.is_empty() {
            self.rotate();
        }
        if self.pending.capacity() == 0 {
            self.pending.reserve_exact(WRITE_SIZE);
        }
        self.measure_room();
    }

    fn measure_room(&mut self) {
        let until_limit = self
            .limit
            .map_or(u64::MAX, |limit| limit.size.saturating_sub(self.length));
        self.room = match self.pending.capacity() {
            0 => 0,
            _ => usize::try_from(until_limit).map_or(WRITE_SIZE, |room| room.min(WRITE_SIZE)),
        };
    }

    /// Writes what has been gathered.
    pub(super) fn flush(&mut self) {
        let mut written = 0;
        while written < self.pending.len() {
            match self.file.write(&self.pending[written..]) {
                Ok(0) => self.failure = Some((Instant::now(), io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    written += count;
                    self.failure = None;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => self.failure = Some((Instant::now(), error)),
            }
            break;
        }
        self.length += written as u64;
        if written == self.pending.len() {
            self.pending.clear();
        } else {
            self.pending.drain(..written);
        }
        self.measure_room();
    }

    /// Goes on in an empty file. If that can't be, in the old one, whatever its length: a container
    /// isn't stopped for a limit that is meant to keep the disk from filling.
    fn rotate(&mut self) {
        match self.try_to_rotate() {
            Ok(()) => {
                self.rotations += 1;
                self.unrotated = None;
            }
            Err(error) => {
                let path = self.path.display();
                let trouble = format!("rotating the log {path}: {error}");
                self.unrotated = Some((Instant::now(), trouble));
            }
        }
    }

    fn try_to_rotate(&mut self) -> io::Result<()> {
        let ours = self.file.metadata()?;
        let named = self.path.symlink_metadata();
        if !named.is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino())) {
            // Someone else has renamed it: it is only left to go on in a new one.
            return self.open_again();
        }
        let (new, file) = replacement(&self.path, &ours)?;
        let at_limit = self.limit.map_or(AtLimit::StartOver, |limit| limit.then);
        if let AtLimit::Rotate { files, .. } = at_limit {
            shift(&self.path, files)?;
        }
        std::fs::rename(&new, &self.path)?;
        self.file = file;
        self.length = 0;
        if let AtLimit::Rotate {
            files,
            compress: true,
        } = at_limit
        {
            self.compression.begin(&self.path, files);
        }
        Ok(())
    }

    fn open_again(&mut self) -> io::Result<()> {
        let mode = self.file.metadata()?.mode() & 0o777;
        self.file = open(&self.path, mode, false)?;
        self.length = self.file.metadata()?.len();
        self.measure_room();
        Ok(())
    }

    /// Goes on in the file that has the name now; creates it if there is none.
    pub(super) fn reopen(&mut self) -> Result<()> {
        self.flush();
        self.open_again().with_context(|| opening(&self.path))
    }

    /// Rotates although the limit isn't reached; without a limit, as [`LogFile::reopen`].
    pub(super) fn rotate_now(&mut self) -> Result<()> {
        if self.limit.is_none() {
            return self.reopen();
        }
        self.flush();
        self.rotate();
        match &self.unrotated {
            None => Ok(()),
            Some((_, why)) => bail!("{why}"),
        }
    }

    /// Has the kernel write the file to its disk.
    pub(super) fn sync(&self) -> Result<()> {
        match self.file.sync_data() {
            // A device.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            outcome => {
                outcome.with_context(|| format!("fdatasync of the log {}", self.path.display()))
            }
        }
    }

    /// Whether records wait because the file system refuses them. The caller must not read more
    /// output then: the container is held back, nothing is dropped.
    pub(super) fn stuck(&self) -> bool {
        self.failure.is_some() && !self.pending.is_empty()
    }

    /// When [`LogFile::retry`] is due: the log is stuck, or a compression is under way.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        let write = self.failure.as_ref().filter(|_| self.stuck());
        let write = write.map(|(since, _)| *since + RETRY);
        write.into_iter().chain(self.compression.look_at()).min()
    }

    /// Tries to write what waits, and looks after the compression.
    pub(super) fn retry(&mut self) {
        self.compression.look(&self.path);
        if self.stuck() {
            self.flush();
        }
    }

    /// What keeps the log from being written, in words.
    pub(super) fn failure(&self) -> Option<String> {
        let (_, error) = self.failure.as_ref().filter(|_| self.stuck())?;
        Some(format!("writing the log {}: {error}", self.path.display()))
    }

    /// What is wrong although the log can be written.
    pub(super) fn trouble(&self) -> Option<String> {
        let unrotated = self.unrotated.as_ref().map(|(_, why)| why);
        unrotated.or(self.compression.trouble()).cloned()
    }

    /// How often an empty file was begun.
    pub(super) fn rotations(&self) -> u64 {
        self.rotations
    }

    /// How many bytes of output went nowhere, because there was more than the allowed total.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Gives up the buffer until there is output again.
    pub(super) fn release(&mut self) {
        if self.pending.is_empty() {
            self.pending = Vec::new();
            self.room = 0;
        }
    }
}

/// True also if nobody can tell.
fn ends_with_newline(path: &Path) -> bool {
    let mut last = [b'\n'];
    let _ = File::open(path).and_then(|file| {
        let length = file.metadata()?.len();
        file.read_at(&mut last, length.saturating_sub(1))
    });
    last == [b'\n']
}

fn open(path: &Path, mode: u32, new: bool) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .mode(mode)
        .create(true)
        .create_new(new)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}

fn opening(path: &Path) -> String {
    format!("opening the log {} for appending", path.display())
}
