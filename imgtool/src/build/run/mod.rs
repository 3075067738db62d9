//! RUN: a command in a container, on the layers so far.
//!
//! The container is windlass's (or another runtime's), supervised by windlass-shim; both are called
//! by their public command lines. All that it needs beside the store's layers (config.json, secrets,
//! the records of shim and runtime) lies in a tmpfs that is mounted in a mount namespace of the
//! build's own: it is gone with the build, however that ends, and [`guard`] ends the container then.

pub mod abandoned;
mod config;
pub mod guard;
mod mounts;
mod network;
mod process;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use serde_json::json;

use super::report::{Report, Step};
use super::steps::layer::{Workplace, remove_tree};
use crate::bundle::make_mount_points;
use crate::programs;
use crate::store::layers::LayerChain;
use crate::sys::namespace;
pub use config::Command;
pub use mounts::{Prepared, SecretSource, Secrets, Sources};
pub use network::StepNetwork;

/// The programs that steps run with.
#[derive(Debug, Clone)]
pub struct Programs {
    /// windlass-shim.
    pub shim: PathBuf,
    /// The runtime: windlass, or another with runc's command line.
    pub runtime: PathBuf,
}

impl Programs {
    /// Finds them.
    pub fn find(runtime: Option<&Path>) -> Result<Self> {
        let runtime = runtime.unwrap_or(Path::new(programs::RUNTIME));
        Ok(Programs {
            shim: programs::find(Path::new("windlass-shim"))?,
            runtime: programs::find(runtime)?,
        })
    }
}

/// Runs commands, one after the other.
#[derive(Debug)]
pub struct Runner {
    programs: Programs,
    /// The tmpfs.
    private: PathBuf,
    guard: guard::Guard,
    report: Report,
    count: usize,
}

impl Runner {
    /// Gets ready, in `work`: from here on, this process has a mount namespace of its own.
    pub fn start(programs: Programs, work: &Path, report: Report) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!("RUN needs root's rights, to mount layers");
        }
        namespace::leave_mount_namespace()?;
        mount_change(
            "/",
            MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
        )
        .context("mount / rslave, recursively")?;
        let private = guard::private_directory(work);
        std::fs::create_dir(&private).with_context(|| format!("mkdir {}", private.display()))?;
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount("tmpfs", &private, "tmpfs", flags, Some(c"mode=0700"))
            .with_context(|| format!("mount a tmpfs on {}", private.display()))?;
        let guard = guard::Guard::start(&programs.shim, work)?;
        Ok(Runner {
            programs,
            private,
            guard,
            report,
            count: 0,
        })
    }

    /// A new directory of the tmpfs, for one step.
    pub fn new_directory(&mut self) -> Result<PathBuf> {
        self.count += 1;
        let directory = self.private.join(self.count.to_string());
        std::fs::create_dir(&directory)
            .with_context(|| format!("mkdir {}", directory.display()))?;
        Ok(directory)
    }

    /// Runs a command on top of layers; what it changes is in the workplace then.
    pub fn run(
        &mut self,
        step: &Step,
        command: &Command,
        prepared: &Prepared,
        network: &StepNetwork,
        workplace: &Workplace,
        below: &LayerChain,
    ) -> Result<()> {
        let bundle = &prepared.directory;
        let mut init = workplace.init_root(below)?;
        let mut config = config::make(command, prepared, network, &init)?;
        make_mount_points(&config.mounts, &mut init)?;
        drop(init);
        let root = workplace.mount(below)?;
        config.root = json!({ "path": root.to_string_lossy() });
        std::fs::write(bundle.join("config.json"), serde_json::to_vec(&config)?)
            .context("write config.json")?;
        let id = format!("windlass-build-{}-{}", std::process::id(), self.count);
        let result = process::run(
            &self.programs,
            &self.private,
            bundle,
            &id,
            step,
            self.report,
        );
        let unmounted = workplace.unmount();
        let status = result?;
        unmounted?;
        if status != 0 {
            bail!("'{}' ended with status {status}", command.shown());
        }
        Ok(())
    }

    /// What a step had in the tmpfs goes.
    pub fn forget(&self, prepared: Prepared) -> Result<()> {
        prepared.unmount()?;
        remove_tree(&prepared.directory)
    }

    /// Ends: the tmpfs goes, and the guard.
    pub fn finish(self) -> Result<()> {
        rustix::mount::unmount(&self.private, rustix::mount::UnmountFlags::DETACH)
            .with_context(|| format!("umount {}", self.private.display()))?;
        self.guard.dismiss()
    }
}
