//! execve(2) and what has to happen to descriptors around it.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

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

/// Below this number init leaves descriptors open: few enough for the tightest `RLIMIT_NOFILE` that
/// programs are run with, more than a usual config.json needs.
const LEFT_TO_EXEC: i32 = 100;

/// Gives up a descriptor of init's that is close-on-exec, without a call of its own: execve closes
/// all of them at once, as [`close_all_but`] does before anything of the container is trusted. With many open already, a thousand
/// mounts say, it is closed right here.
pub fn leave_to_exec(fd: OwnedFd) {
    if fd.as_raw_fd() < LEFT_TO_EXEC {
        std::mem::forget(fd);
    }
}

/// Closes what [`leave_to_exec`] has left and all else from `first` on, but `kept`
/// (close_range(2), Linux 5.9). The caller uses no other descriptors from there on.
///
/// # Errors
/// close_range(2)'s.
pub fn close_all_but(first: u32, kept: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut kept: Vec<u32> = kept
        .iter()
        .map(|fd| fd.as_raw_fd().unsigned_abs())
        .collect();
    kept.sort_unstable();
    let mut from = first;
    for until in kept.into_iter().map(Some).chain(std::iter::once(None)) {
        let to = until.map_or(u32::MAX, |kept| kept.saturating_sub(1));
        // SAFETY: by the caller's word nothing that is still used is in the range.
        if from <= to && unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) } != 0 {
            return Err(last_errno());
        }
        from = until.map_or(u32::MAX, |kept| kept.max(from.saturating_sub(1)) + 1);
    }
    Ok(())
}

/// What the runtime has no use for any more, and will close soon.
static SPENT: Mutex<Vec<OwnedFd>> = Mutex::new(Vec::new());

/// Gives up descriptors of the runtime's that are close-on-exec: they are closed at the next
/// [`close_spent`], or by the end of this program.
pub fn spend(descriptors: impl IntoIterator<Item = OwnedFd>) {
    let mut spent = SPENT.lock().unwrap_or_else(PoisonError::into_inner);
    spent.extend(descriptors);
}

/// Closes what was given to [`spend`], in as few calls as there are gaps between the numbers
/// (close_range(2), Linux 5.9).
pub fn close_spent() {
    let spent = std::mem::take(&mut *SPENT.lock().unwrap_or_else(PoisonError::into_inner));
    let mut numbers: Vec<i32> = spent.into_iter().map(IntoRawFd::into_raw_fd).collect();
    numbers.sort_unstable();
    for run in numbers.chunk_by(|before, after| before + 1 == *after) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            continue;
        };
        // SAFETY: every number in the range is of a descriptor that was given to us to close.
        unsafe { libc::syscall(libc::SYS_close_range, *first, *last, 0) };
    }
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

/// Whether a descriptor of this number was open when this program was executed, and is not one of our
/// own, which are all close-on-exec.
pub fn is_inherited(number: i32) -> bool {
    // SAFETY: F_GETFD has no argument, and fails for what is not open.
    unsafe { libc::fcntl(number, libc::F_GETFD) == 0 }
}

/// Takes a descriptor over that we were started with, by its number, and keeps it to ourselves.
///
/// # Errors
/// fcntl(2)'s: `EBADF` when it is not open, and for the standard streams, which are everybody's.
pub fn take_descriptor(number: i32) -> Result<OwnedFd, Errno> {
    if number <= libc::STDERR_FILENO {
        return Err(Errno::BADF);
    }
    // SAFETY: F_SETFD has no argument but a number, and fails for what is not open.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
        return Err(last_errno());
    }
    // SAFETY: it is open, and by its caller's word meant for us: nothing else in here has it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
