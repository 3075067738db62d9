//! `kill`: a signal for a container.

use rustix::process::Signal;

use super::state::{Container, StateFile, Status};
use crate::error::{Error, Result};

/// Sends a signal to init, or with `all` to every process of the container. SIGKILL to a container
/// without a pid namespace of its own goes to all of it, also when init has ended: with init alone
/// the others would live on.
///
/// # Errors
/// `container not running` when it has stopped, unless `all`: then there is nothing to do.
pub fn kill(container: &Container, signal: i32, all: bool) -> Result<()> {
    let status = container.status()?;
    // One that is still being created has no program that could want it (runtime.md, "Kill").
    let Some(state) = container
        .state
        .as_ref()
        .filter(|_| status != Status::Creating)
    else {
        return Err(not_running());
    };
    // Only a pid namespace ends with its first process (pid_namespaces(7)).
    let to_all = all || (signal == libc::SIGKILL && !state.own_pids);
    if to_all {
        let nobody = status == Status::Stopped && state.cgroups.processes()?.is_empty();
        if nobody && !all {
            return Err(not_running());
        }
        return signal_everything(state, signal);
    }
    let sent = match container.init() {
        Some(init) if status != Status::Stopped => init.signal(signal)?,
        _ => false,
    };
    if !sent {
        return Err(not_running());
    }
    if status == Status::Paused && signal == libc::SIGKILL {
        // On cgroup v1 a frozen process does not even die.
        state.cgroups.thaw()?;
    }
    Ok(())
}

fn not_running() -> Error {
    Error::new("container not running")
}

/// Signals what is in the container's cgroups.
fn signal_everything(state: &StateFile, signal: i32) -> Result<()> {
    match Signal::from_named_raw(signal) {
        Some(signal) => state.cgroups.signal_all(signal),
        None if signal == 0 => Ok(()),
        None => Err(Error::new(format!(
            "signal {signal} can't be sent to all processes"
        ))),
    }
}
