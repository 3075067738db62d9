//! `import`: an image out of a root file system.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::arguments::{ChangeArguments, CompressArguments, MemoryArguments, StoreArguments};
use crate::date;
use crate::layout::document::History;
use crate::layout::edit::ImageEdit;
use crate::store::name::stored_name;
use crate::sys::signal;

/// Makes an image of one layer out of a tar file of a root file system, plain or compressed.
///
/// Prints the image's digest. The image says nothing of how to run but what --change says: see config.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: tar -C rootfs -c . | windlass-img import --change 'CMD [\"sh\"]' - registry.example.com/base:1"
)]
pub struct Import {
    /// A note about where it comes from, for the image's history.
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,

    #[command(flatten)]
    change: ChangeArguments,
    #[command(flatten)]
    compress: CompressArguments,
    #[command(flatten)]
    store: StoreArguments,

    #[command(flatten)]
    memory: MemoryArguments,

    /// The tar file; '-' for standard input.
    file: PathBuf,

    /// The image's name.
    #[arg(value_parser = stored_name_argument)]
    name: String,
}

fn stored_name_argument(text: &str) -> Result<String, String> {
    stored_name(text).map_err(|error| format!("{error:#}"))
}

impl Import {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        self.memory.apply();
        let input: Box<dyn Read> = if self.file.as_os_str() == "-" {
            Box::new(io::stdin().lock())
        } else {
            let file = File::open(&self.file);
            Box::new(file.with_context(|| format!("open {}", self.file.display()))?)
        };
        let created = date::now_or_epoch()?;
        let mut edit = ImageEdit::blank(&created)?;
        self.change.make(&mut edit)?;
        let compression = self.compress.choose(&edit);
        let history = History {
            created: Some(created),
            created_by: Some("windlass-img import".to_owned()),
            comment: self.message,
            ..History::default()
        };
        let digest = self
            .store
            .open()?
            .import(input, &self.name, edit, history, compression)
            .with_context(|| format!("can't import {}", self.file.display()))?;
        writeln!(io::stdout(), "{digest}")?;
        Ok(())
    }
}
