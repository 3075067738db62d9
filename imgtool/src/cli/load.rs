//! `load`: from an archive to a layout.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::layout::reference::checked_tag;
use crate::load::{LoadOptions, load};
use crate::sys::signal;

/// Loads images from a docker-archive (docker save) or an oci-archive into an image layout.
///
/// The archive is a tar file, plain or compressed with gzip or zstd; which of the two it is, its
/// content says. The layout is made if it isn't there. Prints the tag of each image loaded.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: docker save debian | windlass-img load --layout images --tag debian"
)]
pub struct Load {
    /// The archive; standard input unless given.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,

    /// The layout's directory.
    #[arg(long, value_name = "LAYOUT")]
    layout: PathBuf,

    /// The tag to give the archive's one image. Unless given: the archive's own tags, 'latest'
    /// if there is none; the whole names of a docker-archive that holds several images.
    #[arg(long, value_name = "NAME", value_parser = checked_tag)]
    tag: Option<String>,
}

impl Load {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        let (name, input): (String, Box<dyn Read>) = match &self.input {
            Some(path) => {
                let name = path.display().to_string();
                let file = File::open(path).with_context(|| format!("open {name}"))?;
                (name, Box::new(file))
            }
            None => ("standard input".to_owned(), Box::new(io::stdin().lock())),
        };
        let options = LoadOptions {
            tag: self.tag,
            ..LoadOptions::default()
        };
        let tags =
            load(input, &self.layout, &options).with_context(|| format!("can't load {name}"))?;
        let mut output = io::stdout().lock();
        for tag in tags {
            writeln!(output, "{}:{}", self.layout.display(), tag.escape_debug())?;
        }
        Ok(())
    }
}
