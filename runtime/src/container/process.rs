//! A process that may have ended, and whose pid may have been given to another since.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::error::{CallContext, Error, Result};
use crate::sys;
use crate::sys::exec::spend;

/// A process that is told from others with the same pid by its start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessIdentity {
    /// Its pid.
    pub pid: i32,
    /// Its start time, in clock ticks since boot.
    pub start_time: u64,
}

impl ProcessIdentity {
    /// Of a living process. The file that tells is closed with all else that is spent.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(pid: i32) -> Result<Self> {
        let (stat, file) = Stat::read(pid)
            .ok_or_else(|| Error::call(format!("read /proc/{pid}/stat"), Errno::SRCH))?;
        spend([file]);
        Ok(ProcessIdentity {
            pid,
            start_time: stat.start_time,
        })
    }

    /// Whether it is still running: a zombie, which only waits for its parent, is not.
    pub fn is_running(&self) -> bool {
        Stat::read(self.pid)
            .is_some_and(|(stat, _)| stat.start_time == self.start_time && !stat.is_dead)
    }

    /// Its pidfd; `None` when it has ended.
    ///
    /// # Errors
    /// pidfd_open(2)'s.
    pub fn open(&self) -> Result<Option<OwnedFd>> {
        let Some(pid) = Pid::from_raw(self.pid) else {
            return Ok(None);
        };
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            Err(Errno::SRCH) => return Ok(None),
            result => result.call(|| format!("pidfd_open({})", self.pid))?,
        };
        // Only now: the pidfd holds the process that the check is about.
        Ok(self.is_running().then_some(pidfd))
    }

    /// Sends it a signal; `false` when it has ended.
    ///
    /// # Errors
    /// pidfd_send_signal(2)'s.
    pub fn signal(&self, signal: i32) -> Result<bool> {
        let Some(pidfd) = self.open()? else {
            return Ok(false);
        };
        match sys::signal::send(pidfd.as_fd(), signal) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(errno) => Err(Error::call(
                format!("pidfd_send_signal({}, {signal})", self.pid),
                errno,
            )),
        }
    }
}

struct Stat {
    start_time: u64,
    is_dead: bool,
}

impl Stat {
    /// /proc/PID/stat (proc_pid_stat(5)). The name in the second field may contain anything, so
    /// fields are counted from its closing parenthesis.
    fn read(pid: i32) -> Option<(Self, OwnedFd)> {
        // A line of 52 numbers and a name of at most 64 bytes: one read gets all of it.
        let path = format!("/proc/{pid}/stat");
        let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let mut line = [0_u8; 2048];
        let length = rustix::io::read(&file, &mut line).ok()?;
        let text = String::from_utf8_lossy(&line[..length]);
        let (_, fields) = text.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace();
        let state = fields.next()?;
        // The state is field 3, the start time field 22.
        let start_time = fields.nth(22 - 4)?.parse().ok()?;
        let stat = Stat {
            start_time,
            is_dead: matches!(state, "Z" | "X"),
        };
        Some((stat, file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_alone_is_not_a_process() {
        let own = ProcessIdentity::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.is_running());
        let other = ProcessIdentity {
            start_time: own.start_time + 1,
            ..own
        };
        assert!(!other.is_running());
        assert!(other.open().unwrap().is_none());
        assert!(!other.signal(0).unwrap());
    }

    #[test]
    fn a_zombie_is_not_running() {
        let mut child = std::process::Command::new("/bin/sleep")
            .arg("100")
            .spawn()
            .unwrap();
        let identity = ProcessIdentity::of(i32::try_from(child.id()).unwrap()).unwrap();
        child.kill().unwrap();
        while identity.is_running() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }
}
