//! How runtimes bear numbers: many mounts in one container ([`mounts`]), many containers at once ([`at_once`]),
//! and many that run already ([`crowd`]). The container is that of `runc spec`, and its program ends at once.

pub mod at_once;
pub mod crowd;
pub mod mounts;
pub mod program;

use std::path::PathBuf;

use anyhow::Result;

use crate::bundle::{self, Place};
use crate::contestant::{CommandLine, Contestant};
use crate::ground::Ground;
use crate::scenario::Network;

/// The config of all containers here.
const CONFIG: &str = "runc-spec";

/// A container of a contestant's, laid out and not yet made.
#[derive(Debug)]
struct Container<'a> {
    contestant: &'a Contestant,
    root: PathBuf,
    bundle: PathBuf,
    id: String,
}

impl<'a> Container<'a> {
    /// Lays the bundle of container `name` out, with `program` and with `mounts` beside its config's own.
    fn lay_out(
        contestant: &'a Contestant,
        ground: &Ground,
        name: &str,
        network: Network,
        program: &str,
        mounts: &[serde_json::Value],
    ) -> Result<Self> {
        let workplace = ground.workplace();
        let id = format!("windlass-bench-{}-{name}", contestant.name);
        let place = Place {
            rootfs: workplace.rootfs,
            id: &id,
            network,
            program,
        };
        let mut config = bundle::adjust(bundle::config(CONFIG)?, place)?;
        if let Some(all) = config["mounts"].as_array_mut() {
            all.extend_from_slice(mounts);
        }
        Ok(Self {
            contestant,
            root: workplace.state.join(&contestant.name),
            bundle: bundle::write(workplace.directory.join(&id), &config)?,
            id,
        })
    }

    /// `run`, until its program has ended.
    fn run(&self) -> CommandLine {
        self.command(&["run"])
    }

    /// `run --detach`.
    fn run_detached(&self) -> CommandLine {
        self.command(&["run", "--detach"])
    }

    /// `delete --force`.
    fn delete(&self) -> CommandLine {
        self.contestant
            .command(&self.root, &["delete", "--force"], None, &self.id)
    }

    fn command(&self, verb: &[&str]) -> CommandLine {
        self.contestant
            .command(&self.root, verb, Some(&self.bundle), &self.id)
    }
}
