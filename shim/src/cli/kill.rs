//! `kill`: a signal for a container, through its runtime.

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use clap::Args;

use crate::record::Record;

/// Send a signal to a container (through the runtime's kill)
#[derive(Debug, Args)]
pub struct Kill {
    /// The container's id
    id: String,
    /// The signal: a number, or a name as the runtime takes it
    #[arg(default_value = "TERM")]
    signal: String,
}

impl Kill {
    pub fn carry_out(self, root: &Path) -> Result<u8> {
        let state = Record::open(root, &self.id)?.state()?;
        if let Some(status) = state.exit_status {
            bail!("container {} has ended with status {status}", self.id);
        }
        let said = state.runtime.kill(&self.id, &self.signal);
        let said = said.map_err(|failure| anyhow!(failure.message))?;
        eprint!("{}", said.messages);
        Ok(0)
    }
}
