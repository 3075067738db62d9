//! `ls`: the tags of a layout.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::arguments::layout_path;
use crate::layout::Layout;

/// Lists the tags in an image layout, one a line.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img ls --layout images")]
pub struct List {
    /// The layout's directory.
    #[arg(long, value_name = "LAYOUT", value_parser = layout_path)]
    layout: PathBuf,
}

impl List {
    pub(super) fn run(self) -> Result<()> {
        let index = Layout::open(&self.layout)?.index()?;
        let mut output = std::io::stdout().lock();
        for tag in index
            .manifests
            .iter()
            .filter_map(|descriptor| descriptor.tag())
        {
            // A tag is whatever the layout's maker wrote: nothing that steers a terminal.
            writeln!(output, "{}", tag.escape_debug())?;
        }
        Ok(())
    }
}
