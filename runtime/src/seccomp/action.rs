//! What a filter says of a system call.

use rustix::io::Errno;

use crate::error::{Error, Result};

/// The words that `defaultAction` and `action` may hold, and the kernel's values for them
/// (linux/seccomp.h's `SECCOMP_RET_*`), by their precedence in the kernel.
const NAMES: &[(&str, u32)] = &[
    ("SCMP_ACT_KILL", KILL_THREAD),
    ("SCMP_ACT_KILL_PROCESS", libc::SECCOMP_RET_KILL_PROCESS),
    ("SCMP_ACT_KILL_THREAD", KILL_THREAD),
    ("SCMP_ACT_TRAP", libc::SECCOMP_RET_TRAP),
    ("SCMP_ACT_ERRNO", libc::SECCOMP_RET_ERRNO),
    ("SCMP_ACT_NOTIFY", libc::SECCOMP_RET_USER_NOTIF),
    ("SCMP_ACT_TRACE", libc::SECCOMP_RET_TRACE),
    ("SCMP_ACT_LOG", libc::SECCOMP_RET_LOG),
    ("SCMP_ACT_ALLOW", libc::SECCOMP_RET_ALLOW),
];

const KILL_THREAD: u32 = libc::SECCOMP_RET_KILL_THREAD;

/// The lower half of an action's value: its errno or its message to the tracer.
const DATA: u32 = libc::SECCOMP_RET_DATA;
/// `MAX_ERRNO` (include/linux/err.h).
const LARGEST_ERRNO: u32 = 4095;

/// The value that a filter returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Action(pub(super) u32);

impl Action {
    /// What a filter of libseccomp does to programs of an architecture that it does not cover.
    pub(super) const BAD_ARCHITECTURE: Action = Action(KILL_THREAD);

    /// "There is no such system call."
    pub(super) const ENOSYS: Action = Action::errno(Errno::NOSYS);

    /// The words that actions of a profile may be.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// The kernel's value for such a word, without an errno.
    pub(super) fn value_of(name: &str) -> Option<u32> {
        NAMES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| *value)
    }

    /// The action that a profile asks for by `name` and `errno`, both found at the JSON pointers
    /// that `name_at` and `errno_at` tell.
    pub(super) fn parse(
        name: &str,
        errno: Option<u64>,
        name_at: impl Fn() -> String,
        errno_at: impl Fn() -> String,
    ) -> Result<Action> {
        let Some(value) = Action::value_of(name) else {
            return Err(Error::config(
                name_at(),
                format!("string {name} is not a valid action for seccomp"),
            )
            .hint(format!(
                "one of {}",
                Action::names().collect::<Vec<_>>().join(", ")
            )));
        };
        let with_data = matches!(value, libc::SECCOMP_RET_ERRNO | libc::SECCOMP_RET_TRACE);
        match errno {
            None if with_data => Ok(Action(value | Errno::PERM.raw_os_error().unsigned_abs())),
            None => Ok(Action(value)),
            // config-linux.md: "When the action doesn't support an errno, the runtime MUST print
            // an error and fail."
            Some(_) if !with_data => Err(Error::config(
                errno_at(),
                format!("{name} has no errno to return"),
            )),
            Some(errno) => {
                // A tracer gets any 16 bits; of a greater errno the kernel makes 4095
                // (`__seccomp_filter`, seccomp(2)).
                let most = if value == libc::SECCOMP_RET_ERRNO {
                    LARGEST_ERRNO
                } else {
                    DATA
                };
                match u32::try_from(errno) {
                    Ok(errno) if errno <= most => Ok(Action(value | errno)),
                    _ => Err(Error::config(
                        errno_at(),
                        format!("{errno} is no errno: {name} can return {most} at most"),
                    )),
                }
            }
        }
    }

    const fn errno(errno: Errno) -> Action {
        Action(libc::SECCOMP_RET_ERRNO | errno.raw_os_error().unsigned_abs())
    }

    /// Whether the seccomp agent is asked.
    pub(super) fn is_notify(self) -> bool {
        self.0 == libc::SECCOMP_RET_USER_NOTIF
    }

    /// Whether the system call is done, or may be by the tracer's leave: then a system call that
    /// is newer than the profile is no one else's business either (runc's rule).
    pub(super) fn lets_through(self) -> bool {
        matches!(
            self.0 & !DATA,
            libc::SECCOMP_RET_ALLOW | libc::SECCOMP_RET_LOG | libc::SECCOMP_RET_TRACE
        )
    }
}
