//! Mount namespaces: one of our own, or another process's.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd};

use anyhow::{Context, Result};

/// Puts the calling thread, and what it will start, into a new mount namespace (unshare(2)).
pub fn leave_mount_namespace() -> Result<()> {
    // SAFETY: unshare(2) takes no pointers. CLONE_NEWNS makes the calling thread's root and working
    // directory its own too (CLONE_FS); other threads, which use descriptors, keep theirs.
    let result = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    if result == 0 {
        return Ok(());
    }
    Err(std::io::Error::last_os_error()).context("unshare a mount namespace")
}

/// Puts the calling thread, and what it will start, into another mount namespace (setns(2)).
pub fn join_mount_namespace(namespace: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: unshare(2) takes no pointers. CLONE_FS makes the calling thread's root and working
    // directory its own, without which setns(2) refuses a mount namespace; other threads keep theirs.
    let mut result = unsafe { libc::unshare(libc::CLONE_FS) };
    if result == 0 {
        // SAFETY: setns(2) takes no pointers, and the descriptor is open as long as it is borrowed.
        result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNS) };
    }
    if result == 0 {
        return Ok(());
    }
    Err(std::io::Error::last_os_error()).context("setns to a mount namespace")
}
