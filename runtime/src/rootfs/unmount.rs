//! Taking a mount of a running container away.

use std::os::fd::OwnedFd;

use rustix::fs::{FileType, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use rustix::process::fchdir;

use super::{MOST_LINKS, RootFd, follow, split, stat_of};
use crate::error::{CallContext, Error, Result};

/// Unmounts what is mounted at a path of the container, and all below it. Leaves the working
/// directory in the container; to be called in its mount namespace.
///
/// # Errors
/// `EINVAL` when nothing is mounted there, or the container may not be without it.
pub fn unmount(root: &RootFd, path: &str) -> Result<()> {
    let (parent, name) = parent_of(root, path)?;
    fchdir(&parent).call(|| format!("fchdir(parent of {path:?})"))?;
    // umount2(2) takes no descriptor. Whoever puts a link there now gains nothing: links are not
    // followed, and a name without a slash is of this directory.
    let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
    rustix::mount::unmount(name.as_str(), flags).map_err(|errno| {
        let error = Error::call(format!("umount2({path:?}, MNT_DETACH)"), errno);
        match errno {
            Errno::INVAL => error.hint("is anything mounted there?"),
            _ => error,
        }
    })
}

/// The directory that a path's last name is in, links followed, and that name.
fn parent_of(root: &RootFd, path: &str) -> Result<(OwnedFd, String)> {
    let mut pending = format!("/{path}");
    for _ in 0..MOST_LINKS {
        let (directory, name) =
            split(&pending).ok_or_else(|| Error::new(format!("{path:?} is no path of a mount")))?;
        let (directory, name) = (format!("{directory}/"), name.to_owned());
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let parent = root
            .open_beneath(&directory, flags, ResolveFlags::empty())
            .call(|| format!("openat2(rootfs, {directory:?})"))?;
        let found = stat_of(&parent, &name).call(|| format!("fstatat(rootfs, {path:?})"))?;
        if FileType::from_raw_mode(found.st_mode) != FileType::Symlink {
            return Ok((parent, name));
        }
        let mut parts: Vec<&str> = directory
            .split('/')
            .filter(|part| !part.is_empty())
            .collect();
        parts.push(&name);
        pending = follow(&parent, &parts, parts.len() - 1)?;
    }
    Err(Error::call(
        format!("openat2(rootfs, {path:?})"),
        Errno::LOOP,
    ))
}
