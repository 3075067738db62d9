//! ptrace(2), as much of it as killing a program at a chosen system call takes.

#![allow(unsafe_code)]

use std::io::{Error, Result};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// What waitpid(2) tells.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// The process has ended, with this wait status.
    Ended(i32),
    /// It has stopped: the signal, and above it the ptrace event.
    Stopped(i32),
}

/// Lets the thread that spawns the command trace it; it stops at its first instruction.
pub fn trace_me(command: &mut Command) {
    // SAFETY: ptrace is async-signal-safe here, and the closure touches nothing else.
    unsafe {
        command.pre_exec(|| {
            if libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) < 0 {
                return Err(Error::last_os_error());
            }
            Ok(())
        });
    }
}

/// Sets `PTRACE_O_*`.
pub fn set_options(pid: i32, options: i32) -> Result<()> {
    // SAFETY: this request takes plain numbers.
    check(unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, pid, 0, i64::from(options)) })
}

/// Lets it go on, to the next entry to or exit from a system call if `to_call`.
pub fn go_on(pid: i32, to_call: bool, signal: i32) -> Result<()> {
    let request = if to_call {
        libc::PTRACE_SYSCALL
    } else {
        libc::PTRACE_CONT
    };
    // SAFETY: these requests take plain numbers.
    check(unsafe { libc::ptrace(request, pid, 0, i64::from(signal)) })
}

/// Lets it go for good.
pub fn detach(pid: i32) -> Result<()> {
    // SAFETY: this request takes plain numbers.
    check(unsafe { libc::ptrace(libc::PTRACE_DETACH, pid, 0, 0) })
}

/// The number of the system call that it stopped in.
pub fn call_number(pid: i32) -> Option<u64> {
    // SAFETY: the structure is plain data, and the kernel writes at most the size that it is told.
    unsafe {
        let mut info: libc::ptrace_syscall_info = std::mem::zeroed();
        let size = std::mem::size_of_val(&info);
        let got = libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid, size, &raw mut info);
        let entered = got > 0 && info.op == libc::PTRACE_SYSCALL_INFO_ENTRY;
        if entered { Some(info.u.entry.nr) } else { None }
    }
}

/// Waits for any child or tracee of this thread.
pub fn wait_any() -> Result<(i32, Event)> {
    let mut status = 0;
    // SAFETY: waitpid stores one integer.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
    if pid < 0 {
        return Err(Error::last_os_error());
    }
    let event = if libc::WIFSTOPPED(status) {
        Event::Stopped(status >> 8)
    } else {
        Event::Ended(status)
    };
    Ok((pid, event))
}

fn check(result: i64) -> Result<()> {
    if result < 0 {
        Err(Error::last_os_error())
    } else {
        Ok(())
    }
}
