//! `tmpcopyup`: a tmpfs starts with what the rootfs has in the directory that it covers.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, openat};
use rustix::io::Errno;

use super::stat_of;
use crate::error::{CallContext, Result};

/// Copies the tree below `from` into `to`, with owners, modes and links. Links are copied, never
/// followed.
///
/// # Errors
/// With the call.
pub fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<()> {
    copy_directory(from, to).call(|| "tmpcopyup")
}

fn copy_directory(from: impl AsFd, to: impl AsFd) -> Result<(), Errno> {
    // Both may be O_PATH descriptors, which can be neither read nor changed.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let readable = openat(&from, ".", flags, Mode::empty())?;
    let to = openat(&to, ".", flags, Mode::empty())?;
    copy_metadata(&rustix::fs::fstat(&readable)?, &to)?;
    for entry in Dir::read_from(&readable)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        copy_entry(&readable, &to, name.to_str().map_err(|_| Errno::ILSEQ)?)?;
    }
    Ok(())
}

fn copy_entry(from: &OwnedFd, to: &impl AsFd, name: &str) -> Result<(), Errno> {
    let stat = stat_of(from, name)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    let nofollow = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match kind {
        FileType::Directory => {
            rustix::fs::mkdirat(to, name, mode)?;
            let inner_to = openat(to, name, OFlags::RDONLY | nofollow, Mode::empty())?;
            let inner_from = openat(from, name, OFlags::RDONLY | nofollow, Mode::empty())?;
            copy_directory(&inner_from, &inner_to)
        }
        FileType::RegularFile => {
            let source = openat(from, name, OFlags::RDONLY | nofollow, Mode::empty())?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | nofollow;
            let target = openat(to, name, flags, mode)?;
            let mut source = std::fs::File::from(source);
            let mut copy = std::fs::File::from(target);
            std::io::copy(&mut source, &mut copy)
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            copy_metadata(&stat, &copy)
        }
        FileType::Symlink => {
            let link = rustix::fs::readlinkat(from, name, Vec::new())?;
            rustix::fs::symlinkat(link.as_c_str(), to, name)?;
            chown(&stat, to, name)
        }
        _ => {
            rustix::fs::mknodat(to, name, kind, mode, stat.st_rdev)?;
            chown(&stat, to, name)
        }
    }
}

fn copy_metadata(stat: &Stat, to: &impl AsFd) -> Result<(), Errno> {
    rustix::fs::fchown(
        to,
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
    )?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))
}

fn chown(stat: &Stat, to: &impl AsFd, name: &str) -> Result<(), Errno> {
    rustix::fs::chownat(
        to,
        name,
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
        AtFlags::SYMLINK_NOFOLLOW,
    )
}
