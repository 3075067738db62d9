//! execve(2) and what has to happen to descriptors around it.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

use super::clone::last_errno;

/// Replaces the program; returns only when that fails.
pub fn execve(path: &CStr, argv: &[CString], env: &[CString]) -> Errno {
    let argv = null_terminated(argv);
    let env = null_terminated(env);
    // SAFETY: path and all strings are NUL-terminated and alive; both arrays end with NULL.
    unsafe { libc::execve(path.as_ptr(), argv.as_ptr(), env.as_ptr()) };
    last_errno()
}

/// Replaces the program by the one that the descriptor stands for (`AT_EMPTY_PATH`).
pub fn execve_fd(program: BorrowedFd<'_>, argv: &[CString], env: &[CString]) -> Errno {
    let argv = null_terminated(argv);
    let env = null_terminated(env);
    // SAFETY: as in `execve`; the empty path is a NUL-terminated literal.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            program.as_raw_fd(),
            c"".as_ptr(),
            argv.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    last_errno()
}

fn null_terminated(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings
        .iter()
        .map(|s| s.as_ptr())
        .chain(std::iter::once(std::ptr::null()))
        .collect()
}

/// Marks every descriptor from `first` on close-on-exec (close_range(2), `CLOSE_RANGE_CLOEXEC`,
/// Linux 5.11).
///
/// # Errors
/// close_range(2)'s.
pub fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    // SAFETY: only sets a flag on descriptors, closes none.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(last_errno())
    }
}

/// Takes a descriptor that our caller left open for us (socket activation, `--preserve-fds`).
///
/// # Errors
/// `EBADF` when it isn't open.
pub fn inherited(fd: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: F_GETFD reads a flag of a number that may or may not be a descriptor.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(last_errno());
    }
    // SAFETY: it is open, and at the program's start nobody but its caller can own it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets the execution domain of this process and of what it executes (personality(2)).
///
/// # Errors
/// personality(2)'s.
pub fn set_personality(domain: u32) -> Result<(), Errno> {
    // SAFETY: changes only how the kernel answers this process, uname(2) for one.
    let result = unsafe { libc::personality(domain.into()) };
    if result < 0 {
        Err(last_errno())
    } else {
        Ok(())
    }
}
