//! Making a container's cgroups and putting its first process in.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, accessat, mkdirat};
use rustix::io::Errno;
use rustix::process::Pid;

use super::files;
use super::hierarchies::{Hierarchies, Hierarchy, Layout, Version};
use super::limits::Write;
use super::placement::{Place, Placement};
use crate::error::{CallContext as _, Error, ErrorContext as _, Result};
use crate::sys::exec::spend;

/// How often a directory is tried again whose parent another runtime removes at the same time.
const ATTEMPTS: usize = 16;

/// The open way into a container's new cgroups.
#[derive(Debug)]
pub struct Entrance {
    /// `tasks` of each v1 hierarchy, with its path.
    v1: Vec<(OwnedFd, String)>,
    v2: Option<(OwnedFd, String)>,
}

impl Entrance {
    /// The way into the cgroups of a container that runs, for a process of our own; `None` where not
    /// all of them are open to us.
    pub fn of_running(placement: &Placement) -> Option<Self> {
        let mut entrance = Entrance {
            v1: Vec::with_capacity(placement.places.len()),
            v2: None,
        };
        for place in &placement.places {
            let path = place.path.clone();
            if place.hierarchy.is_empty() {
                let directory = files::open(&path, OFlags::PATH | OFlags::DIRECTORY).ok()?;
                entrance.v2 = Some((directory, path));
            } else {
                let path = format!("{path}/tasks");
                entrance
                    .v1
                    .push((files::open(&path, OFlags::WRONLY).ok()?, path));
            }
        }
        Some(entrance)
    }

    /// The directory in the unified hierarchy, for `CLONE_INTO_CGROUP` of clone3(2) (Linux 5.7).
    pub fn v2(&self) -> Option<BorrowedFd<'_>> {
        self.v2.as_ref().map(|(directory, _)| directory.as_fd())
    }

    /// Puts this process, which has one thread, into all cgroups of version 1: all but the one that
    /// `CLONE_INTO_CGROUP` did.
    ///
    /// A thread that moves itself alone (`0`) can't end or fork meanwhile, so the kernel does it
    /// without the lock that keeps every process from that, and that takes an RCU grace period to get
    /// (`cgroup_procs_write_start`, Linux 5.5).
    pub fn enter_v1(&self) -> Result<()> {
        self.write_to_v1("0")
    }

    /// Puts `pid`, which has one thread, into all cgroups.
    pub fn attach(&self, pid: Pid) -> Result<()> {
        let pid = pid.as_raw_nonzero().to_string();
        self.write_to_v1(&pid)?;
        self.v2.as_ref().map_or(Ok(()), |(_, path)| {
            files::write_to(&format!("{path}/cgroup.procs"), &pid)
        })
    }

    fn write_to_v1(&self, pid: &str) -> Result<()> {
        self.v1.iter().try_for_each(|(tasks, path)| {
            files::write(tasks, pid).call(|| format!("write({path:?}, {pid:?})"))
        })
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        let v1 = std::mem::take(&mut self.v1).into_iter();
        spend(v1.chain(self.v2.take()).map(|(descriptor, _)| descriptor));
    }
}

impl Placement {
    /// Makes the cgroups, ready for [`Placement::apply`] of `writes` and for the first process.
    ///
    /// `journal` is called, at most once, when the journal has to know more before this goes on:
    /// that parents are going to be made ([`Place::parents_made`]), or that a cgroup was there
    /// before ([`Place::found`]).
    ///
    /// On failure nothing is left of what was made. Until this has returned, what it may have made
    /// is undone by [`Placement::abandon`]; from then on by [`Placement::remove`].
    ///
    /// Refuses, in runc's words, a cgroup that has processes or is frozen.
    pub fn create(
        &mut self,
        hierarchies: &Hierarchies,
        writes: &[Write<'_>],
        journal: &mut dyn FnMut(&Placement) -> Result<()>,
    ) -> Result<Entrance> {
        let result = self
            .make_directories(hierarchies, journal)
            .and_then(|()| self.refuse_if_in_use())
            .and_then(|()| self.prepare(hierarchies, writes));
        if result.is_err() {
            self.abandon();
        }
        result.context(|| "unable to apply cgroup configuration")
    }

    /// As [`Placement::create`], for cgroups that systemd has made, with the container's first
    /// process in them: makes those of the hierarchies that systemd leaves alone.
    pub fn complete(
        &mut self,
        hierarchies: &Hierarchies,
        writes: &[Write<'_>],
        journal: &mut dyn FnMut(&Placement) -> Result<()>,
    ) -> Result<Entrance> {
        self.make_directories(hierarchies, journal)
            .and_then(|()| self.prepare(hierarchies, writes))
            .context(|| "unable to apply cgroup configuration")
    }

    /// Refuses, in runc's words, cgroups that were there before and have processes or are frozen.
    pub fn refuse_if_in_use(&self) -> Result<()> {
        let mut before = self.places.iter().filter(|place| place.found);
        before.try_for_each(Place::refuse_if_in_use)
    }

    /// Leaves out the places where we have no right to make a cgroup.
    pub fn leave_out_forbidden(&mut self) {
        self.places.retain(|place| {
            let mut above = ancestors(&place.path);
            let nearest = above
                .find(|parent| accessat(CWD, *parent, Access::EXISTS, AtFlags::empty()).is_ok());
            nearest.is_some_and(|parent| {
                accessat(CWD, parent, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
            })
        });
    }

    /// Takes back the directories of a place that is in no hierarchy.
    fn leave_out(&mut self, path: &str) {
        let Some(at) = self.places.iter().position(|place| place.path == path) else {
            return;
        };
        let place = self.places.remove(at);
        let mut made = place.parents_made;
        if !place.found {
            made += 1;
        }
        let upwards = std::iter::once(path).chain(ancestors(path));
        for directory in upwards.take(made) {
            let _ = rustix::fs::rmdir(directory);
        }
    }

    fn make_directories(
        &mut self,
        hierarchies: &Hierarchies,
        journal: &mut dyn FnMut(&Placement) -> Result<()>,
    ) -> Result<()> {
        // Nothing is ours before it is made.
        self.places.iter_mut().for_each(|place| place.found = true);
        let mut without_parent = Vec::new();
        for (index, place) in self.places.iter_mut().enumerate() {
            match make_directory(&place.path) {
                Ok(made) => place.found = !made,
                Err(Errno::NOENT) => without_parent.push(index),
                Err(errno) => return Err(refused(&place.path, errno)),
            }
        }
        for &index in &without_parent {
            let place = &mut self.places[index];
            place.found = false;
            let mount_point = place.hierarchy_of(hierarchies)?.mount_point.len();
            place.parents_made = ancestors(&place.path)
                .take_while(|parent| parent.len() > mount_point)
                .take_while(|parent| {
                    accessat(CWD, *parent, Access::EXISTS, AtFlags::empty()) == Err(Errno::NOENT)
                })
                .count();
        }
        if !without_parent.is_empty() || self.places.iter().any(|place| place.found) {
            journal(self)?;
        }
        without_parent
            .into_iter()
            .try_for_each(|index| self.places[index].make_with_parents())
    }

    fn prepare(&mut self, hierarchies: &Hierarchies, writes: &[Write<'_>]) -> Result<Entrance> {
        let mut entrance = Entrance {
            v1: Vec::with_capacity(self.places.len()),
            v2: None,
        };
        let mut not_mounted = Vec::new();
        for place in &self.places {
            let hierarchy = place.hierarchy_of(hierarchies)?;
            if hierarchy.version == Version::V2 {
                let flags = OFlags::PATH | OFlags::DIRECTORY;
                let directory = files::open(&place.path, flags)
                    .call(|| format!("open({:?}, O_PATH)", place.path))?;
                if hierarchies.layout == Layout::V2 {
                    place.enable_controllers(hierarchy, writes)?;
                } else {
                    files::verify(&directory, &place.path)?;
                }
                entrance.v2 = Some((directory, place.path.clone()));
            } else {
                let path = format!("{}/tasks", place.path);
                let tasks = match files::open(&path, OFlags::WRONLY) {
                    // Only a cgroup file system can have put this file into a new directory. Where
                    // the usual mount point is a mere directory, the container goes without, as in
                    // runc; but not without its device rules.
                    Err(Errno::NOENT) if hierarchy.controllers.iter().all(|it| it != "devices") => {
                        not_mounted.push(place.path.clone());
                        continue;
                    }
                    Err(Errno::NOENT) => return Err(files::not_cgroup(&place.path)),
                    result => result.call(|| format!("open({path:?}, O_WRONLY)"))?,
                };
                if place.found {
                    files::verify(&tasks, &path)?;
                }
                if hierarchy.controllers.iter().any(|name| name == "cpuset") {
                    place.inherit_cpuset(writes)?;
                }
                entrance.v1.push((tasks, path));
            }
        }
        for path in not_mounted {
            self.leave_out(&path);
        }
        Ok(entrance)
    }
}

impl Place {
    fn hierarchy_of<'h>(&self, hierarchies: &'h Hierarchies) -> Result<&'h Hierarchy> {
        let all = &hierarchies.list;
        all.iter()
            .find(|hierarchy| hierarchy.name == self.hierarchy)
            .ok_or_else(|| {
                Error::new(format!(
                    "the cgroup hierarchy {:?} is not mounted",
                    self.hierarchy
                ))
            })
    }

    /// Makes the directory with those above it, which another runtime may remove at the same time
    /// because they were made for a container of its own that is gone.
    fn make_with_parents(&mut self) -> Result<()> {
        let missing = std::mem::take(&mut self.parents_made).max(1);
        for attempt in 0..ATTEMPTS {
            let parents: Vec<&str> = ancestors(&self.path).take(missing + attempt).collect();
            for (index, parent) in parents.into_iter().enumerate().rev() {
                match make_directory(parent) {
                    Ok(true) => self.parents_made = self.parents_made.max(index + 1),
                    // Without its parent, the next will fail too, and the last is looked at.
                    Ok(false) | Err(Errno::NOENT) => {}
                    Err(errno) => return Err(refused(parent, errno)),
                }
            }
            match make_directory(&self.path) {
                Ok(made) => {
                    self.found = !made;
                    return Ok(());
                }
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(refused(&self.path, errno)),
            }
        }
        Err(refused(&self.path, Errno::NOENT))
    }

    fn refuse_if_in_use(&self) -> Result<()> {
        let processes = self.processes()?.len();
        if processes != 0 {
            return Err(Error::new(format!(
                "container's cgroup is not empty: {processes} process(es) found"
            ))
            .hint(format!("see {}/cgroup.procs", self.path)));
        }
        if self.is_frozen()? {
            return Err(Error::new("container's cgroup unexpectedly frozen")
                .hint(format!("thaw {}", self.path)));
        }
        Ok(())
    }

    /// A v1 cpuset takes no process before it has processors and memory nodes: those that `writes`
    /// doesn't give it are its parent's, as in runc.
    fn inherit_cpuset(&self, writes: &[Write<'_>]) -> Result<()> {
        let parent = ancestors(&self.path).next().unwrap_or("/");
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if writes.iter().any(|write| write.file == file) {
                // The cgroup's own value is written later; those above have to allow it.
                inherited(parent, file)?;
            } else if !self.found {
                let value = inherited(parent, file)?;
                files::write_once(&format!("{}/{file}", self.path), &value)?;
            } else {
                inherited(&self.path, file)?;
            }
        }
        Ok(())
    }

    /// Passes every controller down to this cgroup as far as the cgroups above let it, as runc
    /// does: statistics come from controllers without limits too.
    fn enable_controllers(&self, hierarchy: &Hierarchy, writes: &[Write<'_>]) -> Result<()> {
        if self.lacks(&hierarchy.controllers)?.is_empty() {
            return Ok(());
        }
        let mut above: Vec<&str> = ancestors(&self.path)
            .take_while(|parent| parent.len() >= hierarchy.mount_point.len())
            .collect();
        above.reverse();
        for parent in above {
            let file = format!("{parent}/cgroup.subtree_control");
            let all = format!("+{}", hierarchy.controllers.join(" +"));
            if files::write_to(&file, &all).is_err() {
                // One that can't be passed on (EBUSY where the parent has processes of its own,
                // "no internal process constraint") doesn't keep the others from it. That it is
                // missing shows when it is needed.
                for controller in &hierarchy.controllers {
                    drop(files::write_to(&file, &format!("+{controller}")));
                }
            }
        }
        let lacking = self.lacks(&hierarchy.controllers)?;
        if lacking.is_empty() {
            return Ok(());
        }
        if let Some(write) = writes
            .iter()
            .find(|write| lacking.iter().any(|name| *name == write.controller))
        {
            return Err(Error::config(
                write.pointer.clone(),
                format!(
                    "the {} controller can't be passed down to {}",
                    write.controller, self.path
                ),
            )
            .hint("a cgroup above it has processes of its own: choose another cgroupsPath"));
        }
        let file = format!("{}/cgroup.type", self.path);
        if files::read(&file)?.trim_end() == "domain invalid" {
            files::write_to(&file, "threaded")?;
        }
        Ok(())
    }

    /// Which of `controllers` this cgroup of version 2 hasn't been given.
    fn lacks(&self, controllers: &[String]) -> Result<Vec<String>> {
        let given = files::read(&format!("{}/cgroup.controllers", self.path))?;
        let is_given = |name: &&String| given.split_whitespace().any(|given| given == *name);
        Ok(controllers
            .iter()
            .filter(|name| !is_given(name))
            .cloned()
            .collect())
    }
}

/// The value of the cpuset file `file` in `directory`, taken from its parent if it has none.
fn inherited(directory: &str, file: &str) -> Result<String> {
    let path = format!("{directory}/{file}");
    let own = files::read_once(&path)?;
    if !own.trim_end().is_empty() {
        return Ok(own);
    }
    let parent = ancestors(directory).next().unwrap_or("/");
    let value = inherited(parent, file)?;
    files::write_once(&path, &value)?;
    Ok(value)
}

/// Makes the directory `path`; whether it is new.
fn make_directory(path: &str) -> rustix::io::Result<bool> {
    match mkdirat(CWD, path, Mode::from_raw_mode(0o755)) {
        Ok(()) => Ok(true),
        Err(Errno::EXIST) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn refused(path: &str, errno: Errno) -> Error {
    Error::call(format!("mkdir({path:?}, 0o755)"), errno)
}

/// The directories above `path`, from the innermost.
pub(super) fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(path.rsplit_once('/').map(|(parent, _)| parent), |path| {
        path.rsplit_once('/').map(|(parent, _)| parent)
    })
    .filter(|path| !path.is_empty())
}
