//! A synchronous D-Bus client: as much of the D-Bus specification as it takes to call systemd's
//! manager and to hear that a job is done. Nothing here runs unless systemd is to make a
//! container's cgroup ([`crate::cgroup::systemd`]).

mod address;
mod connection;
mod message;
mod value;

pub use address::{session_bus, system_bus};
pub use connection::{Connection, Refusal};
pub use message::Signal;
pub use value::Value;
