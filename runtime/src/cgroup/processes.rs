//! The processes of a container: who they are, and signals for all of them.

use std::collections::BTreeSet;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use super::files;
use super::placement::{Place, Placement};
use crate::error::{CallContext as _, Result};

/// How often the list of processes is gone through for those that came meanwhile, where they can't
/// be frozen first.
const ROUNDS: usize = 64;

impl Placement {
    /// Puts `pid` into the container's cgroups, all of them.
    pub fn attach(&self, pid: Pid) -> Result<()> {
        let pid = pid.as_raw_nonzero().to_string();
        self.places
            .iter()
            .try_for_each(|place| files::write_to(&format!("{}/cgroup.procs", place.path), &pid))
    }

    /// All processes in the container's cgroup and those below it; none if it is gone. Processes
    /// that our pid namespace can't see are left out.
    pub fn processes(&self) -> Result<Vec<Pid>> {
        self.whole().map_or(Ok(Vec::new()), Place::processes)
    }

    /// Sends `signal` to all processes in the container's cgroup and those below it, so that none
    /// can get away by forking; to none if it is gone.
    ///
    /// They are frozen meanwhile, or, for `SIGKILL` on cgroup v2, killed by the kernel at once
    /// (`cgroup.kill`, Linux 5.14). A container that was frozen before stays frozen, but for
    /// `SIGKILL`.
    pub fn signal_all(&self, signal: Signal) -> Result<()> {
        let kill = signal == Signal::KILL;
        if kill && let Some(place) = self.freezer().filter(|place| place.hierarchy.is_empty()) {
            match files::write_to(&format!("{}/cgroup.kill", place.path), "1") {
                // No such cgroup, or no such file in this kernel: the loop finds out.
                Err(error) if error.errno().is_some_and(files::is_gone) => {}
                result => return result,
            }
        }
        if self.processes()?.is_empty() {
            return Ok(());
        }
        let frozen_before = self.is_frozen()?;
        // Without a freezer the loop below has to do.
        let frozen = frozen_before || self.freeze().is_ok();
        let result = self.signal_each(signal, if frozen { 1 } else { ROUNDS });
        if frozen && (kill || !frozen_before) {
            self.thaw()?;
        }
        result
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
    /// The processes of this cgroup and those below it.
    pub(super) fn processes(&self) -> Result<Vec<Pid>> {
        let mut found = Vec::new();
        collect(&self.path, &mut found)?;
        Ok(found)
    }
}

fn collect(path: &str, found: &mut Vec<Pid>) -> Result<()> {
    let procs = format!("{path}/cgroup.procs");
    let listed = match files::read(&procs) {
        // A threaded cgroup of version 2 lists threads only.
        Err(error) if error.errno() == Some(Errno::OPNOTSUPP) => {
            files::read(&format!("{path}/cgroup.threads"))
        }
        result => result,
    };
    match listed {
        Ok(listed) => found.extend(
            listed
                .lines()
                .filter_map(|pid| pid.parse().ok())
                .filter_map(Pid::from_raw),
        ),
        Err(error) if error.errno().is_some_and(files::is_gone) => return Ok(()),
        Err(error) => return Err(error),
    }
    for name in sub_cgroups(path)? {
        collect(&format!("{path}/{name}"), found)?;
    }
    Ok(())
}

/// The names of the cgroups right below `path`; none if it is gone.
pub(super) fn sub_cgroups(path: &str) -> Result<BTreeSet<String>> {
    match files::open(path, OFlags::RDONLY | OFlags::DIRECTORY).and_then(files::sub_directories) {
        Err(errno) if files::is_gone(errno) => Ok(BTreeSet::new()),
        result => result.call(|| format!("getdents64({path:?})")),
    }
}
