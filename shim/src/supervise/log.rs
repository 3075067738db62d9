//! The container's log in the k8s-file form that the kubelet and conmon share:
//! `TIME STREAM F|P LINE`, one record a line (Kubernetes, "CRI Log Format").
//!
//! `TIME` is RFC 3339 with nanoseconds in UTC. `P` says that the line goes on in the next record of
//! the same stream: it was longer than [`MAX_RECORD`], or its end had not been written yet when
//! the bytes arrived.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use super::Source;

/// The longest piece of a line in one record, in bytes (containerd's `max_container_log_line_size`).
pub const MAX_RECORD: usize = 16 * 1024;
/// How much formatted text is gathered before it is written.
const WRITE_SIZE: usize = 64 * 1024;
/// How long to wait before writing again after the file system refused (a full disk).
const RETRY: Duration = Duration::from_millis(500);

/// A log file that is being written. Nothing is dropped while it can't be: see [`LogFile::stuck`].
#[derive(Debug)]
pub struct LogFile {
    file: File,
    path: PathBuf,
    /// Formatted records that are not in the file yet; empty unless a write failed.
    pending: Vec<u8>,
    failure: Option<(Instant, io::Error)>,
}

impl LogFile {
    /// Opens `path` for appending and creates it (mode 0600) if it isn't there; also says whether
    /// it was created. A pipe or a socket is refused: its reader could stop the supervisor.
    pub fn open(path: &Path) -> Result<(Self, bool)> {
        let mut options = OpenOptions::new();
        options
            .append(true)
            .mode(0o600)
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        let (file, created) = match options.clone().create_new(true).open(path) {
            Ok(file) => (file, true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let file = options.open(path).with_context(|| opening(path))?;
                (file, false)
            }
            Err(error) => return Err(error).with_context(|| opening(path)),
        };
        let kind = file.metadata().with_context(|| opening(path))?.file_type();
        if !kind.is_file() && !kind.is_char_device() || kind.is_fifo() {
            bail!("{}: is neither a regular file nor a device", opening(path));
        }
        let log = LogFile {
            file,
            path: path.to_owned(),
            pending: Vec::new(),
            failure: None,
        };
        Ok((log, created))
    }

    /// Writes the complete lines of `bytes`, and of what follows them every full [`MAX_RECORD`];
    /// returns how many bytes at the end are left for the caller to keep.
    pub fn write_lines(&mut self, source: Source, bytes: &[u8]) -> usize {
        let stamp = Stamp::now(source);
        let mut rest = bytes;
        while let Some(length) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(length);
            self.line(&stamp, line);
            rest = &after[1..];
        }
        // Exactly MAX_RECORD bytes stay: their newline may be the next byte.
        while rest.len() > MAX_RECORD {
            let (piece, after) = rest.split_at(MAX_RECORD);
            self.record(&stamp, b'P', piece);
            rest = after;
        }
        self.flush();
        rest.len()
    }

    /// Writes the beginning of a line whose end isn't known.
    pub fn write_partial(&mut self, source: Source, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.record(&Stamp::now(source), b'P', bytes);
            self.flush();
        }
    }

    fn line(&mut self, stamp: &Stamp, mut line: &[u8]) {
        while line.len() > MAX_RECORD {
            let (piece, after) = line.split_at(MAX_RECORD);
            self.record(stamp, b'P', piece);
            line = after;
        }
        self.record(stamp, b'F', line);
    }

    fn record(&mut self, stamp: &Stamp, tag: u8, text: &[u8]) {
        if self.pending.len() + text.len() + 64 > WRITE_SIZE && self.failure.is_none() {
            self.flush();
        }
        if self.pending.capacity() == 0 {
            self.pending.reserve_exact(WRITE_SIZE);
        }
        self.pending.extend_from_slice(stamp.0.as_bytes());
        self.pending.extend_from_slice(&[tag, b' ']);
        self.pending.extend_from_slice(text);
        self.pending.push(b'\n');
    }

    fn flush(&mut self) {
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
        self.pending.drain(..written);
    }

    /// Whether records wait because the file system refuses them. The caller must not read more
    /// output then: the container is held back, nothing is dropped.
    pub fn stuck(&self) -> bool {
        !self.pending.is_empty()
    }

    /// When [`LogFile::retry`] is due, if the log is stuck.
    pub fn retry_at(&self) -> Option<Instant> {
        self.failure
            .as_ref()
            .filter(|_| self.stuck())
            .map(|(since, _)| *since + RETRY)
    }

    /// Tries to write what waits.
    pub fn retry(&mut self) {
        self.flush();
    }

    /// What keeps the log from being written, in words.
    pub fn failure(&self) -> Option<String> {
        let (_, error) = self.failure.as_ref().filter(|_| self.stuck())?;
        Some(format!("writing the log {}: {error}", self.path.display()))
    }

    /// Gives up the buffer until there is output again.
    pub fn release(&mut self) {
        if !self.stuck() {
            self.pending = Vec::new();
        }
    }
}

fn opening(path: &Path) -> String {
    format!("opening the log {} for appending", path.display())
}

/// `TIME STREAM `, the same for all records of one read.
struct Stamp(String);

impl Stamp {
    fn now(source: Source) -> Self {
        Stamp(format!("{:.9} {} ", Timestamp::now(), source.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(chunks: &[&[u8]]) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let (mut log, created) = LogFile::open(&path).unwrap();
        assert!(created);
        for chunk in chunks {
            let left = log.write_lines(Source::Stdout, chunk);
            log.write_partial(Source::Stdout, &chunk[chunk.len() - left..]);
        }
        let text = std::fs::read_to_string(path).unwrap();
        text.lines()
            .map(|line| line.split_once(' ').unwrap().1.to_owned() + "\n")
            .collect()
    }

    #[test]
    fn whole_lines_are_full_records() {
        assert_eq!(
            written(&[b"one\n\ntwo\n"]),
            "stdout F one\nstdout F \nstdout F two\n"
        );
    }

    #[test]
    fn an_unfinished_line_is_a_partial_record_and_its_end_a_full_one() {
        assert_eq!(written(&[b"on", b"e\n"]), "stdout P on\nstdout F e\n");
    }

    #[test]
    fn a_long_line_is_cut_at_the_longest_record() {
        let mut line = vec![b'x'; MAX_RECORD];
        line.push(b'\n');
        assert_eq!(
            written(&[&line]),
            format!("stdout F {}\n", "x".repeat(MAX_RECORD))
        );
        line.insert(0, b'y');
        let first = format!("y{}", "x".repeat(MAX_RECORD - 1));
        assert_eq!(written(&[&line]), format!("stdout P {first}\nstdout F x\n"));
    }

    #[test]
    fn a_pipe_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        // Held open for reading, or the opening itself would fail.
        let _reader = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let error = LogFile::open(&path).unwrap_err().to_string();
        assert!(
            error.contains("neither a regular file nor a device"),
            "{error}"
        );
    }

    #[test]
    fn a_full_disk_holds_the_records_back() {
        let (mut log, created) = LogFile::open(Path::new("/dev/full")).unwrap();
        assert!(!created);
        assert_eq!(log.write_lines(Source::Stderr, b"kept\n"), 0);
        assert!(log.stuck());
        assert!(log.failure().unwrap().contains("/dev/full: No space left"));
        assert!(log.retry_at().is_some());
    }
}
