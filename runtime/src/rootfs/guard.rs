//! Where a symbolic link of the image must not lead a mount: into /proc, or onto the root.
//!
//! A mount in /proc hides from the container, and from whoever looks into it, what the kernel says, or
//! what it is told there (CVE-2019-16884). The plan refuses destinations that are written so; here is
//! looked at where a path with links in it has come out.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, StatxFlags, fstatfs, statx};
use rustix::io::Errno;

use super::RootFd;
use crate::error::{CallContext, Error, Result};
use crate::plan::EMULATED_PROC_FILES;

/// include/uapi/linux/magic.h.
pub(super) const PROC_SUPER_MAGIC: i64 = 0x9fa0;

/// Refuses the root, a mount point in a procfs, but for the files that are emulated, and /proc
/// itself, procfs or not.
pub(super) fn check(root: &RootFd, target: &OwnedFd, path: &str) -> Result<()> {
    let at = place(target).call(|| format!("statx({path:?})"))?;
    let is = |inside: &str| {
        root.resolve(inside)
            .and_then(|fd| place(&fd))
            .is_ok_and(|other| other == at)
    };
    if is("/") {
        return Err(refusal(path, "it is on the top of rootfs"));
    }
    if is("/proc") {
        return Err(refusal(path, "it leads to /proc"));
    }
    #[allow(clippy::useless_conversion)] // the field's type differs between architectures
    let magic = i64::from(
        fstatfs(target)
            .call(|| format!("fstatfs({path:?})"))?
            .f_type,
    );
    let mut emulated = EMULATED_PROC_FILES.iter();
    if magic != PROC_SUPER_MAGIC || emulated.any(|file| is(&format!("/proc/{file}"))) {
        return Ok(());
    }
    Err(refusal(path, "it is inside /proc"))
}

fn refusal(path: &str, why: &str) -> Error {
    Error::new(format!("{path:?} cannot be mounted because {why}"))
        .hint("a symbolic link in the root file system leads there")
}

/// Device and inode number.
fn place(fd: &OwnedFd) -> Result<(u32, u32, u64), Errno> {
    let found = statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::INO)?;
    Ok((found.stx_dev_major, found.stx_dev_minor, found.stx_ino))
}
