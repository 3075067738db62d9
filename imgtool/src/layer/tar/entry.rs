//! What an archive says of one entry.

use crate::layer::path::ImagePath;

/// A time as the archive gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timestamp {
    /// Seconds since the epoch.
    pub seconds: i64,
    /// Nanoseconds after them, below 1,000,000,000.
    pub nanoseconds: u32,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file; its data follows.
    File,
    /// A directory.
    Directory,
    /// A further name of an earlier file.
    HardLink(ImagePath),
    /// A symbolic link and its target, which is any bytes but NUL.
    Symlink(Vec<u8>),
    /// A character device: major, minor.
    CharDevice(u32, u32),
    /// A block device: major, minor.
    BlockDevice(u32, u32),
    /// A named pipe.
    Fifo,
}

/// One entry, its extended headers merged into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it goes.
    pub path: ImagePath,
    /// What it is.
    pub kind: EntryKind,
    /// The number of data bytes; 0 for all but regular files.
    pub size: u64,
    /// Permission bits, set-id and sticky bits (07777).
    pub mode: u32,
    /// Owner, as the image numbers users.
    pub uid: u32,
    /// Group, as the image numbers groups.
    pub gid: u32,
    /// Modification time.
    pub mtime: Timestamp,
    /// Access time, where the archive has one.
    pub atime: Option<Timestamp>,
    /// Extended attributes: name and value.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}
