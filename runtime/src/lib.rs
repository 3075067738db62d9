//! windlass: an OCI runtime (runtime-spec 1.3), a drop-in for runc.
//!
//! `docs/ARCHITECTURE.md` shows the way of a container through these modules.

pub mod cgroup;
pub mod check;
pub mod cli;
pub mod container;
pub mod criu;
pub mod dbus;
pub mod error;
pub mod hooks;
pub mod host;
pub mod init;
mod mountinfo;
pub mod netlink;
pub mod obstacles;
pub mod plan;
pub mod report;
pub mod resctrl;
pub mod rootfs;
pub mod seal;
pub mod seccomp;
pub mod spec;
pub mod sys;
pub mod trace;
pub mod unix_socket;
