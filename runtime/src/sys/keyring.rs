//! keyctl(2): a container gets a session keyring of its own, so that it can't read its caller's.

use std::ffi::CStr;

use rustix::io::Errno;

use super::clone::last_errno;

/// Joins a new session keyring with this name (`KEYCTL_JOIN_SESSION_KEYRING`).
///
/// # Errors
/// keyctl(2)'s: `ENOSYS` where the kernel has no keyrings, `EDQUOT` where the user has too many.
pub fn join_new_session_keyring(name: &CStr) -> Result<(), Errno> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: the name is NUL-terminated and alive.
    let id = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) };
    if id < 0 { Err(last_errno()) } else { Ok(()) }
}
