//! Signals as descriptors (signalfd(2)), for the runtime in the foreground.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

use super::clone::last_errno;

/// Blocks all signals and reads them from a descriptor from now on.
///
/// # Errors
/// sigprocmask(2)'s and signalfd(2)'s.
pub fn all_signals() -> Result<OwnedFd, Errno> {
    // SAFETY: sigset_t is plain data that sigfillset fills; sigprocmask and signalfd read it.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
            return Err(last_errno());
        }
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 {
            Err(last_errno())
        } else {
            Ok(OwnedFd::from_raw_fd(fd))
        }
    }
}

/// The next signal's number, or none if none is waiting.
///
/// # Errors
/// read(2)'s.
pub fn next_signal(signals: BorrowedFd<'_>) -> Result<Option<i32>, Errno> {
    const SIZE: usize = std::mem::size_of::<libc::signalfd_siginfo>();
    // SAFETY: signalfd_siginfo is plain data, read(2) writes at most SIZE bytes of it.
    unsafe {
        let mut info: libc::signalfd_siginfo = std::mem::zeroed();
        let read = libc::read(signals.as_raw_fd(), (&raw mut info).cast(), SIZE);
        if read < 0 {
            return match last_errno() {
                Errno::AGAIN => Ok(None),
                errno => Err(errno),
            };
        }
        Ok((read.cast_unsigned() == SIZE).then(|| info.ssi_signo.cast_signed()))
    }
}

/// Lets every signal through, for the program that we are about to become: our caller may have
/// blocked some.
pub fn unblock_all() {
    // SAFETY: sigset_t is plain data that sigemptyset fills; no handler of ours is involved.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}

/// Sends a signal by its number, real-time ones included, through a pidfd
/// (pidfd_send_signal(2), Linux 5.1).
///
/// # Errors
/// pidfd_send_signal(2)'s: `ESRCH` when the process is gone.
pub fn send(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    // SAFETY: a NULL siginfo makes the kernel fill it in as kill(2) does.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(last_errno())
    }
}

/// Has this process end at each of these signals. The first process of a pid namespace is not ended
/// by any that it does not handle (pid_namespaces(7)); execve(2) takes the handlers away again.
pub fn end_on(signals: &[i32]) {
    extern "C" fn end(signal: libc::c_int) {
        // SAFETY: _exit is async-signal-safe.
        unsafe { libc::_exit(128 + signal) }
    }
    for signal in signals {
        // SAFETY: sigaction is plain data, and the handler calls nothing but _exit.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = end as extern "C" fn(libc::c_int) as usize;
            libc::sigaction(*signal, &raw const action, std::ptr::null_mut());
        }
    }
}

/// A child that has ended and not been waited for; it stays so (waitid(2), `WNOWAIT`).
pub fn ended_child() -> Option<i32> {
    // SAFETY: siginfo_t is plain data; waitid(2) fills it, or leaves si_pid 0 when no child has
    // ended, which is what it was before.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let found = libc::waitid(libc::P_ALL, 0, &raw mut info, flags) == 0;
        (found && info.si_pid() > 0).then(|| info.si_pid())
    }
}
