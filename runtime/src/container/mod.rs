//! A container as the runtime keeps it: its directory, its journal, its state, and the verbs that
//! change it.

pub mod checkpoint;
mod conduct;
pub mod create;
pub mod delete;
pub mod directory;
pub mod events;
pub mod exec;
mod external;
pub mod hook_state;
mod id_maps;
pub mod journal;
pub mod kill;
mod mount_source;
pub mod mounts;
mod net_devices;
pub mod notify;
pub mod pause;
pub mod pid_file;
pub mod process;
pub mod restore;
mod restore_mounts;
mod rootless;
pub mod schemata;
mod seccomp_agent;
pub mod start;
pub mod state;
pub mod sub_cgroups;
pub mod update;
mod visit;

pub use directory::{ContainerDirectory, Store};
pub use state::{Container, Status};
