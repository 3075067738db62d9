//! `gc`: removes the blobs that nothing leads to.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::arguments::layout_path;
use crate::layout::Layout;
use crate::warnings;

/// Removes the blobs of an image layout that no image leads to.
///
/// Waits for everyone who is adding blobs. If something that an image leads to can't be read,
/// nothing is removed.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img gc --layout images")]
pub struct Gc {
    /// The layout's directory.
    #[arg(long, value_name = "LAYOUT", value_parser = layout_path)]
    layout: PathBuf,
}

impl Gc {
    pub(super) fn run(self) -> Result<()> {
        let path = self.layout.display();
        let layout = Layout::open_to_collect(&self.layout)?;
        let collected = layout
            .collect_garbage()
            .with_context(|| format!("can't collect garbage in {path}"))?;
        warnings::note(|| {
            format!(
                "removed {} blobs of {} bytes",
                collected.blobs, collected.bytes
            )
        });
        Ok(())
    }
}
