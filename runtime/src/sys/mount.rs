//! mount_setattr(2) (Linux 5.12) and open_tree_attr(2) (Linux 6.15).

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use rustix::path::Arg;

use super::clone::last_errno;

/// What mount_setattr(2) changes: `MOUNT_ATTR_*` bits and a propagation type (`MS_SHARED`, …; 0:
/// as it is).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Bits to set.
    pub set: u64,
    /// Bits to clear.
    pub clear: u64,
    /// The propagation type.
    pub propagation: u64,
}

impl Attributes {
    /// Whether nothing would change.
    pub fn is_empty(&self) -> bool {
        *self == Attributes::default()
    }

    fn argument(self) -> libc::mount_attr {
        libc::mount_attr {
            attr_set: self.set,
            attr_clr: self.clear,
            propagation: self.propagation,
            userns_fd: 0,
        }
    }
}

/// Changes the mount that the descriptor stands for, and with `recursive` all mounts below it.
///
/// # Errors
/// mount_setattr(2)'s: `EPERM` for a flag locked by a user namespace.
pub fn mount_setattr(
    mount: BorrowedFd<'_>,
    attributes: Attributes,
    recursive: bool,
) -> Result<(), Errno> {
    change(mount, &attributes.argument(), recursive)
}

/// open_tree_attr(2) on every architecture that Rust's standard library knows (linux/unistd.h).
const SYS_OPEN_TREE_ATTR: libc::c_long = 467;

/// open_tree(2) and mount_setattr(2) in one: with `AT_RECURSIVE` both are recursive.
///
/// # Errors
/// Those of both calls; `ENOSYS` before Linux 6.15.
pub fn open_tree_attr(
    directory: BorrowedFd<'_>,
    path: impl Arg,
    flags: OpenTreeFlags,
    attributes: Attributes,
) -> Result<OwnedFd, Errno> {
    let argument = attributes.argument();
    path.into_with_c_str(|path| {
        // SAFETY: the path is NUL-terminated, the structure is alive and its size given.
        let result = unsafe {
            libc::syscall(
                SYS_OPEN_TREE_ATTR,
                directory.as_raw_fd(),
                path.as_ptr(),
                flags.bits(),
                std::ptr::from_ref(&argument),
                std::mem::size_of::<libc::mount_attr>(),
            )
        };
        let number = i32::try_from(result).unwrap_or(-1);
        if number < 0 {
            return Err(last_errno());
        }
        // SAFETY: the kernel has just opened it for us.
        Ok(unsafe { OwnedFd::from_raw_fd(number) })
    })
}

/// Lets a detached mount, and with `recursive` all mounts below it, show the owners that the user
/// namespace maps those on disk to (`MOUNT_ATTR_IDMAP`, Linux 5.12).
///
/// # Errors
/// mount_setattr(2)'s: `EINVAL` for a file system that can't, or one that is mapped already; `EPERM`
/// without rights over the file system.
pub fn set_owners(
    mount: BorrowedFd<'_>,
    user_namespace: BorrowedFd<'_>,
    recursive: bool,
) -> Result<(), Errno> {
    let argument = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::from(user_namespace.as_raw_fd().unsigned_abs()),
    };
    change(mount, &argument, recursive)
}

fn change(
    mount: BorrowedFd<'_>,
    argument: &libc::mount_attr,
    recursive: bool,
) -> Result<(), Errno> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the empty path is a NUL-terminated literal, the structure is alive and its size given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            std::ptr::from_ref(argument),
            std::mem::size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(last_errno())
    }
}
