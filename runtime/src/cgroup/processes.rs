//! The processes of a container: who they are, and signals for all of them.

use std::collections::BTreeSet;
use std::ffi::CStr;
use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::files;
use super::placement::{Place, Placement};
use super::tree::{Visitor, walk};
use crate::error::{CallContext as _, Result};

/// How often the list of processes is gone through for those that came meanwhile, where they can't
/// be frozen first.
const ROUNDS: usize = 64;

impl Placement {
    /// All processes in the container's cgroup and those below it; none if it is gone. Processes
    /// that our pid namespace can't see are left out.
    pub fn processes(&self) -> Result<Vec<Pid>> {
        self.whole().map_or(Ok(Vec::new()), Place::processes)
    }

    /// Sends `signal` to all processes in the container's cgroup and those below it, so that none
    /// can get away by forking; to none if it is gone.
    ///
    /// They are frozen meanwhile, and stay frozen if they were before. `SIGKILL` wakes them; where
    /// there is a cgroup of version 2, the kernel sends it to all at once (`cgroup.kill`, Linux
    /// 5.14).
    pub fn signal_all(&self, signal: Signal) -> Result<()> {
        let kill = signal == Signal::KILL;
        if kill && self.kill_by_kernel()? {
            // What was in the cgroup of version 2 can't fork any more. On v1 the dead have to be
            // thawed to go, and others may have been put into some hierarchies only.
            if self.layout_is_v2() {
                return Ok(());
            }
            self.thaw()?;
            return self.signal_each(signal, ROUNDS);
        }
        if self.processes()?.is_empty() {
            return Ok(());
        }
        let frozen_before = self.is_frozen()?;
        // Without a freezer the loop has to do.
        let frozen = frozen_before || self.freeze().is_ok();
        let result = self.signal_each(signal, if frozen { 1 } else { ROUNDS });
        if frozen && (kill || !frozen_before) {
            self.thaw()?;
        }
        result
    }

    /// Has the kernel kill the processes of the cgroup of version 2; whether there was one, and a
    /// kernel that can.
    fn kill_by_kernel(&self) -> Result<bool> {
        let Some(place) = self.v2() else {
            return Ok(false);
        };
        match files::write_to(&format!("{}/cgroup.kill", place.path), "1") {
            Err(error) if error.errno().is_some_and(files::is_gone) => Ok(false),
            result => result.map(|()| true),
        }
    }

    fn signal_each(&self, signal: Signal, rounds: usize) -> Result<()> {
        let mut signalled = BTreeSet::new();
        for _ in 0..rounds {
            let mut news = false;
            for pid in self.processes()? {
                if signalled.insert(pid.as_raw_nonzero()) {
                    news = true;
                    match kill_process(pid, signal) {
                        Ok(()) | Err(Errno::SRCH) => {}
                        Err(errno) => {
                            let (pid, signal) = (pid.as_raw_nonzero(), signal.as_raw());
                            return Err(errno).call(|| format!("kill({pid}, {signal})"));
                        }
                    }
                }
            }
            if !news {
                break;
            }
        }
        Ok(())
    }

    /// The hierarchy that stands for all: the one that can freeze, so that what is listed there is
    /// what is frozen, else the first.
    fn whole(&self) -> Option<&Place> {
        self.freezer().or_else(|| self.places.first())
    }
}

impl Place {
    /// Puts `pid` into this cgroup.
    ///
    /// # Errors
    /// cgroups(7)'s, with the file.
    pub fn attach(&self, pid: Pid) -> Result<()> {
        let pid = pid.as_raw_nonzero().to_string();
        files::write_to(&format!("{}/cgroup.procs", self.path), &pid)
    }

    /// The processes of this cgroup and those below it.
    pub(super) fn processes(&self) -> Result<Vec<Pid>> {
        let mut found = Processes(Vec::new());
        walk(&self.path, &mut found)?;
        Ok(found.0)
    }
}

/// Collects the processes of each cgroup of a walk.
struct Processes(Vec<Pid>);

impl Visitor for Processes {
    fn enter(&mut self, cgroup: BorrowedFd<'_>) -> Result<()> {
        let read = |name: &CStr| {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            openat(cgroup, name, flags, Mode::empty()).and_then(files::read_from)
        };
        let listed = match read(c"cgroup.procs") {
            // A threaded cgroup of version 2 lists threads only.
            Err(Errno::OPNOTSUPP) => read(c"cgroup.threads"),
            result => result,
        };
        match listed {
            Err(errno) if files::is_gone(errno) => Ok(()),
            listed => {
                let listed = listed.call(|| "reading cgroup.procs")?;
                let pids = listed.lines().filter_map(|pid| pid.parse().ok());
                self.0.extend(pids.filter_map(Pid::from_raw));
                Ok(())
            }
        }
    }

    fn leave(&mut self, _parent: BorrowedFd<'_>, _name: &CStr) -> Result<()> {
        Ok(())
    }
}
