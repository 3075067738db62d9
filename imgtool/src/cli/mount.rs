//! `mount`: a bundle's root file system, again.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::arguments::MemoryArguments;
use crate::bundle::container_bundle::ContainerBundle;
use crate::layer::limits::Limits;
use crate::sys::signal;

/// Mounts bundles' root file systems again: after a reboot, or when somebody unmounted them.
///
/// What their containers wrote is there again. It is fine if they are mounted.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: windlass-img mount /var/lib/web && windlass run --bundle /var/lib/web web"
)]
pub struct Mount {
    #[command(flatten)]
    memory: MemoryArguments,

    /// The bundles' directories.
    #[arg(value_name = "DIR", required = true)]
    directories: Vec<PathBuf>,
}

impl Mount {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        self.memory.apply();
        for directory in &self.directories {
            ContainerBundle::open_to_mount(directory)
                .and_then(|bundle| bundle.mount(&Limits::default()))
                .with_context(|| format!("can't mount bundle {}", directory.display()))?;
        }
        Ok(())
    }
}
