//! `volume`: directories that outlive containers.

mod create;
mod inspect;
mod list;
mod prune;
mod remove;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Volumes: directories of the store that outlive containers and that several may share.
#[derive(Debug, Args)]
pub struct Volume {
    #[command(subcommand)]
    verb: VolumeVerb,
}

#[derive(Debug, Subcommand)]
enum VolumeVerb {
    Create(create::Create),
    #[command(alias = "list")]
    Ls(list::List),
    Inspect(inspect::Inspect),
    #[command(alias = "remove")]
    Rm(remove::Remove),
    Prune(prune::Prune),
}

impl Volume {
    pub(super) fn run(self) -> Result<()> {
        match self.verb {
            VolumeVerb::Create(create) => create.run(),
            VolumeVerb::Ls(list) => list.run(),
            VolumeVerb::Inspect(inspect) => inspect.run(),
            VolumeVerb::Rm(remove) => remove.run(),
            VolumeVerb::Prune(prune) => prune.run(),
        }
    }
}
