//! `load`: from an archive to the store or a layout.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::arguments::{MemoryArguments, StoreArguments};
use crate::layout::reference::checked_tag;
use crate::load::{LoadOptions, Naming, load, load_into};
use crate::sys::signal;

/// Loads images from a docker-archive (docker save) or an oci-archive into the store, or an image
/// layout.
///
/// The archive is a tar file, plain or compressed with gzip or zstd; which of the two it is, its
/// content says. A layout is made if it isn't there. Prints the name or tag of each image loaded.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: docker save debian | windlass-img load --layout images --tag debian"
)]
pub struct Load {
    /// The archive; standard input unless given.
    #[arg(long, short, value_name = "FILE")]
    input: Option<PathBuf>,

    /// The directory of a layout to load into, in place of the store.
    #[arg(long, value_name = "LAYOUT", conflicts_with = "store")]
    layout: Option<PathBuf>,

    #[command(flatten)]
    store: StoreArguments,

    #[command(flatten)]
    memory: MemoryArguments,

    /// The name (in a layout: the tag) to give the archive's one image. Unless given: the archive's
    /// own names; in a layout its tags, 'latest' if there is none, but the whole names where a
    /// docker-archive holds several images.
    #[arg(long, value_name = "NAME", value_parser = checked_tag)]
    tag: Option<String>,
}

impl Load {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        self.memory.apply();
        let (name, input): (String, Box<dyn Read>) = match &self.input {
            Some(path) => {
                let name = path.display().to_string();
                let file = File::open(path).with_context(|| format!("open {name}"))?;
                (name, Box::new(file))
            }
            None => ("standard input".to_owned(), Box::new(io::stdin().lock())),
        };
        let mut options = LoadOptions {
            tag: self.tag,
            ..LoadOptions::default()
        };
        let context = || format!("can't load {name}");
        let (tags, prefix) = if let Some(layout) = &self.layout {
            let tags = load(input, layout, &options).with_context(context)?;
            (tags, format!("{}:", layout.display()))
        } else {
            options.naming = Naming::Stored;
            let store = self.store.open()?;
            let tags = load_into(input, store.layout(), &options).with_context(context)?;
            (tags, String::new())
        };
        let mut output = io::stdout().lock();
        for tag in tags {
            writeln!(output, "{prefix}{}", tag.escape_debug())?;
        }
        Ok(())
    }
}
