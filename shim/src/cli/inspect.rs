//! `inspect`: all that is known of a container, as JSON.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Map, Value, json};

use super::wait::Waiter;
use crate::attach::protocol::Request;
use crate::record::Record;

/// Print all that is known of a container, as JSON
///
/// What ps tells; and, while it is supervised, how many bytes it has written (stdout_bytes,
/// stderr_bytes), the state of its log (log_state: rotations, dropped_bytes, over_rate, and what
/// keeps it from being written as trouble), and what its supervisor takes of the memory
/// (supervisor_memory, in bytes, shared pages counted in parts).
#[derive(Debug, Args)]
pub struct Inspect {
    /// The container's id
    id: String,
}

impl Inspect {
    pub fn carry_out(self, root: &Path) -> Result<u8> {
        let record = Record::open(root, &self.id)?;
        let report = match Waiter::new(&record, Request::Inspect)? {
            Some(waiter) => waiter.report()?,
            None => None,
        };
        // After the question: it can have ended with it.
        let state = record.state()?;
        let supervisor = state.supervisor_pid;
        let mut all = match serde_json::to_value(state)? {
            Value::Object(all) => all,
            _ => Map::new(),
        };
        all.insert("supervised".to_owned(), json!(report.is_some()));
        if let Some(report) = report {
            let report: Map<String, Value> =
                serde_json::from_str(&report).context("the supervisor's report")?;
            all.extend(report);
            let memory = supervisor.and_then(proportional_memory);
            all.insert("supervisor_memory".to_owned(), json!(memory));
        }
        println!("{:#}", Value::Object(all));
        Ok(0)
    }
}

/// The proportional set size of a process (`Pss` in proc_pid_smaps(5)), in bytes.
fn proportional_memory(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
