//! The system calls that have no safe wrapper: `clone3`, `execve`, `wait4`, `ptrace`.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Which side of a [`clone3`] this is.
#[derive(Debug)]
pub enum Side {
    /// The new process.
    Child,
    /// The caller, with the new process's id.
    Parent(i32),
}

/// Makes a copy of this process in new namespaces (`flags`: `CLONE_NEW*`) and, where `cgroup` is
/// given, in that cgroup of the unified hierarchy (`CLONE_INTO_CGROUP`, Linux 5.7).
pub fn clone3(flags: u64, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Side> {
    // SAFETY: all-zero is a valid clone_args: no flags, no pointers.
    let mut arguments: libc::clone_args = unsafe { zeroed() };
    arguments.flags = flags;
    arguments.exit_signal = libc::SIGCHLD.unsigned_abs().into();
    if let Some(cgroup) = cgroup {
        const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = cgroup.as_raw_fd().unsigned_abs().into();
    }
    // SAFETY: without CLONE_VM this is fork: the child goes on with its own copy of the memory.
    // The program has one thread, so no lock is held by a thread that the child doesn't have.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut arguments,
            size_of::<libc::clone_args>(),
        )
    };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Side::Child),
        pid => i32::try_from(pid)
            .map(Side::Parent)
            .map_err(io::Error::other),
    }
}

/// Moves this process into a new cgroup namespace, whose root is the cgroup that it is in.
pub fn unshare_cgroup_namespace() -> io::Result<()> {
    // SAFETY: a cgroup namespace changes what paths in /proc show; no memory or descriptor.
    match unsafe { libc::unshare(libc::CLONE_NEWCGROUP) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Replaces this process by `program`, with no argument but its name and an empty environment.
/// Returns only when the kernel refuses.
pub fn execve(program: &CStr) -> io::Error {
    let arguments = [program.as_ptr(), std::ptr::null()];
    let environment = [std::ptr::null()];
    // SAFETY: both arrays end with a null pointer and outlive the call.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// Ends this process at once, as a child of `clone3` must that could not become its program.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit takes any status and doesn't return.
    unsafe { libc::_exit(status) }
}

/// A child that changed its state, as `wait4` tells it.
#[derive(Debug, Clone, Copy)]
pub struct Waited {
    /// Its process id.
    pub pid: i32,
    /// The status word of wait(2).
    pub status: i32,
    /// User and system time, of it and of every child that it waited for.
    pub cpu: Duration,
    /// The most memory that it, or a child that it waited for, had in use, in KiB. Never less than what the
    /// parent had at the time of the fork.
    pub peak: u64,
}

/// Waits for a child (`pid` -1: any). `None`: no such child, or with `WNOHANG` none that changed.
pub fn wait4(pid: i32, flags: i32) -> io::Result<Option<Waited>> {
    let mut status = 0;
    // SAFETY: all-zero is a valid rusage; the kernel overwrites it.
    let mut usage: libc::rusage = unsafe { zeroed() };
    loop {
        // SAFETY: both pointers are to live variables of the types that wait4 fills.
        let got = unsafe { libc::wait4(pid, &raw mut status, flags, &raw mut usage) };
        if got > 0 {
            let cpu = duration(usage.ru_utime) + duration(usage.ru_stime);
            return Ok(Some(Waited {
                pid: got,
                status,
                cpu,
                peak: u64::try_from(usage.ru_maxrss).unwrap_or(0),
            }));
        }
        if got == 0 {
            return Ok(None);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ECHILD) => return Ok(None),
            Some(libc::EINTR) => {}
            _ => return Err(error),
        }
    }
}

fn duration(time: libc::timeval) -> Duration {
    // The kernel never reports negative times.
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_usec).unwrap_or(0) * 1000,
    )
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_interruption(_signal: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// From now on SIGINT and SIGTERM don't end the process, but [`interrupted`] tells of them, so
/// that containers and cgroups can be cleaned up first.
pub fn catch_interruptions() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let handler = note_interruption as extern "C" fn(libc::c_int);
        // SAFETY: the handler only stores to an atomic, which is async-signal-safe.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

/// Whether SIGINT or SIGTERM came since [`catch_interruptions`].
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Makes `command`'s process ask to be traced by its parent before it becomes its program.
pub fn ask_to_be_traced(command: &mut Command) {
    // SAFETY: between fork and exec, this closure makes one system call and touches no memory.
    unsafe {
        command.pre_exec(|| {
            if libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) == -1 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

/// `PTRACE_SETOPTIONS` on a stopped tracee.
pub fn ptrace_set_options(pid: i32, options: i32) -> io::Result<()> {
    // SAFETY: PTRACE_SETOPTIONS reads no memory of ours; the options are an integer.
    let result = unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, pid, 0, i64::from(options)) };
    no_error(result)
}

/// Lets a stopped tracee go on to its next system call, delivering `signal` (0: none).
pub fn ptrace_go_on(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: PTRACE_SYSCALL reads no memory of ours; the signal is an integer.
    let result = unsafe { libc::ptrace(libc::PTRACE_SYSCALL, pid, 0, i64::from(signal)) };
    no_error(result)
}

/// What a stopped tracee is about to do: `struct ptrace_syscall_info` of include/uapi/linux/ptrace.h, which the
/// libc crate lacks for musl.
#[repr(C)]
#[derive(Default)]
struct SystemCall {
    /// `PTRACE_SYSCALL_INFO_ENTRY` on the way in.
    op: u8,
    padding: [u8; 3],
    architecture: u32,
    instruction: u64,
    stack: u64,
    number: u64,
    arguments: [u64; 7],
}

const PTRACE_GET_SYSCALL_INFO: u32 = 0x420e;
const PTRACE_SYSCALL_INFO_ENTRY: u8 = 1;

/// The number of the system call that a stopped tracee is about to make; `None` where it stopped
/// on the way out of one (`PTRACE_GET_SYSCALL_INFO`, Linux 5.3).
pub fn ptrace_entered_call(pid: i32) -> io::Result<Option<u64>> {
    let mut info = SystemCall::default();
    let size = size_of::<SystemCall>();
    #[allow(clippy::useless_conversion)] // u32 with glibc, i32 with musl
    let request = PTRACE_GET_SYSCALL_INFO.try_into().unwrap_or_default();
    // SAFETY: the kernel writes at most `size` bytes, to a live variable of that size.
    let result = unsafe { libc::ptrace(request, pid, size, &raw mut info) };
    no_error(result)?;
    Ok((info.op == PTRACE_SYSCALL_INFO_ENTRY).then_some(info.number))
}

fn no_error(result: i64) -> io::Result<()> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
