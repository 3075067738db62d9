//! Looking at, and changing, the mounts of a container from its outside.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, open, openat};
use rustix::process::{chroot, fchdir};
use rustix::thread::{
    LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space, move_into_thread_name_spaces,
};

use crate::error::{CallContext, Result};

/// This process in another's mount namespace, for a moment (setns(2): a process with one thread may).
pub(super) struct Visit {
    own: OwnedFd,
    root: OwnedFd,
    directory: OwnedFd,
}

impl Visit {
    pub(super) fn to(process: BorrowedFd<'_>) -> Result<Self> {
        let path = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let visit = Visit {
            own: open(
                "/proc/self/ns/mnt",
                OFlags::RDONLY | OFlags::CLOEXEC,
                Mode::empty(),
            )
            .call(|| "open(/proc/self/ns/mnt)")?,
            root: open("/", path, Mode::empty()).call(|| "open(/)")?,
            directory: openat(CWD, ".", path, Mode::empty()).call(|| "open(.)")?,
        };
        move_into_thread_name_spaces(process, ThreadNameSpaceType::MOUNT)
            .call(|| "setns(container's init, CLONE_NEWNS)")?;
        Ok(visit)
    }

    pub(super) fn during<T>(self, visit: impl FnOnce() -> Result<T>) -> Result<T> {
        let seen = visit();
        self.back()?;
        seen
    }

    /// setns(2) has changed the root and the working directory to the namespace's root.
    fn back(self) -> Result<()> {
        move_into_link_name_space(self.own.as_fd(), Some(LinkNameSpaceType::Mount))
            .call(|| "setns(own mount namespace)")?;
        fchdir(&self.root).call(|| "fchdir(own root)")?;
        chroot(".").call(|| "chroot(own root)")?;
        fchdir(&self.directory).call(|| "fchdir(own working directory)")
    }
}
