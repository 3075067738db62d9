//! clone3(2) (Linux 5.3): a child that goes on in the same program image.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::Pid;

/// libc's constant is an int, which this bit does not fit (include/uapi/linux/sched.h).
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Which side of the clone we are.
#[derive(Debug)]
pub enum Cloned {
    /// In the parent: the child's pid as seen from here, and its pidfd.
    Parent(Pid, OwnedFd),
    /// In the child.
    Child,
}

/// Which side of [`clone_sibling`] we are.
#[derive(Debug)]
pub enum Sibling {
    /// In the caller: the new process' pid as seen from here.
    Elder(Pid),
    /// In the new process.
    Younger,
}

/// Makes a child in the new namespaces of `namespaces` (`CLONE_NEW*`), and in the cgroup v2
/// directory `cgroup` if one is given (`CLONE_INTO_CGROUP`, Linux 5.7). The child's death is told
/// by SIGCHLD.
///
/// # Errors
/// clone3(2)'s.
pub fn clone_process(namespaces: u64, cgroup: Option<BorrowedFd<'_>>) -> Result<Cloned, Errno> {
    let mut pidfd: libc::c_int = -1;
    let mut flags = namespaces | libc::CLONE_PIDFD as u64;
    if cgroup.is_some() {
        flags |= CLONE_INTO_CGROUP;
    }
    // SAFETY: clone_args is plain integers, for which zero is a valid value.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    arguments.flags = flags;
    arguments.pidfd = std::ptr::from_mut(&mut pidfd) as u64;
    arguments.exit_signal = libc::SIGCHLD as u64;
    arguments.cgroup = cgroup.map_or(0, |fd| u64::from(fd.as_raw_fd().unsigned_abs()));
    match clone3(&mut arguments)? {
        None => Ok(Cloned::Child),
        Some(pid) => {
            // SAFETY: the kernel stored a new descriptor there, which nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Cloned::Parent(pid, pidfd))
        }
    }
}

/// Makes a process in the new namespaces of `namespaces` (`CLONE_NEW*`) that is a child of this
/// process' parent (`CLONE_PARENT`): this one may end.
///
/// # Errors
/// clone3(2)'s.
pub fn clone_sibling(namespaces: u64) -> Result<Sibling, Errno> {
    // SAFETY: clone_args is plain integers, for which zero is a valid value.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    // With CLONE_PARENT the signal is that of our own end, and naming one is refused.
    arguments.flags = namespaces | libc::CLONE_PARENT as u64;
    Ok(clone3(&mut arguments)?.map_or(Sibling::Younger, Sibling::Elder))
}

/// The new process' pid, or `None` in that process itself.
fn clone3(arguments: &mut libc::clone_args) -> Result<Option<Pid>, Errno> {
    // SAFETY: without CLONE_VM the child has its own copy of the address space, as after fork(2),
    // and goes on at this point on its own copy of this stack. The program has one thread, so no
    // lock can be held by a thread that the child does not have.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            std::ptr::from_mut(arguments),
            std::mem::size_of::<libc::clone_args>(),
        )
    };
    match i32::try_from(pid) {
        Ok(0) => Ok(None),
        Ok(pid) if pid > 0 => Pid::from_raw(pid).map(Some).ok_or(Errno::SRCH),
        _ => Err(last_errno()),
    }
}

/// Leaves namespaces for new ones: unshare(2) for a program with one thread.
///
/// # Errors
/// unshare(2)'s.
pub fn unshare(flags: rustix::thread::UnshareFlags) -> Result<(), Errno> {
    // SAFETY: of the flags only CLONE_FILES is dangerous (two owners of one descriptor table), and
    // none of our callers passes it.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

pub(super) fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
