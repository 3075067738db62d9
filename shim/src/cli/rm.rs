//! `rm`: what is left of a container goes, whatever state it was left in.

use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};

use super::wait::Waiter;
use crate::attach::protocol::Request;
use crate::record::{Record, State, Status};

/// How long a supervisor may take to end after its container has.
const PATIENCE: Timespec = Timespec {
    tv_sec: 15,
    tv_nsec: 0,
};

/// Remove a container that has ended: its record, and what the runtime still has of it
///
/// A log that was given a place with --log stays.
#[derive(Debug, Args)]
#[command(visible_alias = "delete")]
pub struct Rm {
    /// Kill the container first if it runs, also if its supervisor or its runtime was killed;
    /// a container that is not there is no error
    #[arg(short, long)]
    force: bool,
    /// The container's id
    id: String,
}

impl Rm {
    pub fn carry_out(self, root: &Path) -> Result<u8> {
        Record::check_id(&self.id)?;
        let record = match Record::open(root, &self.id) {
            Ok(record) => record,
            Err(_) if self.force && !root.join(&self.id).exists() => return Ok(0),
            Err(error) => return Err(error),
        };
        let state = if self.force {
            // One that is damaged is treated as one that was never written.
            record.read().unwrap_or_else(|error| {
                eprintln!("windlass-shim: warning: {error:#}");
                None
            })
        } else {
            Some(record.state()?)
        };
        self.end_supervision(&record, state.as_ref())?;
        if let Some(state) = state {
            self.delete_container(&state)?;
        }
        // The supervisor itself removes the record of a container that never ran, or of --rm.
        if record.directory().exists() {
            record.remove()?;
        }
        Ok(0)
    }

    fn end_supervision(&self, record: &Record, state: Option<&State>) -> Result<()> {
        let supervisor = match record.supervisor() {
            Err(_) if state.is_none() => None,
            supervisor => supervisor?,
        };
        let Some(supervisor) = supervisor else {
            return Ok(());
        };
        let ended = state.is_some_and(|state| state.status == Status::Exited);
        if !ended && !self.force {
            bail!(
                "container {} is running; kill it first, or use --force",
                self.id
            );
        }
        if state.is_some_and(|state| state.status == Status::Creating) {
            // It ends the runtime that is creating the container, which nobody else knows of, and
            // leaves nothing. If it has just come further it passes the signal on.
            let _ = pidfd_send_signal(&supervisor, Signal::TERM);
        }
        if let Some(state) = state.filter(|_| !ended) {
            // It isn't to be started again.
            let _ = Waiter::new(record, Request::Last);
            // If the runtime can't, `delete --force` will be tried.
            let _ = state.runtime.kill(&self.id, "KILL");
        }
        if gone(&supervisor)? {
            return Ok(());
        }
        if !self.force {
            bail!(
                "container {} has ended, but its supervisor is still busy with its output; \
                 try again, or use --force",
                self.id
            );
        }
        let _ = pidfd_send_signal(&supervisor, Signal::KILL);
        if gone(&supervisor)? {
            Ok(())
        } else {
            bail!("the supervisor of {} does not die", self.id)
        }
    }

    fn delete_container(&self, state: &State) -> Result<()> {
        let Some(container) = state.runtime.state(&self.id)? else {
            // What the runtime doesn't know it may have left half made.
            if self.force {
                let _ = state.runtime.delete(&self.id, true);
            }
            return Ok(());
        };
        // Whole seconds are as exact as some runtimes are.
        let second = jiff::SignedDuration::from_secs(1);
        if container
            .created
            .is_some_and(|created| created + second < state.created)
        {
            // The id was taken before we came: that container isn't ours.
            return Ok(());
        }
        if container.status != "stopped" && !self.force {
            bail!(
                "container {} is {} although its supervisor is gone; use --force",
                self.id,
                container.status
            );
        }
        let deleted = state.runtime.delete(&self.id, self.force);
        deleted
            .map(|_| ())
            .map_err(|failure| anyhow!(failure.message))
    }
}

fn gone(supervisor: &OwnedFd) -> Result<bool> {
    let ready = poll(
        &mut [PollFd::new(supervisor, PollFlags::IN)],
        Some(&PATIENCE),
    );
    Ok(ready.context("poll(supervisor)")? > 0)
}
