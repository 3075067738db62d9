//! Opening, reading and writing the files of a cgroup file system.
//!
//! Paths are absolute and free of symlinks; the kernel is told to refuse any that it meets.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, fstatfs, openat2};
use rustix::io::{Errno, retry_on_intr};

use crate::error::{CallContext as _, Error, Result};
use crate::sys::exec::spend;

/// `CGROUP_SUPER_MAGIC` of linux/magic.h.
const CGROUP_MAGIC: rustix::fs::FsWord = 0x0027_e0eb;
/// `CGROUP2_SUPER_MAGIC` of linux/magic.h.
pub(super) const CGROUP2_MAGIC: rustix::fs::FsWord = 0x6367_7270;

/// Opens `path` with `O_CLOEXEC`, refusing symlinks on the way.
pub(super) fn open(path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    retry_on_intr(|| openat2(CWD, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve))
}

/// The text of the file `path` on procfs or a cgroup file system, which the kernel gives in one
/// piece as far as there is room.
pub(super) fn read(path: &str) -> Result<String> {
    open_and_read(path).map(|(text, _)| text)
}

/// The same for what is read once in the life of this program: the file is closed with others.
pub(super) fn read_once(path: &str) -> Result<String> {
    let (text, file) = open_and_read(path)?;
    spend([file]);
    Ok(text)
}

fn open_and_read(path: &str) -> Result<(String, OwnedFd)> {
    // /proc/self is a magic link itself.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = if path.starts_with("/proc/self/") {
        rustix::fs::open(path, flags, Mode::empty())
    } else {
        open(path, flags)
    };
    let file = file.call(|| format!("open({path:?}, O_RDONLY)"))?;
    let mut text = Vec::with_capacity(4096);
    loop {
        let room = text.capacity() - text.len();
        let read =
            retry_on_intr(|| rustix::io::read(&file, rustix::buffer::spare_capacity(&mut text)))
                .call(|| format!("read({path:?})"))?;
        // A line that the rest had no room for may be missing: there is no line of 1024 bytes.
        if read == 0 || room - read > 1024 {
            let text = text_of(text).call(|| format!("read({path:?})"))?;
            return Ok((text, file));
        }
        text.reserve(4096);
    }
}

/// What is left to read in `file`: a list that may come in several pieces.
pub(super) fn read_from(file: impl AsFd) -> rustix::io::Result<String> {
    let mut text = Vec::with_capacity(4096);
    loop {
        text.reserve(1024);
        let read =
            retry_on_intr(|| rustix::io::read(&file, rustix::buffer::spare_capacity(&mut text)))?;
        if read == 0 {
            return text_of(text);
        }
    }
}

fn text_of(bytes: Vec<u8>) -> rustix::io::Result<String> {
    String::from_utf8(bytes).map_err(|_| Errno::ILSEQ)
}

/// Writes `value` to `file` in one call: the kernel takes each write as one request.
pub(super) fn write(file: impl AsFd, value: &str) -> rustix::io::Result<()> {
    let written = retry_on_intr(|| rustix::io::write(&file, value.as_bytes()))?;
    if written == value.len() {
        Ok(())
    } else {
        Err(Errno::IO)
    }
}

/// Opens the file `path` and writes `value` to it in one call.
pub(super) fn write_to(path: &str, value: &str) -> Result<()> {
    open_and_write(path, value).map(drop)
}

/// The same for what is written once in the life of this program: the file is closed with others.
pub(super) fn write_once(path: &str, value: &str) -> Result<()> {
    open_and_write(path, value).map(|file| spend([file]))
}

fn open_and_write(path: &str, value: &str) -> Result<OwnedFd> {
    let file = open(path, OFlags::WRONLY).call(|| format!("open({path:?}, O_WRONLY)"))?;
    write(&file, value).call(|| format!("write({path:?}, {value:?})"))?;
    Ok(file)
}

/// Refuses what is not on a cgroup file system.
pub(super) fn verify(file: impl AsFd, path: &str) -> Result<()> {
    let found = fstatfs(file).call(|| format!("fstatfs({path:?})"))?.f_type;
    if found == CGROUP_MAGIC || found == CGROUP2_MAGIC {
        Ok(())
    } else {
        Err(not_cgroup(path))
    }
}

/// The error for `path` on another file system.
pub(super) fn not_cgroup(path: &str) -> Error {
    Error::new(format!("{path} is not on a cgroup file system"))
        .hint("something else is mounted there, or nothing")
}

/// Whether `errno` says that a cgroup is gone: not found, or removed while its file was open.
pub(super) fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NODEV)
}
