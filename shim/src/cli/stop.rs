//! `stop`: ends a container for good.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::Args;

use super::wait::Waiter;
use crate::attach::protocol::Request;
use crate::record::Record;

/// How long a container may take to end after SIGKILL: its last writes may have to reach a disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// End a container: send it a signal, and KILL if it is still there after a time
///
/// One that is to be restarted is not started again. When this returns the container has ended and
/// its log is complete. One that has ended already is no error.
#[derive(Debug, Args)]
pub struct Stop {
    /// How long it has before KILL, in seconds
    #[arg(short, long, value_name = "SECONDS", default_value = "10")]
    time: u64,
    /// The signal that tells it to end
    #[arg(short, long, value_name = "SIGNAL", default_value = "TERM")]
    signal: String,
    /// The container's id
    id: String,
}

impl Stop {
    pub fn carry_out(self, root: &Path) -> Result<u8> {
        let record = Record::open(root, &self.id)?;
        let Some(waiter) = Waiter::new(&record, Request::Last)? else {
            return match record.state()?.exit_status {
                Some(_) => Ok(0),
                None => Err(super::unsupervised(&record)),
            };
        };
        for (signal, time) in [
            (self.signal.as_str(), Duration::from_secs(self.time)),
            ("KILL", PATIENCE),
        ] {
            let said = record.state()?.runtime.kill(&self.id, signal);
            // One that has just ended, or was not started again, can't be killed any more.
            let patience = if said.is_ok() {
                time
            } else {
                time.min(PATIENCE)
            };
            match (waiter.wait(Some(patience))?, said) {
                (Some(_), _) => return Ok(0),
                (None, Err(failure)) if signal != "KILL" => eprintln!("{}", failure.message),
                (None, Err(failure)) => return Err(anyhow!(failure.message)),
                (None, Ok(_)) => {}
            }
        }
        bail!("container {} does not end, although it was killed", self.id)
    }
}
