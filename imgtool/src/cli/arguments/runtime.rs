//! `--runtime`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::runtime::Runtime;

/// Who runs a bundle's container.
#[derive(Debug, Args)]
pub struct RuntimeArguments {
    /// The runtime that runs the container: windlass unless given, or another with runc's command
    /// line.
    #[arg(long, value_name = "PROGRAM")]
    runtime: Option<PathBuf>,

    /// The runtime's --root.
    #[arg(long, value_name = "DIR")]
    runtime_root: Option<PathBuf>,
}

impl RuntimeArguments {
    /// The runtime.
    pub fn runtime(&self) -> Result<Runtime> {
        Runtime::find(self.runtime.as_deref(), self.runtime_root.as_deref())
    }
}
