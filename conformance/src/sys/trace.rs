//! Following the system calls of a program and its children (ptrace(2)).

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Where a thread has stopped in a system call.
#[derive(Clone, Copy, Debug)]
pub enum At {
    /// Before it.
    Entry {
        /// The call's number.
        number: libc::c_long,
        /// Its arguments.
        arguments: [u64; 6],
    },
    /// Behind it.
    Exit {
        /// What it returned; an errno is negative.
        value: i64,
    },
}

/// What a traced thread has done.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// It stopped at a system call.
    Call,
    /// It is about to be handed this signal.
    Signal(i32),
    /// It stopped for a reason that is only the tracer's.
    Other,
    /// It has ended: exit status as a shell says it.
    Ended(i32),
}

/// Has the command stop for its parent when it has become its program.
pub fn trace_me(command: &mut Command) {
    // SAFETY: PTRACE_TRACEME has no memory effects, and ptrace(2) is a bare system call.
    unsafe {
        command.pre_exec(|| {
            if libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) == -1 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

/// Begins to follow a process that has stopped behind [`trace_me`], and what it starts.
///
/// It is seized anew: what a seized process starts stops for its tracer alone, while the children
/// of one that asked to be traced are sent SIGSTOP, and would be left stopped by a tracer that ends.
///
/// # Errors
/// The kernel's errno.
pub fn follow(process: i32) -> io::Result<()> {
    let options = libc::PTRACE_O_TRACESYSGOOD
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEEXEC;
    // SAFETY: these requests take numbers only.
    unsafe {
        answer(libc::ptrace(libc::PTRACE_DETACH, process, 0, libc::SIGSTOP))?;
        if libc::waitpid(process, std::ptr::null_mut(), libc::WUNTRACED) == -1 {
            return Err(io::Error::last_os_error());
        }
        answer(libc::ptrace(libc::PTRACE_SEIZE, process, 0, options))?;
        answer(libc::kill(process, libc::SIGCONT).into())
    }
}

/// Lets the stopped thread go on to its next stop, with a signal or with 0.
///
/// # Errors
/// `ESRCH` when it was killed in the meantime.
pub fn go_on(thread: i32, signal: i32) -> io::Result<()> {
    // SAFETY: PTRACE_SYSCALL takes numbers only.
    answer(unsafe { libc::ptrace(libc::PTRACE_SYSCALL, thread, 0, signal) })
}

/// Waits for the next thing that any traced thread does.
///
/// # Errors
/// `ECHILD` when there is none left.
pub fn next() -> io::Result<(i32, Event)> {
    let mut status = 0;
    let thread = loop {
        // SAFETY: the kernel writes one int, and `status` is one.
        let thread = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL) };
        if thread != -1 {
            break thread;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    };
    let event = if libc::WIFEXITED(status) {
        Event::Ended(libc::WEXITSTATUS(status))
    } else if libc::WIFSIGNALED(status) {
        Event::Ended(128 + libc::WTERMSIG(status))
    } else if status >> 16 != 0 {
        Event::Other
    } else if libc::WSTOPSIG(status) == libc::SIGTRAP | 0x80 {
        Event::Call
    } else {
        Event::Signal(libc::WSTOPSIG(status))
    };
    Ok((thread, event))
}

/// At which call, and on which side of it, a thread has stopped with [`Event::Call`].
///
/// # Errors
/// `EIO` on a kernel that doesn't tell (before 5.3, and some architectures).
pub fn call(thread: i32) -> io::Result<Option<At>> {
    // SAFETY: the structure is plain data.
    let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
    let size = std::mem::size_of::<libc::ptrace_syscall_info>();
    // SAFETY: the kernel writes at most `size` bytes to `info`, which has as many.
    let written =
        unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, thread, size, &raw mut info) };
    answer(written)?;
    Ok(match info.op {
        // SAFETY: at an entry the kernel has filled `entry` in.
        libc::PTRACE_SYSCALL_INFO_ENTRY => unsafe {
            Some(At::Entry {
                number: info.u.entry.nr.try_into().unwrap_or(-1),
                arguments: info.u.entry.args,
            })
        },
        // SAFETY: at an exit the kernel has filled `exit` in.
        libc::PTRACE_SYSCALL_INFO_EXIT => unsafe {
            Some(At::Exit {
                value: info.u.exit.sval,
            })
        },
        _ => None,
    })
}

fn answer(value: libc::c_long) -> io::Result<()> {
    if value == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
