//! `network-hook`: what a bundle's hooks call.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};

use crate::network::attachment::Process;
use crate::network::hook::{self, State};
use crate::sys::signal;

/// Connects a container, and disconnects it again: bundles have hooks that call this.
#[derive(Debug, Args)]
pub struct NetworkHook {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// createRuntime: attach the container of the state on standard input.
    Attach {
        /// The bundle's network.json.
        record: PathBuf,
    },
    /// poststop: detach it.
    Detach {
        /// The directory in which attachments are noted.
        networks: PathBuf,
    },
    /// createRuntime: refuse it unless it has joined the network of the process that was meant.
    Joined {
        /// That process.
        pid: u32,
        /// When it began, in clock ticks since the boot.
        start_time: u64,
        /// Which boot.
        boot: String,
    },
}

impl NetworkHook {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        let state: State = serde_json::from_reader(std::io::stdin().lock())
            .context("the container's state on standard input")?;
        let of_container = || format!("container {}", state.id.escape_debug());
        match self.verb {
            Verb::Attach { record } => hook::attach(&record, &state)
                .with_context(|| format!("can't connect {}", of_container())),
            Verb::Joined {
                pid,
                start_time,
                boot,
            } => {
                let process = Process {
                    pid,
                    start_time,
                    boot,
                };
                hook::check_joined(&process, &state)
                    .with_context(|| format!("can't connect {}", of_container()))
            }
            Verb::Detach { networks } => hook::detach(&networks, &state)
                .with_context(|| format!("can't disconnect {}", of_container())),
        }
    }
}
