//! `delete`: replays the undo of what the journal says was done, from whatever point a container
//! has come to.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::Signal;
use rustix::time::Timespec;

use super::directory::{ContainerDirectory, Unlocked};
use super::hook_state::HookState;
use super::journal::{self, Record};
use super::process::ProcessIdentity;
use super::state::{Container, Status};
use crate::cgroup::systemd::Manager;
use crate::error::{CallContext, Error, Result};
use crate::hooks::{self, Surroundings};
use crate::plan::HookKind;
use crate::report::Listener;
use crate::resctrl;
use crate::spec::Hook;

/// How long a killed process may take to end; one in an uninterruptible sleep takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Deletes a container, with `force` also one that is running or was never finished.
///
/// # Errors
/// When it is running and not forced, and when something of it can't be removed.
pub fn delete(container: Container, force: bool, listener: &dyn Listener) -> Result<()> {
    let lock = container.directory.lock()?;
    // While we waited for the lock it may have got further.
    let container = Container::load(container.directory)?;
    if !force {
        match container.status()? {
            Status::Stopped | Status::Creating | Status::Created => {}
            status @ (Status::Running | Status::Paused) => {
                return Err(Error::new(format!(
                    "cannot delete container {} that is not stopped: {}",
                    container.directory.id(),
                    status.name()
                )));
            }
        }
    }
    let records = journal::read(&container.directory)?;
    let late_hooks = container.state.as_ref().filter(|state| state.late_hooks);
    let Some(state) = late_hooks else {
        return delete_done(
            &container.directory,
            &records,
            &[],
            &HookState::default(),
            listener,
        );
    };
    let config = container.config()?;
    let spec = config.spec()?;
    let hook_state = HookState {
        oci_version: &state.oci_version,
        id: &state.id,
        bundle: &state.bundle,
        annotations: Some(&spec.annotations),
    };
    let deleted = delete_done(
        &container.directory,
        &records,
        &spec.hooks.poststop,
        &hook_state,
        listener,
    );
    drop(lock);
    deleted
}

/// Deletes what was done for a container: undoes it, runs the poststop hooks, and removes the
/// directory. A hook that fails is warned about (runtime.md, "Lifecycle", step 13).
///
/// # Errors
/// As [`undo`]; the directory then stays, so that `delete` can be tried again.
pub fn delete_done(
    directory: &ContainerDirectory,
    records: &[Record],
    poststop: &[Hook<'_>],
    hook_state: &HookState<'_>,
    listener: &dyn Listener,
) -> Result<()> {
    let undone = undo(records);
    for hook in poststop {
        let state = hook_state.json("stopped", 0);
        let surroundings = Surroundings::Host {
            bundle: hook_state.bundle,
        };
        let one = std::slice::from_ref(hook);
        if let Err(error) = hooks::run(HookKind::Poststop, one, &state, surroundings) {
            listener.warn(&error.to_string());
        }
    }
    undone?;
    directory.remove()
}

/// Deletes a container whose process has ended, by [`delete_done`], unless it has been deleted
/// meanwhile. It has run: that something of it can't be removed is warned about.
pub fn delete_ended(
    unlocked: Unlocked,
    directory: &ContainerDirectory,
    records: &[Record],
    poststop: &[Hook<'_>],
    hook_state: &HookState<'_>,
    listener: &dyn Listener,
) {
    let deleted = match unlocked.lock_again() {
        Ok(Some(lock)) => {
            let deleted = delete_done(directory, records, poststop, hook_state, listener);
            lock.spend();
            deleted
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = deleted {
        listener.warn(&format!("deleting the container: {error}"));
    }
}

/// Undoes every record of the journal, the last one first. What is undone already is no error.
///
/// # Errors
/// When a process doesn't end or a cgroup can't be removed; the rest is undone all the same.
pub fn undo(records: &[Record]) -> Result<()> {
    let mut result = end_all(records);
    // Before its cgroups are removed under it.
    for record in records {
        if let Record::Unit(unit) = record {
            let ended = Manager::connect(unit.user).and_then(|mut manager| manager.end(unit));
            result = result.and(ended);
        }
    }
    // The last of these records knows best which cgroups were there before.
    let mut known = false;
    for record in records.iter().rev() {
        let undone = match record {
            Record::MakingCgroups(placement) if !known => {
                known = true;
                placement.abandon();
                Ok(())
            }
            Record::Cgroups(placement) => {
                known = true;
                placement.remove()
            }
            Record::ResctrlDirectory(path) => resctrl::remove(path),
            Record::Begun { .. }
            | Record::Unit(_)
            | Record::MakingCgroups(_)
            | Record::Restoring
            | Record::Init { .. } => Ok(()),
        };
        result = result.and(undone);
    }
    result
}

/// Ends every process of the container. Nothing outlives init in a pid namespace of its own
/// (pid_namespaces(7)), so where init has ended there is nothing to look for.
fn end_all(records: &[Record]) -> Result<()> {
    let Some((init, own_pids)) = records.iter().find_map(|record| match record {
        Record::Init {
            pid,
            start_time,
            own_pids,
        } => Some((
            ProcessIdentity {
                pid: *pid,
                start_time: *start_time,
            },
            *own_pids,
        )),
        _ => None,
    }) else {
        // A child that had not been written down ends by itself: it waits for a first word. What
        // CRIU was restoring doesn't.
        return if records
            .iter()
            .any(|record| matches!(record, Record::Restoring))
        {
            kill_in_cgroups(records)
        } else {
            Ok(())
        };
    };
    let running = init.open()?;
    if running.is_none() && own_pids {
        return Ok(());
    }
    kill_in_cgroups(records)?;
    running.map_or(Ok(()), |pidfd| end(init, pidfd))
}

fn kill_in_cgroups(records: &[Record]) -> Result<()> {
    for record in records {
        if let Record::Cgroups(placement) = record {
            placement.signal_all(Signal::KILL)?;
            // On cgroup v1 a frozen process does not even die.
            if placement.is_frozen()? {
                placement.thaw()?;
            }
        }
    }
    Ok(())
}

/// Kills a process and waits until it has ended.
fn end(process: ProcessIdentity, pidfd: OwnedFd) -> Result<()> {
    process.signal(libc::SIGKILL)?;
    let timeout = Timespec::try_from(PATIENCE).unwrap_or(Timespec {
        tv_sec: 10,
        tv_nsec: 0,
    });
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    loop {
        match poll(&mut fds, Some(&timeout)) {
            Err(Errno::INTR) => {}
            Ok(0) => {
                return Err(Error::new(format!(
                    "process {} has not ended {} seconds after SIGKILL",
                    process.pid,
                    PATIENCE.as_secs()
                ))
                .hint("it may be frozen, or wait for a file system that doesn't answer"));
            }
            result => return result.map(drop).call(|| "poll(pidfd)"),
        }
    }
}
