//! `kill`: a signal for a container.

use rustix::process::Signal;

use super::state::{Container, Status};
use crate::error::{Error, Result};

/// Sends a signal to init, or with `all` to every process of the container. SIGKILL to a container
/// without a pid namespace of its own goes to all of it: with init alone the others would live on.
///
/// # Errors
/// `container not running` when it has stopped, unless `all`: then there is nothing to do.
pub fn kill(container: &Container, signal: i32, all: bool) -> Result<()> {
    let status = container.status()?;
    if status == Status::Stopped && all {
        return signal_everything(container, signal);
    }
    // Only a pid namespace ends with its first process (pid_namespaces(7)).
    let shares_pids = container
        .state
        .as_ref()
        .is_some_and(|state| !state.own_pids);
    if shares_pids && signal == libc::SIGKILL {
        signal_everything(container, signal)?;
        return if status == Status::Stopped {
            Err(not_running())
        } else {
            Ok(())
        };
    }
    if all {
        return signal_everything(container, signal);
    }
    let sent = match container.init() {
        // One that is still being created has no program that could want it (runtime.md, "Kill").
        Some(init) if !matches!(status, Status::Stopped | Status::Creating) => {
            init.signal(signal)?
        }
        _ => false,
    };
    if !sent {
        return Err(not_running());
    }
    if status == Status::Paused
        && signal == libc::SIGKILL
        && let Some(state) = &container.state
    {
        // On cgroup v1 a frozen process does not even die.
        state.cgroups.thaw()?;
    }
    Ok(())
}

fn not_running() -> Error {
    Error::new("container not running")
}

/// Signals what is in the container's cgroups.
///
/// # Errors
/// When they can't be read.
pub fn signal_everything(container: &Container, signal: i32) -> Result<()> {
    let Some(state) = &container.state else {
        return Ok(());
    };
    match Signal::from_named_raw(signal) {
        Some(signal) => state.cgroups.signal_all(signal),
        None if signal == 0 => Ok(()),
        None => Err(Error::new(format!(
            "signal {signal} can't be sent to all processes"
        ))),
    }
}
