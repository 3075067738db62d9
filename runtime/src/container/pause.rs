//! `pause` and `resume`: stopping all processes of a container, and letting them go on.

use super::state::{Container, Status};
use crate::error::{Error, Result};

/// Stops all processes of a running container, or of one that waits to be started, and waits
/// until they have stopped.
///
/// # Errors
/// `container not running` when it has stopped or is paused already; and when the processes can't
/// be stopped: then they go on.
pub fn pause(container: &Container) -> Result<()> {
    let _lock = container.directory.lock()?;
    let state = container.created()?;
    match container.status()? {
        Status::Running | Status::Created => state.cgroups.freeze(),
        Status::Creating | Status::Paused | Status::Stopped => {
            Err(Error::new("container not running"))
        }
    }
}

/// Lets the processes of a paused container go on.
///
/// # Errors
/// `container not paused` when it isn't.
pub fn resume(container: &Container) -> Result<()> {
    let _lock = container.directory.lock()?;
    let state = container.created()?;
    match container.status()? {
        Status::Paused => state.cgroups.thaw(),
        _ => Err(Error::new("container not paused")),
    }
}
