//! Control groups: where a container stands in each hierarchy, what is written there, and removal.
//!
//! The way of a container through these modules:
//!
//! 1. [`Hierarchies::detect`] finds the host's layout, once.
//! 2. [`Hierarchies::place`] says where the container stands: a [`Placement`], nothing but strings,
//!    so that what a killed runtime left behind can be removed from the state file alone.
//! 3. [`writes`] and [`devices::enforcement`] turn `linux.resources` into a list of writes and,
//!    on cgroup v2, a device filter. Both are pure.
//! 4. [`Placement::create`] makes the directories, [`Placement::apply`] and
//!    [`Placement::apply_device_filter`] carry the list out, [`Entrance::attach`] puts the
//!    container's first process in.
//! 5. [`Placement::freeze`], [`Placement::signal_all`] and [`Placement::remove`] are the rest of
//!    its life.
//!
//! This is what runc calls the cgroupfs driver: it makes and removes the directories itself. Where
//! systemd is to make them, [`systemd`] takes the place of the first half of step 4.

mod apply;
mod create;
mod delegate;
pub mod device_filter;
pub mod device_rule;
pub mod devices;
mod driver;
mod files;
mod freezer;
mod hierarchies;
mod limits;
mod oom;
mod placement;
mod processes;
mod remove;
pub mod stats;
pub mod systemd;
mod tree;
mod update;

pub use create::Entrance;
pub use driver::{Driver, Maker, Options};
pub use hierarchies::{Hierarchies, Hierarchy, Layout, Version};
pub use limits::{Above, Absent, Ignored, Write, ignored, writes};
pub use oom::{News, Watch};
pub use placement::{Place, Placement};
