//! What happens to a log file that has reached its limit: `log` becomes `log.1`, `log.1` becomes
//! `log.2`, and so on, as conmon, Docker and logrotate number them.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

/// How large a log file may become, and what happens then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeLimit {
    /// In bytes. A single record that is longer is written all the same, to a file of its own.
    pub size: u64,
    /// What happens to a file that the next record would make larger.
    pub then: AtLimit,
}

/// What happens to a log file that is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtLimit {
    /// It is removed, and an empty one has its name (conmon without `--log-rotate`).
    StartOver,
    /// It is kept beside the new one, with a number behind its name.
    Rotate {
        /// How many such files are kept; at least 1.
        files: u32,
        /// Whether they are compressed, with gzip.
        compress: bool,
    },
}

/// `path.suffix`.
pub(super) fn with_suffix(path: &Path, suffix: impl std::fmt::Display) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{suffix}"));
    PathBuf::from(name)
}

/// The rotated file of that number (1 is the youngest), as it was, and as it is compressed.
pub fn numbered(path: &Path, number: u32) -> [PathBuf; 2] {
    let plain = with_suffix(path, number);
    let compressed = with_suffix(&plain, "gz");
    [plain, compressed]
}

/// An empty file beside `path` that is to take its place, with the owner and permissions of the old.
/// Nothing but an empty file of the name that only we use is removed for it.
pub(super) fn replacement(path: &Path, old: &Metadata) -> io::Result<(PathBuf, File)> {
    let new = with_suffix(path, "windlass-new");
    // Left by a supervisor that was killed just then.
    let is_left = |found: Metadata| found.is_file() && found.len() == 0;
    if new.symlink_metadata().is_ok_and(is_left) {
        remove(&new)?;
    }
    let file = OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(old.mode() & 0o777)
        .open(&new)?;
    let metadata = file.metadata()?;
    if (metadata.uid(), metadata.gid()) != (old.uid(), old.gid()) {
        // A log of our own is better than none.
        let _ = fchown(&file, Some(old.uid()), Some(old.gid()));
    }
    Ok((new, file))
}

/// Gives every rotated file the next number and `path` number 1; what is beyond `files` is removed.
pub(super) fn shift(path: &Path, files: u32) -> io::Result<()> {
    let is_free = |number: &u32| numbered(path, *number).iter().all(|name| !name.exists());
    let last = (1..=files).find(is_free).unwrap_or(files);
    for name in numbered(path, last) {
        remove(&name)?;
    }
    for number in (1..last).rev() {
        for (from, to) in numbered(path, number)
            .iter()
            .zip(numbered(path, number + 1))
        {
            rename(from, &to)?;
        }
    }
    rename(path, &with_suffix(path, 1))
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    unless_missing(fs::rename(from, to))
}

fn remove(path: &Path) -> io::Result<()> {
    unless_missing(fs::remove_file(path))
}

fn unless_missing(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(directory: &Path) -> Vec<(String, String)> {
        let entries = fs::read_dir(directory).unwrap().map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        });
        let mut entries: Vec<_> = entries.collect();
        entries.sort();
        entries
    }

    #[test]
    fn the_oldest_goes_and_compressed_ones_keep_their_ending() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        for (name, content) in [
            ("log", "4"),
            ("log.1", "3"),
            ("log.2.gz", "2"),
            ("log.3", "1"),
        ] {
            fs::write(directory.path().join(name), content).unwrap();
        }
        shift(&path, 3).unwrap();
        let expected = [("log.1", "4"), ("log.2", "3"), ("log.3.gz", "2")];
        let expected = expected.map(|(name, content)| (name.to_owned(), content.to_owned()));
        assert_eq!(listing(directory.path()), expected);
    }

    #[test]
    fn a_gap_stops_the_shifting() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        for (name, content) in [("log", "3"), ("log.1", "2"), ("log.3", "1")] {
            fs::write(directory.path().join(name), content).unwrap();
        }
        shift(&path, 4).unwrap();
        let expected = [("log.1", "3"), ("log.2", "2"), ("log.3", "1")];
        let expected = expected.map(|(name, content)| (name.to_owned(), content.to_owned()));
        assert_eq!(listing(directory.path()), expected);
    }
}
