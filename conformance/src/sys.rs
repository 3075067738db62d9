//! The system calls that neither the standard library nor rustix offers safely.
#![allow(unsafe_code)]

pub mod trace;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes one system call with whole numbers only: an argument that the kernel takes for a pointer
/// is better 0, so that an allowed call answers EFAULT and touches nothing.
///
/// # Errors
/// The kernel's errno.
pub fn call(number: libc::c_long, arguments: [libc::c_ulong; 6]) -> io::Result<i64> {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    // SAFETY: the probe passes small integers and null pointers; the kernel checks pointers
    // itself, and the probe keeps no state that a call could change behind Rust's back.
    let value = unsafe { libc::syscall(number, first, second, third, fourth, fifth, sixth) };
    if value == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(value)
    }
}

/// Blocks every signal, so that [`next_signal`] gets them, also those that a pid namespace's
/// first process would otherwise never see (signal(7)).
///
/// # Errors
/// That of pthread_sigmask(3).
pub fn block_signals() -> io::Result<()> {
    // SAFETY: `set` is plain data that sigfillset initialises before it is read.
    let status = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut set);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut())
    };
    if status == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(status))
    }
}

/// Waits for a signal that [`block_signals`] holds back and returns its number.
///
/// # Errors
/// That of sigwaitinfo(2).
pub fn next_signal() -> io::Result<i32> {
    loop {
        // SAFETY: `set` is initialised by sigfillset; a null siginfo pointer is allowed.
        let signal = unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut set);
            libc::sigwaitinfo(&raw const set, std::ptr::null_mut())
        };
        if signal != -1 {
            return Ok(signal);
        }
        // Being frozen on cgroup v2 interrupts it (signal(7)).
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Ends the calling process by `signal`, with its default action.
pub fn die_of(signal: i32) {
    // SAFETY: signal(2) with SIG_DFL and raise(3) have no memory effects.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
}

/// Leaves a child behind that blocks all signals and sleeps; returns its process id.
///
/// # Errors
/// That of fork(2).
pub fn fork_sleeper() -> io::Result<i32> {
    // SAFETY: the probe has one thread, so the child may go on in Rust; it never returns.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => loop {
            // SAFETY: pause(2) takes no arguments.
            unsafe { libc::pause() };
        },
        child => Ok(child),
    }
}

/// Gives the command a session of its own with its standard input as controlling terminal.
pub fn in_own_session(command: &mut Command) {
    // SAFETY: setsid(2) and ioctl(2) are async-signal-safe and allocate nothing.
    unsafe {
        command.pre_exec(|| {
            if libc::setsid() == -1 || libc::ioctl(0, libc::TIOCSCTTY, 0) == -1 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

/// Gives the command a network namespace of its own.
pub fn in_new_network(command: &mut Command) {
    // SAFETY: unshare(2) is a bare system call.
    unsafe {
        command.pre_exec(|| {
            if libc::unshare(libc::CLONE_NEWNET) == -1 {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        });
    }
}

/// Passes descriptors to the command under the given numbers.
pub fn with_descriptors(command: &mut Command, descriptors: Vec<(OwnedFd, RawFd)>) {
    // SAFETY: dup2(2) is async-signal-safe; the sources stay open as the closure owns them. The
    // sources are moved out of the way first, so that no target closes a later source.
    unsafe {
        command.pre_exec(move || {
            for (source, target) in &descriptors {
                let out_of_the_way = libc::fcntl(source.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 100);
                if out_of_the_way == -1 || libc::dup2(out_of_the_way, *target) == -1 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
}

/// Moves the calling process into new namespaces (`CLONE_NEW*` flags of unshare(2)).
///
/// # Errors
/// The kernel's errno.
pub fn unshare(flags: i32) -> io::Result<()> {
    // SAFETY: the callers have one thread and pass no CLONE_FILES, so no descriptor table is
    // split under anyone's feet.
    if unsafe { libc::unshare(flags) } == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Keeps the descriptors that we inherited, beyond the standard streams, from the programs that
/// we start: what a runtime leaks shall be its own.
pub fn keep_descriptors_to_ourselves() {
    // SAFETY: CLOSE_RANGE_CLOEXEC only sets a flag on each descriptor (close_range(2)); on a
    // kernel before 5.11 it does nothing.
    unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3_u32,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        );
    }
}

/// What a filter with `SCMP_ACT_NOTIFY` asks (`seccomp_unotify(2)`).
pub mod notification {
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};

    /// A call that waits for an answer.
    #[derive(Debug)]
    pub struct Call {
        id: u64,
        /// Its number.
        pub number: libc::c_long,
    }

    /// `SECCOMP_IOCTL_NOTIF_RECV` and `SECCOMP_IOCTL_NOTIF_SEND` of linux/seccomp.h.
    const RECEIVE: libc::c_ulong = 0xc050_2100;
    const SEND: libc::c_ulong = 0xc018_2101;
    /// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`.
    const CONTINUE: u32 = 1;

    /// Waits for a call.
    ///
    /// # Errors
    /// `ENOENT` when the last process with the filter has ended.
    pub fn receive(filter: &OwnedFd) -> io::Result<Call> {
        loop {
            let mut ready = libc::pollfd {
                fd: filter.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            // SAFETY: one pollfd, which outlives the call.
            if unsafe { libc::poll(&raw mut ready, 1, -1) } == -1 {
                return Err(io::Error::last_os_error());
            }
            if ready.revents & libc::POLLIN == 0 {
                return Err(io::ErrorKind::NotFound.into());
            }
            // SAFETY: the structure is plain data, which the kernel wants zeroed.
            let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
            // SAFETY: the kernel writes a seccomp_notif, and `call` is one.
            if unsafe { libc::ioctl(filter.as_raw_fd(), RECEIVE as _, &raw mut call) } == 0 {
                return Ok(Call {
                    id: call.id,
                    number: call.data.nr.into(),
                });
            }
            let error = io::Error::last_os_error();
            // ENOENT: the caller was killed before we got here.
            if ![Some(libc::EINTR), Some(libc::ENOENT)].contains(&error.raw_os_error()) {
                return Err(error);
            }
        }
    }

    /// Lets a call fail with `errno`, or be carried out.
    ///
    /// # Errors
    /// The kernel's errno.
    pub fn answer(filter: &OwnedFd, call: &Call, errno: Option<i32>) -> io::Result<()> {
        // SAFETY: the structure is plain data.
        let mut answer: libc::seccomp_notif_resp = unsafe { std::mem::zeroed() };
        answer.id = call.id;
        match errno {
            Some(errno) => answer.error = -errno,
            None => answer.flags = CONTINUE,
        }
        // SAFETY: the kernel reads a seccomp_notif_resp, and `answer` is one.
        if unsafe { libc::ioctl(filter.as_raw_fd(), SEND as _, &raw mut answer) } == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}
