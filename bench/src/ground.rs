//! Where a comparison takes place: cgroups, files and a subreaper of its own, and nothing of them left after it.

use std::path::PathBuf;

use anyhow::{Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::bundle;
use crate::contestant::Workplace;
use crate::hierarchies::Parents;
use crate::measure::ErrorLog;
use crate::state_directory::StateDirectory;
use crate::sys;

/// The ground of one comparison; cleared when it is dropped.
#[derive(Debug)]
pub struct Ground {
    /// The cgroups that all containers are in.
    pub parents: Parents,
    /// What commands write to standard error.
    pub log: ErrorLog,
    rootfs: PathBuf,
    // Before the directory that its mount point is in.
    state: StateDirectory,
    directory: TempDir,
}

impl Ground {
    /// Makes it, for containers of `configs`. From now on this process is told of SIGINT and SIGTERM instead of
    /// being ended by them, and is the parent of all orphans below it.
    pub fn make(configs: &[Value]) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!("containers are made as root here; run this as root");
        }
        sys::catch_interruptions();
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let parents = Parents::make()?;
        let directory = tempfile::Builder::new()
            .prefix("windlass-bench-")
            .tempdir()?;
        let rootfs = directory.path().join("rootfs");
        bundle::make_rootfs(&rootfs, configs)?;
        Ok(Self {
            parents,
            log: ErrorLog::in_file(&directory.path().join("errors"))?,
            rootfs,
            state: StateDirectory::make(directory.path().join("state"))?,
            directory,
        })
    }

    /// Where its files are.
    pub fn workplace(&self) -> Workplace<'_> {
        Workplace {
            directory: self.directory.path(),
            state: &self.state.path,
            rootfs: &self.rootfs,
            hierarchies: &self.parents.hierarchies,
        }
    }
}
