//! `kill`: a signal for a container, through its runtime.

use std::path::Path;

use anyhow::{Result, anyhow, bail};
use clap::Args;

use super::wait::Waiter;
use crate::attach::protocol::Request;
use crate::record::{Record, Status};
use crate::restart::{Policy, is_meant_to_end};

/// Send a signal to a container (through the runtime's kill)
///
/// One that is restarted when it ends isn't any more after TERM, KILL, INT or QUIT.
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
        let record = Record::open(root, &self.id)?;
        let state = record.state()?;
        if let Some(status) = state.exit_status {
            bail!("container {} has ended with status {status}", self.id);
        }
        if state.restart != Policy::No && self.is_meant_to_end() {
            let waiter = Waiter::new(&record, Request::Last)?;
            if state.status == Status::Restarting {
                // That was all: it runs no more.
                if let Some(waiter) = waiter {
                    waiter.wait(None)?;
                }
                return Ok(0);
            }
        } else if state.status == Status::Restarting {
            bail!(
                "container {} has ended with status {} and will be started again; \
                 windlass-shim stop {} prevents that",
                self.id,
                state.last_exit_status.unwrap_or_default(),
                self.id
            );
        }
        let said = state.runtime.kill(&self.id, &self.signal);
        let said = said.map_err(|failure| anyhow!(failure.message))?;
        eprint!("{}", said.messages);
        Ok(0)
    }

    fn is_meant_to_end(&self) -> bool {
        let number = match self.signal.to_ascii_uppercase().trim_start_matches("SIG") {
            "TERM" => libc::SIGTERM,
            "KILL" => libc::SIGKILL,
            "INT" => libc::SIGINT,
            "QUIT" => libc::SIGQUIT,
            number => number.parse().unwrap_or(0),
        };
        is_meant_to_end(number)
    }
}
