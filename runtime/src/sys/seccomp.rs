//! seccomp(2): what the kernel can do, and the installation of a filter.

use std::ops::{BitAnd, BitOrAssign, Sub};
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::seccomp::bpf::Instruction;
use crate::seccomp::{Architecture, Program};

/// Flags of `SECCOMP_SET_MODE_FILTER`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(u32);

/// The words that `linux.seccomp.flags` may hold.
const FLAG_NAMES: &[(&str, Flags)] = &[
    ("SECCOMP_FILTER_FLAG_TSYNC", Flags::TSYNC),
    ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", Flags::SPEC_ALLOW),
    ("SECCOMP_FILTER_FLAG_LOG", Flags::LOG),
    (
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
        Flags::WAIT_KILLABLE_RECV,
    ),
];

impl Flags {
    /// Give the filter to all threads (Linux 3.17).
    pub const TSYNC: Flags = Flags(1 << 0);
    /// Log all actions but ALLOW (Linux 4.14).
    pub const LOG: Flags = Flags(1 << 1);
    /// Don't turn on the mitigation of speculative store bypass (Linux 4.17).
    pub const SPEC_ALLOW: Flags = Flags(1 << 2);
    /// Return a descriptor for the seccomp agent (Linux 5.0).
    pub const NEW_LISTENER: Flags = Flags(1 << 3);
    /// Let nothing but SIGKILL end a call that the agent has received (Linux 5.19).
    pub const WAIT_KILLABLE_RECV: Flags = Flags(1 << 5);

    /// No flag.
    pub const fn empty() -> Self {
        Flags(0)
    }

    /// Whether all of `other` are among these.
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// The kernel's bits; what runc's debug log shows.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The words that `linux.seccomp.flags` may hold.
    pub fn names() -> impl Iterator<Item = &'static str> {
        FLAG_NAMES.iter().map(|(name, _)| *name)
    }

    /// The flag that such a word stands for.
    pub fn named(name: &str) -> Option<Flags> {
        FLAG_NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, flag)| *flag)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Flags) {
        self.0 |= other.0;
    }
}

impl BitAnd for Flags {
    type Output = Flags;

    fn bitand(self, other: Flags) -> Flags {
        Flags(self.0 & other.0)
    }
}

impl Sub for Flags {
    type Output = Flags;

    fn sub(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }
}

/// What compiling a profile has to know of the machine.
#[derive(Debug, Clone)]
pub struct Abilities {
    /// Its architecture, if we know its system calls.
    pub native: Option<Architecture>,
    /// The flags that its kernel takes.
    pub flags: Flags,
}

impl Abilities {
    /// What every kernel has that this runtime can work on (Linux 5.12).
    pub fn of_every_kernel() -> Self {
        let mut flags = Flags::TSYNC;
        flags |= Flags::LOG;
        flags |= Flags::SPEC_ALLOW;
        flags |= Flags::NEW_LISTENER;
        Abilities {
            native: Architecture::NATIVE,
            flags,
        }
    }

    /// Asks the kernel; five calls, no other effect.
    pub fn probe() -> Self {
        let mut flags = Flags::empty();
        for flag in [
            Flags::TSYNC,
            Flags::LOG,
            Flags::SPEC_ALLOW,
            Flags::NEW_LISTENER,
            Flags::WAIT_KILLABLE_RECV,
        ] {
            if takes_flag(flag) {
                flags |= flag;
            }
        }
        Abilities {
            native: Architecture::NATIVE,
            flags,
        }
    }
}

/// Whether the kernel knows a flag: it looks at the flags before it looks for the filter.
fn takes_flag(flag: Flags) -> bool {
    // Linux takes WAIT_KILLABLE_RECV only together with NEW_LISTENER.
    let flags = if flag == Flags::WAIT_KILLABLE_RECV {
        flag.0 | Flags::NEW_LISTENER.0
    } else {
        flag.0
    };
    // SAFETY: a null filter can't be installed; the kernel answers EFAULT, or EINVAL if it does
    // not know the flag.
    let refused = unsafe { seccomp(libc::SECCOMP_SET_MODE_FILTER, flags, ptr::null()) };
    refused == Err(Errno::FAULT)
}

/// Whether the kernel knows an action (`SECCOMP_GET_ACTION_AVAIL`, Linux 4.14): `action` is a
/// `SECCOMP_RET_*` value.
pub fn takes_action(action: u32) -> bool {
    // SAFETY: the kernel reads a u32, and `action` outlives the call.
    let answer = unsafe {
        seccomp(
            libc::SECCOMP_GET_ACTION_AVAIL,
            0,
            ptr::from_ref(&action).cast(),
        )
    };
    answer.is_ok()
}

/// Installs a filter for the calling thread, for good.
///
/// The thread must have `no_new_privs` or `CAP_SYS_ADMIN` in its user namespace. Gives the
/// seccomp agent's descriptor (close-on-exec) if the program has a listener. Allocates only to
/// report an error.
pub fn install(program: &Program) -> Result<Option<OwnedFd>> {
    let instructions = program.instructions();
    let filter = libc::sock_fprog {
        len: u16::try_from(instructions.len()).unwrap_or(u16::MAX),
        filter: instructions.as_ptr().cast_mut().cast(),
    };
    // SAFETY: the filter points to as many instructions as it says, laid out as the kernel's
    // (checked below); the kernel copies and never writes them.
    let answer = unsafe {
        seccomp(
            libc::SECCOMP_SET_MODE_FILTER,
            program.flags().bits(),
            ptr::from_ref(&filter).cast(),
        )
    };
    let answer = answer.map_err(|errno| {
        let error = Error::call(
            format!(
                "error loading seccomp filter: seccomp(SECCOMP_SET_MODE_FILTER, {:#x}, {} \
                 instructions)",
                program.flags().bits(),
                instructions.len()
            ),
            errno,
        );
        let error = error.at("/linux/seccomp");
        match errno {
            Errno::ACCESS => error.hint("it takes noNewPrivileges or CAP_SYS_ADMIN"),
            Errno::BUSY => error.hint("another filter of this process has a listener already"),
            _ => error,
        }
    })?;
    // SAFETY: with NEW_LISTENER the kernel returns a descriptor that nobody else has.
    Ok(program
        .has_listener()
        .then(|| unsafe { OwnedFd::from_raw_fd(answer) }))
}

const _: () = assert!(size_of::<Instruction>() == size_of::<libc::sock_filter>());
const _: () = assert!(align_of::<Instruction>() == align_of::<libc::sock_filter>());

/// The bare call.
///
/// # Safety
///
/// `argument` must be what seccomp(2) asks for with `operation`.
unsafe fn seccomp(
    operation: libc::c_uint,
    flags: u32,
    argument: *const libc::c_void,
) -> Result<i32, Errno> {
    // SAFETY: the caller's promise.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, operation, flags, argument) };
    if answer < 0 {
        let errno = std::io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or_default();
        return Err(Errno::from_raw_os_error(errno));
    }
    Ok(i32::try_from(answer).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::{action_names, action_value, compile};

    const DOCKER: &str = include_str!("../../tests/data/seccomp/docker.json");

    fn program(profile: &str) -> Program {
        compile(&serde_json::from_str(profile).unwrap(), &Abilities::probe()).unwrap()
    }

    /// Runs `body` in a child under the filter; gives the child's wait status.
    fn under(program: &Program, body: impl Fn(Option<OwnedFd>) -> bool) -> libc::c_int {
        // SAFETY: the child, which has one thread of many, only makes system calls: what it needs
        // of memory was there before.
        unsafe {
            let child = libc::fork();
            assert!(child >= 0);
            if child == 0 {
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
                let Ok(listener) = install(program) else {
                    libc::_exit(101)
                };
                libc::_exit(if body(listener) { 0 } else { 102 });
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
            status
        }
    }

    /// Makes a system call with up to two arguments and the rest zero; gives its errno or 0.
    fn errno_of(number: libc::c_long, first: libc::c_ulong) -> i32 {
        // SAFETY: the calls of these tests take numbers or null pointers.
        let answer = unsafe { libc::syscall(number, first, 0, 0, 0, 0, 0) };
        if answer >= 0 {
            0
        } else {
            std::io::Error::last_os_error().raw_os_error().unwrap_or(-1)
        }
    }

    #[test]
    fn dockers_profile_works_in_the_kernel() {
        let program = program(DOCKER);
        assert!(!program.has_listener());
        assert_eq!(program.flags(), Flags::SPEC_ALLOW);
        let status = under(&program, |listener| {
            listener.is_none()
                && errno_of(libc::SYS_getpid, 0) == 0
                && errno_of(libc::SYS_close, libc::c_ulong::MAX) == libc::EBADF
                && errno_of(libc::SYS_personality, 0xffff_ffff) == 0
                && errno_of(libc::SYS_personality, 8) == 0
                && errno_of(libc::SYS_personality, 0x0800_0000) == libc::EPERM
                && errno_of(libc::SYS_kexec_load, 0) == libc::EPERM
                && errno_of(libc::SYS_clone3, 0) == libc::ENOSYS
                && errno_of(5000, 0) == libc::ENOSYS
        });
        assert_eq!(status, 0);
    }

    #[test]
    fn arguments_are_compared_as_64_bits_in_the_kernel() {
        let program = program(
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["umask"],
                "action": "SCMP_ACT_ERRNO", "errnoRet": 77,
                "args": [{"index": 0, "op": "SCMP_CMP_GE", "value": 4294967298}]}]}"#,
        );
        let status = under(&program, |_| {
            errno_of(libc::SYS_umask, (1 << 32) + 2) == 77
                && errno_of(libc::SYS_umask, 2 << 32) == 77
                && errno_of(libc::SYS_umask, (1 << 32) + 1) == 0
                && errno_of(libc::SYS_umask, 0xffff_ffff) == 0
        });
        assert_eq!(status, 0);
    }

    #[test]
    fn a_killed_process_dies_of_sigsys() {
        for action in ["SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"] {
            let program = program(&format!(
                r#"{{"defaultAction": "SCMP_ACT_ALLOW",
                    "syscalls": [{{"names": ["getpgrp", "getpgid"], "action": "{action}"}}]}}"#
            ));
            let status = under(&program, |_| errno_of(libc::SYS_getpgid, 0) == 0);
            assert!(libc::WIFSIGNALED(status), "{action}: {status:#x}");
            assert_eq!(libc::WTERMSIG(status), libc::SIGSYS);
        }
    }

    #[test]
    fn notify_gives_a_listener_that_no_program_inherits() {
        let program = program(
            r#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent.sock",
                "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]}"#,
        );
        assert!(program.has_listener());
        let status = under(&program, |listener| {
            use std::os::fd::AsRawFd;
            let Some(listener) = listener else {
                return false;
            };
            // SAFETY: F_GETFD takes no pointer.
            unsafe { libc::fcntl(listener.as_raw_fd(), libc::F_GETFD) == libc::FD_CLOEXEC }
        });
        assert_eq!(status, 0);
    }

    #[test]
    fn this_kernel_knows_all_actions_and_flags() {
        // Every kernel since 5.19, so every one that the tests are run on.
        for name in action_names() {
            assert!(takes_action(action_value(name).unwrap()), "{name}");
        }
        assert!(!takes_action(0x0001_0000));
        let abilities = Abilities::probe();
        for name in Flags::names() {
            assert!(
                abilities.flags.contains(Flags::named(name).unwrap()),
                "{name}"
            );
        }
        assert!(!takes_flag(Flags(1 << 30)));
    }
}
