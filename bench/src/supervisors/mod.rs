//! What stands between an engine and a runtime, compared: conmon, containerd's shims, windlass-shim by
//! hand. Each is used through its own public contract, as its engine uses it.
//!
//! [`bytes`] asks whether every byte of a container's output arrives, [`cost`] what a supervisor costs in
//! memory, in time and while nothing happens. Output is a [`pattern`] that is checked byte by byte at the
//! other end; the container's program is this program itself, copied into the root file system.

pub mod by_hand;
pub mod bytes;
pub mod conmon;
pub mod containerd_shim;
pub mod cost;
pub mod k8s_file;
pub mod pattern;
pub mod place;
pub mod process;
pub mod program;
pub mod ttrpc;

use std::fmt::Debug;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use pattern::Received;
use place::Bundle;

/// How the other end takes what the container writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// As fast as it can.
    Quick,
    /// 4 KiB a millisecond.
    Slow,
    /// Goes away in the middle; another comes 200 ms later.
    Dies,
}

/// A supervisor of containers.
pub trait Supervisor: Debug + Sync {
    /// Its name, for people.
    fn name(&self) -> &str;

    /// Has a container made and started. Returns once it runs.
    fn start(&self, bundle: &Bundle, reader: Reader) -> Result<Box<dyn Running>>;

    /// Whether what it supervises can be one of several containers of a pod.
    fn knows_pods(&self) -> bool {
        false
    }
}

/// A container that runs under a supervisor.
pub trait Running: Debug {
    /// The process id of the container's first process.
    fn container(&self) -> u32;

    /// Executes the process of `file` in the container, waits for its end, and says what arrived.
    fn exec(&mut self, name: &str, file: &Path) -> Result<Outcome>;

    /// Comes and goes once as who looks at the container's output.
    fn look_in(&mut self) -> Result<()>;

    /// Ends it with SIGKILL, where it doesn't end by itself.
    fn kill(&mut self) -> Result<()>;

    /// Waits for the end, takes all output, and has everything removed.
    fn finish(self: Box<Self>) -> Result<Outcome>;
}

/// What came of a process.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit status, as its supervisor tells it.
    pub status: u32,
    /// When its end was known and all of its output was where it belongs.
    pub arrived: Instant,
    /// What arrived of its standard output; everything, where it has a terminal.
    pub stdout: Received,
    /// What arrived of its standard error.
    pub stderr: Received,
}
