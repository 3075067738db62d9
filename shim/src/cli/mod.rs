//! The front for people: one file a verb.

mod attach;
mod container;
mod daemon;
mod health_checks;
mod health_options;
mod inspect;
mod kill;
mod log_options;
mod logs;
mod ps;
mod rm;
mod rotate;
mod run;
mod stop;
mod wait;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::record::{Record, default_root};

/// The status of windlass-shim itself when it could not do what it was asked to (docker's and
/// podman's number for that), so that it differs from most containers' own.
pub const FAILED: u8 = 125;

/// Runs containers under a supervisor: their output is logged, their exit status kept, and a
/// terminal can come and go.
///
/// The supervisor uses nothing of the runtime but its command line (create, start, kill, delete,
/// state), so windlass, runc and crun work alike.
///
/// Exit status: run, wait and attach return the container's own (128 + signal if a signal ended
/// it); 125 if windlass-shim itself failed, with one line on stderr that says why.
#[derive(Debug, Parser)]
#[command(name = "windlass-shim", version, max_term_width = 100)]
pub struct Cli {
    /// Where the containers' records are kept [default: /run/windlass-shim, or for other users
    /// than root $XDG_RUNTIME_DIR/windlass-shim]
    #[arg(long, value_name = "DIR", global = true)]
    state: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(Box<run::Run>),
    Attach(attach::Attach),
    Logs(logs::Logs),
    Wait(wait::Wait),
    Stop(stop::Stop),
    Kill(kill::Kill),
    Inspect(inspect::Inspect),
    Ps(ps::Ps),
    Rotate(rotate::Rotate),
    Rm(rm::Rm),
}

impl Cli {
    /// Does what was asked; returns the exit status.
    pub fn carry_out(self) -> Result<u8> {
        let root = self.state.unwrap_or_else(default_root);
        let root = crate::supervise::absolute(&root)?;
        match self.verb {
            Verb::Run(run) => run.carry_out(&root),
            Verb::Attach(attach) => attach.carry_out(&root),
            Verb::Logs(logs) => logs.carry_out(&root),
            Verb::Wait(wait) => wait.carry_out(&root),
            Verb::Stop(stop) => stop.carry_out(&root),
            Verb::Kill(kill) => kill.carry_out(&root),
            Verb::Inspect(inspect) => inspect.carry_out(&root),
            Verb::Ps(ps) => ps.carry_out(&root),
            Verb::Rotate(rotate) => rotate.carry_out(&root),
            Verb::Rm(rm) => rm.carry_out(&root),
        }
    }
}

/// The supervisor was killed, or has failed: nobody knows how the container ends.
fn unsupervised(record: &Record) -> anyhow::Error {
    let id = record.id();
    let state = record.read().ok().flatten();
    let troubles = state.map(|state| state.troubles).unwrap_or_default();
    let why = if troubles.is_empty() {
        "killed?".to_owned()
    } else {
        troubles.join("; ")
    };
    anyhow::anyhow!(
        "the supervisor of container {id} is gone ({why}), its exit status can't be known; \
         clean up with: windlass-shim rm --force {id}"
    )
}

/// A container's status as a process can return it.
fn exit_status(status: i32) -> u8 {
    u8::try_from(status & 0xff).unwrap_or(FAILED)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn manual() {
        windlass_manual::keep(super::Cli::command()).unwrap();
    }
}
