//! The command line: one file a verb.

mod list;
mod load;
mod stat;
mod unpack;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Unpacks, inspects and loads OCI images, on the standard image layout.
#[derive(Debug, Parser)]
#[command(name = "windlass-img", version, disable_help_subcommand = true)]
pub struct CommandLine {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Unpack(unpack::Unpack),
    #[command(alias = "list")]
    Ls(list::List),
    Stat(stat::Stat),
    Load(load::Load),
}

impl CommandLine {
    /// Does what was asked for.
    pub fn run(self) -> Result<()> {
        match self.verb {
            Verb::Unpack(unpack) => unpack.run(),
            Verb::Ls(list) => list.run(),
            Verb::Stat(stat) => stat.run(),
            Verb::Load(load) => load.run(),
        }
    }
}
