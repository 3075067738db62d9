//! `delete`: replays the undo of what the journal says was done, from whatever point a container
//! has come to.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::Signal;
use rustix::time::Timespec;

use super::directory::ContainerDirectory;
use super::hook_state::HookState;
use super::journal::{self, Record};
use super::process::ProcessIdentity;
use super::state::{CONFIG_COPY, Container, Status};
use crate::error::{CallContext, Error, Result};
use crate::hooks;
use crate::plan::HookKind;
use crate::spec::read_config;

/// How long a killed process may take to end; one in an uninterruptible sleep takes longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Deletes a container, with `force` also one that is running or was never finished.
///
/// # Errors
/// When it is running and not forced, and when something of it can't be removed.
pub fn delete(container: Container, force: bool, warn: &mut dyn FnMut(&str)) -> Result<()> {
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
    let undone = undo(&container.directory);
    run_poststop(&container, warn);
    undone?;
    container.directory.remove()?;
    drop(lock);
    Ok(())
}

/// Undoes every record of the journal, the last one first. What is undone already is no error.
///
/// # Errors
/// When a process doesn't end or a cgroup can't be removed; the rest is undone all the same.
pub fn undo(directory: &ContainerDirectory) -> Result<()> {
    let mut result = Ok(());
    let records = journal::read(directory)?;
    let cgroups = records.iter().find_map(|record| match record {
        Record::Cgroups(placement) => Some(placement),
        _ => None,
    });
    if let Some(placement) = cgroups {
        // Whatever is in there, not init alone; and a frozen process does not even die.
        result = placement.signal_all(Signal::KILL);
        if placement.is_frozen().unwrap_or(false) {
            result = result.and(placement.thaw());
        }
    }
    for record in records.iter().rev() {
        let undone = match record {
            Record::Begun { .. } => Ok(()),
            Record::MakingCgroups(placement) => {
                if cgroups.is_none() {
                    placement.abandon();
                }
                Ok(())
            }
            Record::Cgroups(placement) => placement.remove(),
            Record::Init { pid, start_time } => end(ProcessIdentity {
                pid: *pid,
                start_time: *start_time,
            }),
        };
        result = result.and(undone);
    }
    result
}

/// Kills a process and waits until it has ended.
fn end(process: ProcessIdentity) -> Result<()> {
    let Some(pidfd) = process.open()? else {
        return Ok(());
    };
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

/// Runs the poststop hooks of a container that had been created. One that fails is warned about
/// (runtime.md, "Lifecycle", step 13).
fn run_poststop(container: &Container, warn: &mut dyn FnMut(&str)) {
    let Some(state) = &container.state else {
        return;
    };
    let Ok(config) = read_config(&container.directory.file(CONFIG_COPY)) else {
        return;
    };
    let Ok(spec) = config.spec() else { return };
    let hook_state = HookState {
        oci_version: &state.oci_version,
        id: &state.id,
        bundle: &state.bundle,
        annotations: &spec.annotations,
    };
    let json = hook_state.json("stopped", 0);
    for hook in &spec.hooks.poststop {
        if let Err(error) = hooks::run(HookKind::Poststop, std::slice::from_ref(hook), &json) {
            warn(&error.to_string());
        }
    }
}
