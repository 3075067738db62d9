//! `init`: a layout without images.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::arguments::layout_path;
use crate::layout::Layout;
use crate::warnings;

/// Makes an empty image layout.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img init --layout images")]
pub struct Init {
    /// The layout's directory, which must not exist yet, or be empty.
    #[arg(long, value_name = "LAYOUT", value_parser = layout_path)]
    layout: PathBuf,
}

impl Init {
    pub(super) fn run(self) -> Result<()> {
        let path = self.layout.display();
        Layout::create(&self.layout).with_context(|| format!("can't make image layout {path}"))?;
        warnings::note(|| format!("made image layout {path}"));
        Ok(())
    }
}
