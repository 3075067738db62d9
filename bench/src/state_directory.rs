//! Where the contestants keep the state of their containers: a tmpfs, as /run is one on every
//! distribution, so that no disk's file system is compared.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A tmpfs, unmounted when it is dropped.
#[derive(Debug)]
pub struct StateDirectory {
    /// Its mount point.
    pub path: PathBuf,
}

impl StateDirectory {
    /// Makes the directory and mounts it.
    ///
    /// # Errors
    /// mkdir(2)'s and mount(2)'s.
    pub fn make(path: PathBuf) -> Result<StateDirectory> {
        let shown = || format!("mount a tmpfs on {}", path.display());
        fs::create_dir(&path).with_context(shown)?;
        mount("tmpfs", &path, "tmpfs", MountFlags::empty(), c"mode=0700").with_context(shown)?;
        Ok(StateDirectory { path })
    }
}

impl Drop for StateDirectory {
    fn drop(&mut self) {
        let _ = unmount(&self.path, UnmountFlags::DETACH);
    }
}
