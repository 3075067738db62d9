//! Stopping and resuming all of a container's processes.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

use super::files;
use super::placement::{Place, Placement};
use crate::error::{CallContext as _, Error, ErrorContext as _, Result};

/// How long a cgroup may take to freeze: runc's patience with cgroup v2.
const PATIENCE: Duration = Duration::from_secs(10);

impl Placement {
    /// Freezes all processes and waits until they are; thaws again if they don't get there.
    pub fn freeze(&self) -> Result<()> {
        let place = self.freezer().ok_or_else(|| {
            Error::new("the container is in no freezer cgroup").hint("mount the freezer cgroup")
        })?;
        place.freeze().context(|| "unable to freeze")
    }

    /// Lets frozen processes go on. What is gone needs no thawing.
    pub fn thaw(&self) -> Result<()> {
        self.freezer().map_or(Ok(()), Place::thaw)
    }

    /// Whether the container's own cgroup is frozen or being frozen; no if it is gone, or in no
    /// freezer.
    pub fn is_frozen(&self) -> Result<bool> {
        self.freezer().map_or(Ok(false), Place::is_frozen)
    }

    /// The place whose freezer holds the container's processes.
    pub fn freezer(&self) -> Option<&Place> {
        let v1 = self.places.iter().find(|place| place.has_v1_freezer());
        v1.or_else(|| self.v2().filter(|_| self.layout_is_v2()))
    }
}

impl Place {
    fn has_v1_freezer(&self) -> bool {
        self.hierarchy.split(',').any(|name| name == "freezer")
    }

    /// Whether this very cgroup is frozen: no for other hierarchies than the freezer's, and for one
    /// that is only below a frozen one.
    pub(super) fn is_frozen(&self) -> Result<bool> {
        let (file, frozen) = match self.hierarchy.as_str() {
            "" => ("cgroup.freeze", "1"),
            _ if self.has_v1_freezer() => ("freezer.self_freezing", "1"),
            _ => return Ok(false),
        };
        match files::read(&format!("{}/{file}", self.path)) {
            Ok(state) => Ok(state.trim_end() == frozen),
            Err(error) if error.errno().is_some_and(files::is_gone) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn thaw(&self) -> Result<()> {
        let result = if self.has_v1_freezer() {
            files::write_to(&format!("{}/freezer.state", self.path), "THAWED")
        } else {
            files::write_to(&format!("{}/cgroup.freeze", self.path), "0")
        };
        match result {
            Err(error) if error.errno().is_some_and(files::is_gone) => Ok(()),
            result => result.context(|| "unable to thaw"),
        }
    }

    fn freeze(&self) -> Result<()> {
        let result = if self.has_v1_freezer() {
            self.freeze_v1()
        } else {
            self.freeze_v2()
        };
        if result.is_err() {
            // Half frozen would be worse; and the first error is the one to show.
            drop(self.thaw());
        }
        result
    }

    fn freeze_v2(&self) -> Result<()> {
        files::write_to(&format!("{}/cgroup.freeze", self.path), "1")?;
        self.wait_for_event("frozen 1", Instant::now() + PATIENCE)
    }

    /// A v1 freezer can miss processes that are just being made, stays `FREEZING`, and has no event
    /// to wait for (Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst): the request is
    /// repeated, and now and then taken back, which in runc's experience helps most.
    fn freeze_v1(&self) -> Result<()> {
        let path = format!("{}/freezer.state", self.path);
        let deadline = Instant::now() + PATIENCE;
        for attempt in 1_u32.. {
            files::write_to(&path, "FROZEN")?;
            if files::read(&path)?.trim_end() == "FROZEN" {
                return Ok(());
            }
            if Instant::now() >= deadline {
                break;
            }
            if attempt.is_multiple_of(50) {
                files::write_to(&path, "THAWED")?;
                std::thread::sleep(Duration::from_millis(10));
            } else if attempt.is_multiple_of(5) {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        Err(Error::new(format!("{path} stays FREEZING")))
    }

    /// Waits until `cgroup.events` has the line `line` (cgroup-v2.rst: its changes are poll events),
    /// or the cgroup is gone.
    pub(super) fn wait_for_event(&self, line: &str, deadline: Instant) -> Result<()> {
        let path = format!("{}/cgroup.events", self.path);
        let file = match files::open(&path, OFlags::RDONLY) {
            Err(Errno::NOENT) => return Ok(()),
            result => result.call(|| format!("open({path:?}, O_RDONLY)"))?,
        };
        loop {
            rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))
                .call(|| format!("lseek({path:?}, 0)"))?;
            match files::read_from(&file) {
                Err(errno) if files::is_gone(errno) => return Ok(()),
                Err(errno) => return Err(errno).call(|| format!("read({path:?})")),
                Ok(events) if events.lines().any(|event| event == line) => return Ok(()),
                Ok(_) => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::new(format!(
                    "timed out waiting for \"{line}\" in {path}"
                )));
            }
            let timeout = Timespec::try_from(left).ok();
            let mut events = [PollFd::new(&file, PollFlags::PRI)];
            match poll(&mut events, timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).call(|| format!("poll({path:?}, POLLPRI)")),
            }
        }
    }
}
