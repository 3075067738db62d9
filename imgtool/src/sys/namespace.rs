//! A mount namespace of our own.
#![allow(unsafe_code)]

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
