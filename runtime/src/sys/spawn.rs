//! What a child has to do between fork and exec (signal-safety(7)).

use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::signal::unblock_all;

/// Keeps all descriptors from a command but the standard streams, also those that we got from our
/// own caller: one of a directory leads out of any container (CVE-2024-21626). On a kernel before
/// 5.11, which lacks the flag, it does nothing.
pub fn keep_descriptors_from(command: &mut Command) {
    // SAFETY: close_range(2) with this flag only marks descriptors; it is a bare call.
    unsafe {
        command.pre_exec(|| {
            libc::syscall(
                libc::SYS_close_range,
                3_u32,
                u32::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            );
            Ok(())
        });
    }
}

/// Lets a command begin with no signal blocked and with umask 022, whatever we have made of our
/// own: both outlive fork(2) and execve(2).
pub fn begin_afresh(command: &mut Command) {
    // SAFETY: sigemptyset, sigprocmask and umask are async-signal-safe, and the closure touches
    // nothing else.
    unsafe {
        command.pre_exec(|| {
            unblock_all();
            libc::umask(0o022);
            Ok(())
        });
    }
}

/// Gives a command these descriptors, as its own 3, 4, … in their order.
///
/// # Errors
/// fcntl(2)'s.
pub fn pass_descriptors(
    command: &mut Command,
    descriptors: &[BorrowedFd<'_>],
) -> std::io::Result<()> {
    let first = 3;
    let mut passed = Vec::with_capacity(descriptors.len());
    let beyond = first + i32::try_from(descriptors.len()).unwrap_or(i32::MAX - first);
    for (descriptor, own) in descriptors.iter().zip(first..) {
        // Out of the way of the numbers that are going to be taken.
        passed.push((rustix::io::fcntl_dupfd_cloexec(descriptor, beyond)?, own));
    }
    // SAFETY: dup2 is async-signal-safe; what it replaces is nobody's in the child, which is about
    // to become another program.
    unsafe {
        command.pre_exec(move || {
            for (descriptor, own) in &passed {
                if libc::dup2(descriptor.as_raw_fd(), *own) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    Ok(())
}
