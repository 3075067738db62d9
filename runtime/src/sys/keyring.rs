//! keyctl(2): a container gets a session keyring of its own, so that it can't read its caller's.

use std::ffi::CStr;

use rustix::io::Errno;

use super::clone::last_errno;

/// A keyring's serial number.
#[derive(Clone, Copy, Debug)]
pub struct Keyring(libc::c_long);

/// Joins the session keyring with this name if we may search it, and else a new one
/// (`KEYCTL_JOIN_SESSION_KEYRING`).
///
/// # Errors
/// keyctl(2)'s: `ENOSYS` where the kernel has no keyrings, `EDQUOT` where the user has too many.
pub fn join_session_keyring(name: &CStr) -> Result<Keyring, Errno> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: the name is NUL-terminated and alive.
    let id = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) };
    if id < 0 {
        Err(last_errno())
    } else {
        Ok(Keyring(id))
    }
}

/// Lets the keyring be found by its name (`KEYCTL_SETPERM`): by processes of the user that owns it,
/// or, in a user namespace, by any process there, which may have another id. All else stays as the
/// kernel makes a session keyring (join_session_keyring in security/keys/process_keys.c).
///
/// # Errors
/// keyctl(2)'s.
pub fn let_be_found(keyring: Keyring, by_others: bool) -> Result<(), Errno> {
    const KEYCTL_SETPERM: libc::c_int = 5;
    const AS_MADE: u32 = 0x3f00_0000 // the possessor: all
        | 0x01_0000 // the user: view,
        | 0x02_0000 // read
        | 0x10_0000; // and link
    const USER_SEARCHES: u32 = 0x08_0000;
    const OTHERS_SEARCH: u32 = 0x08;
    let permissions = AS_MADE
        | if by_others {
            OTHERS_SEARCH
        } else {
            USER_SEARCHES
        };
    // SAFETY: takes integers only.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_SETPERM, keyring.0, permissions) };
    if result < 0 {
        Err(last_errno())
    } else {
        Ok(())
    }
}
