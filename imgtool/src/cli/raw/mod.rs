//! `raw`: the steps that other verbs are made of, one by one.

mod add_layer;
mod mtree_validate;
mod runtime_config;
mod unpack;

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
    Unpack(unpack::RawUnpack),
    #[command(alias = "config")]
    RuntimeConfig(runtime_config::RuntimeConfig),
    MtreeValidate(mtree_validate::MtreeValidate),
}

impl Raw {
    pub(super) fn run(self) -> Result<()> {
        match self.verb {
            RawVerb::AddLayer(add_layer) => add_layer.run(),
            RawVerb::Unpack(unpack) => unpack.run(),
            RawVerb::RuntimeConfig(config) => config.run(),
            RawVerb::MtreeValidate(validate) => validate.run(),
        }
    }
}
