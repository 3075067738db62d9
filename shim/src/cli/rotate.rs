//! `rotate`: a log is rotated before it has reached its limit.

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;

use super::wait::Waiter;
use crate::attach::protocol::Request;
use crate::record::Record;

/// Rotate a container's log now
///
/// A log that was given no --log-max-size is opened anew by its name, which is what logrotate wants
/// in its postrotate after it has renamed the file.
#[derive(Debug, Args)]
pub struct Rotate {
    /// The container's id
    id: String,
}

#[derive(Deserialize)]
struct Report {
    log_state: Option<serde::de::IgnoredAny>,
    unrotated: Option<String>,
}

impl Rotate {
    pub fn carry_out(self, root: &Path) -> Result<u8> {
        let record = Record::open(root, &self.id)?;
        let report = match Waiter::new(&record, Request::Rotate)? {
            Some(waiter) => waiter.report()?,
            None => None,
        };
        let Some(report) = report else {
            return match record.state()?.exit_status {
                Some(status) => bail!("container {} has ended with status {status}", self.id),
                None => Err(super::unsupervised(&record)),
            };
        };
        let report: Report = serde_json::from_str(&report).context("the supervisor's report")?;
        match report {
            Report {
                unrotated: Some(why),
                ..
            } => bail!("{why}"),
            Report {
                log_state: None, ..
            } => bail!("container {} has no log", self.id),
            _ => Ok(0),
        }
    }
}
