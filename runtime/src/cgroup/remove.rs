//! Removing a container's cgroups.

use std::ffi::CStr;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, CWD, unlinkat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::create::ancestors;
use super::placement::{Place, Placement};
use super::tree::{Visitor, walk};
use crate::error::{CallContext as _, Error, ErrorContext as _, Result};

/// How long killed processes may take to be gone, for all hierarchies together.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first pause before another attempt on a cgroup that is busy without a process to wait for;
/// each is twice the one before it, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

impl Placement {
    /// Removes the container's cgroups, those below them, and those above them that were made for
    /// it and that nothing else has come to use. Waits for processes that have been killed. What is
    /// gone already is no error.
    ///
    /// Only for cgroups that [`Placement::create`] has returned from: others may be someone else's.
    pub fn remove(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut result = Ok(());
        // A failure in one hierarchy doesn't keep the others from being removed.
        for place in &self.places {
            let removed = place.remove_tree(deadline);
            place.remove_parents();
            result = result.and(removed);
        }
        result.context(|| "unable to remove the container's cgroup")
    }

    /// Undoes a [`Placement::create`] that was broken off: removes the cgroups that it has made,
    /// and leaves alone those that were there before or are in use.
    pub fn abandon(&self) {
        self.places.iter().for_each(Place::abandon);
    }
}

impl Place {
    fn abandon(&self) {
        if !self.found {
            // Someone else's is busy, or not ours to remove; both are as they should be.
            let _ = rmdir(&self.path);
        }
        self.remove_parents();
    }

    fn remove_parents(&self) {
        for parent in ancestors(&self.path).take(self.parents_made) {
            // Busy: other containers have come to stand there.
            if !matches!(rmdir(parent), Ok(()) | Err(Errno::NOENT)) {
                break;
            }
        }
    }

    /// Removes this cgroup and all below it.
    fn remove_tree(&self, deadline: Instant) -> Result<()> {
        let mut pause = FIRST_PAUSE;
        loop {
            match rmdir(&self.path) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                Err(Errno::BUSY | Errno::NOTEMPTY) if Instant::now() < deadline => {}
                Err(errno) => {
                    let error = Error::call(format!("rmdir({:?})", self.path), errno);
                    let left = self.processes().map_or(0, |processes| processes.len());
                    return Err(match left {
                        0 => error,
                        left => error.hint(format!("{left} process(es) are still in it")),
                    });
                }
            }
            let mut below = Below { removed: false };
            walk(&self.path, &mut below)?;
            if !below.removed {
                self.wait_for_exits(deadline, &mut pause)?;
            }
        }
    }

    /// Waits until this cgroup has no process, or until one has gone on v1, which has no event for
    /// all; where there is none to wait for, for a moment.
    fn wait_for_exits(&self, deadline: Instant, pause: &mut Duration) -> Result<()> {
        if self.hierarchy.is_empty() {
            // rmdir says what is wrong if they don't go.
            drop(self.wait_for_event("populated 0", deadline));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        match self.processes()?.first() {
            Some(&pid) if !self.hierarchy.is_empty() => wait_for_exit(pid, left),
            // Its processes are gone for us to see, but not yet for the kernel.
            _ => {
                std::thread::sleep((*pause).min(left));
                *pause = (*pause * 2).min(LONGEST_PAUSE);
            }
        }
        Ok(())
    }
}

/// Removes the cgroups that a walk leaves.
struct Below {
    /// Whether there were any that could be removed.
    removed: bool,
}

impl Visitor for Below {
    fn enter(&mut self, _cgroup: BorrowedFd<'_>) -> Result<()> {
        Ok(())
    }

    fn leave(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> Result<()> {
        match unlinkat(parent, name, AtFlags::REMOVEDIR) {
            Ok(()) => self.removed = true,
            Err(Errno::NOENT | Errno::BUSY | Errno::NOTEMPTY) => {}
            Err(errno) => {
                return Err(errno).call(|| format!("unlinkat({name:?}, AT_REMOVEDIR)"));
            }
        }
        Ok(())
    }
}

fn wait_for_exit(pid: Pid, patience: Duration) {
    let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
        return;
    };
    let timeout = Timespec::try_from(patience).ok();
    // However this ends, rmdir is tried next.
    let _ = poll(
        &mut [PollFd::new(&process, PollFlags::IN)],
        timeout.as_ref(),
    );
}

fn rmdir(path: &str) -> rustix::io::Result<()> {
    unlinkat(CWD, path, AtFlags::REMOVEDIR)
}
