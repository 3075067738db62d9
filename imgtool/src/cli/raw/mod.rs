//! `raw`: the steps that other verbs are made of, one by one.

mod add_layer;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Single steps of the other verbs.
#[derive(Debug, Args)]
pub struct Raw {
    #[command(subcommand)]
    verb: RawVerb,
}

#[derive(Debug, Subcommand)]
enum RawVerb {
    AddLayer(add_layer::AddLayer),
}

impl Raw {
    pub(super) fn run(self) -> Result<()> {
        match self.verb {
            RawVerb::AddLayer(add_layer) => add_layer.run(),
        }
    }
}
