//! Control groups that systemd makes: what runc calls the systemd driver.
//!
//! A container is a transient scope, a unit of processes that systemd has not started itself. The
//! way of a container through these modules:
//!
//! 1. [`Unit::of_container`] reads `cgroupsPath`, here `SLICE:PREFIX:NAME`.
//! 2. [`properties::of_writes`] says what is written into the cgroup's files in systemd's words
//!    too, so that systemd, which writes those files again whenever it sees fit, writes the same;
//!    [`annotations::properties`] are what config.json asks of the unit itself. Both are pure.
//! 3. [`Manager::start`] has the scope made around init. The rest is as without systemd: files are
//!    written, and the device filter is attached, by the runtime itself.
//! 4. [`Manager::set`] is for `update`, [`Manager::attach`] for an `exec` that may not write to
//!    `cgroup.procs` itself, [`Manager::end`] for `delete`.
//!
//! A host without systemd never gets here, and no bus is opened unless systemd was asked for.

pub mod annotations;
mod manager;
mod name;
pub mod properties;

use serde::{Deserialize, Serialize};

use super::hierarchies::Layout;
use super::limits::Write;
use crate::error::Result;

pub use manager::Manager;
pub use properties::Property;

/// A container's scope: all that is needed to find it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Its name: `PREFIX-NAME.scope`.
    pub name: String,
    /// The slice in which it stands: `machine.slice`.
    pub slice: String,
    /// What it is called for people; also how it is known to be this very container's.
    pub description: String,
    /// Whether it is made by the user's own systemd instead of the system's.
    pub user: bool,
}

/// Tells systemd what `writes` are about to say, for `update`: to be called before they are carried
/// out. Changes `writes`, and says so, as [`properties::of_writes`] does.
///
/// # Errors
/// When systemd refuses, or can't be reached.
pub fn update(
    unit: &Unit,
    writes: &mut Vec<Write<'_>>,
    layout: Layout,
    warn: &mut dyn FnMut(&str),
) -> Result<()> {
    let properties = properties::of_writes(writes, layout, false, warn);
    if properties.is_empty() {
        return Ok(());
    }
    Manager::connect(unit.user)?.set(unit, &properties)
}
