//! `events`: what a container uses, and that it ran out of memory, as long as it lives.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::Serialize;

use super::state::{Container, Status};
use crate::cgroup::stats::Stats;
use crate::error::{CallContext as _, Error, Result};
use crate::report::Listener;

/// One line of `events`, in the form of runc's.
#[derive(Debug, Serialize)]
pub struct Event<'a> {
    /// `stats` or `oom`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The container's.
    pub id: &'a str,
    /// With `stats`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Stats>,
}

/// What the container has used up to now.
///
/// # Errors
/// When the container has stopped, and when its counters can't be read.
pub fn stats(container: &Container) -> Result<Event<'_>> {
    let state = container.created()?;
    refuse_stopped(container)?;
    Ok(Event {
        kind: "stats",
        id: container.directory.id(),
        data: Some(state.cgroups.stats()?),
    })
}

/// Hands out what the container has used every `interval`, and each time that it runs out of
/// memory, until its cgroup is gone, or on cgroup v2 has no process any more.
///
/// # Errors
/// As [`stats`]; when there is no way to hear of the end; and what `hand_out` fails with.
pub fn events(
    container: &Container,
    interval: Duration,
    hand_out: &mut dyn FnMut(&Event<'_>) -> Result<()>,
    listener: &dyn Listener,
) -> Result<()> {
    if interval.is_zero() {
        return Err(Error::new("duration interval must be greater than 0"));
    }
    let cgroups = &container.created()?.cgroups;
    // Before and after: a container that has stopped is told from one without a memory cgroup, and
    // what ends from here on is heard of.
    refuse_stopped(container)?;
    let mut watch = cgroups.watch_memory()?;
    refuse_stopped(container)?;
    let id = container.directory.id();
    let mut next = Instant::now() + interval;
    loop {
        let left = next.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).ok();
        let mut fds = [PollFd::new(&watch, PollFlags::IN)];
        match poll(&mut fds, timeout.as_ref()) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).call(|| "poll(events of the cgroup)"),
            Ok(0) => {
                next += interval;
                match cgroups.stats() {
                    Ok(data) => hand_out(&Event {
                        kind: "stats",
                        id,
                        data: Some(data),
                    })?,
                    // It may be going away this moment.
                    Err(error) => listener.warn(&error.to_string()),
                }
            }
            Ok(_) => {
                let news = watch.news()?;
                if news.out_of_memory {
                    hand_out(&Event {
                        kind: "oom",
                        id,
                        data: None,
                    })?;
                }
                if news.ended {
                    return Ok(());
                }
            }
        }
    }
}

fn refuse_stopped(container: &Container) -> Result<()> {
    if container.status()? != Status::Stopped {
        return Ok(());
    }
    let id = container.directory.id();
    Err(Error::new(format!("container with id {id} is not running")))
}
