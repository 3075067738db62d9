//! `--change`: an image's configuration, by instructions of a Dockerfile.

use anyhow::Result;
use clap::Args;

use crate::build::changes::{Change, change};
use crate::layout::edit::ImageEdit;

/// Changes of an image's configuration.
#[derive(Debug, Args)]
pub struct ChangeArguments {
    /// Change the image's configuration by an instruction of a Dockerfile; may be repeated: CMD,
    /// ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME, WORKDIR.
    #[arg(short, long, value_name = "INSTRUCTION", value_parser = parsed_change)]
    change: Vec<Change>,
}

impl ChangeArguments {
    /// Makes the changes, in order.
    pub fn make(&self, edit: &mut ImageEdit) -> Result<()> {
        change(edit, &self.change)
    }
}

fn parsed_change(text: &str) -> Result<Change, String> {
    Change::parse(text).map_err(|error| format!("{error:#}"))
}
