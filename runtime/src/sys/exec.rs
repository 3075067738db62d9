//! execve(2) and what has to happen to descriptors around it.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

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

/// Below this number init leaves descriptors open: few enough for the tightest `RLIMIT_NOFILE` that
/// programs are run with, more than a usual config.json needs.
const LEFT_TO_EXEC: i32 = 100;

/// Gives up a descriptor of init's that is close-on-exec, without a call of its own: execve closes
/// all of them at once, as [`close_left`] does before a wait. With many open already, a thousand
/// mounts say, it is closed right here.
pub fn leave_to_exec(fd: OwnedFd) {
    if fd.as_raw_fd() < LEFT_TO_EXEC {
        std::mem::forget(fd);
    }
}

/// Closes what [`leave_to_exec`] has left, from `first` on, all but `kept` (close_range(2), Linux
/// 5.9). The caller has no other descriptors there.
///
/// # Errors
/// close_range(2)'s.
pub fn close_left(first: u32, kept: BorrowedFd<'_>) -> Result<(), Errno> {
    let kept = kept.as_raw_fd().unsigned_abs();
    for (from, to) in [(first, kept.saturating_sub(1)), (kept + 1, u32::MAX)] {
        // SAFETY: by the caller's word nothing that is still used is in either range.
        if from <= to && unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) } != 0 {
            return Err(last_errno());
        }
    }
    Ok(())
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
