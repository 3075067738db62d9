//! `unbundle`: a container's bundle goes.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::bundle::remove;
use crate::sys::signal;

/// Removes bundles that bundle made, with all that their containers wrote.
///
/// Refuses while a container of one runs. It is fine if DIR isn't there, or if an earlier unbundle
/// was killed.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass delete web && windlass-img unbundle /run/web")]
pub struct Unbundle {
    /// Remove their volumes too, as far as nobody has named them and no other bundle uses them.
    #[arg(long, short = 'v')]
    volumes: bool,

    /// The bundles' directories.
    #[arg(value_name = "DIR", required = true)]
    directories: Vec<PathBuf>,
}

impl Unbundle {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        for directory in &self.directories {
            remove::remove(directory, self.volumes)
                .with_context(|| format!("can't remove bundle {}", directory.display()))?;
        }
        Ok(())
    }
}
