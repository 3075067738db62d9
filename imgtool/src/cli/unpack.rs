//! `unpack`: from a layout to a bundle.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::arguments::ApplyArguments;
use crate::bundle::config::ConfigOptions;
use crate::bundle::{self, UnpackOptions};
use crate::layout::Layout;
use crate::layout::reference::ImageReference;
use crate::sys::signal;

/// Unpacks an image into an OCI bundle: BUNDLE/rootfs and BUNDLE/config.json.
///
/// BUNDLE must not exist, or be an empty directory. Every digest is verified while unpacking; if
/// anything is wrong, nothing is left of BUNDLE.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img unpack --image images:debian bundle")]
pub struct Unpack {
    /// The image; the tag is 'latest' unless given.
    #[arg(long, value_name = "LAYOUT[:TAG]")]
    image: ImageReference,

    #[command(flatten)]
    apply: ApplyArguments,

    /// Write a config.json whose process has no terminal, for a supervisor that uses pipes.
    #[arg(long)]
    no_terminal: bool,

    /// The bundle's directory.
    bundle: PathBuf,
}

impl Unpack {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        let layout = Layout::open(&self.image.layout)?;
        let options = UnpackOptions {
            apply: self.apply.options()?,
            config: ConfigOptions {
                no_terminal: self.no_terminal,
            },
        };
        let image = format!("{}:{}", self.image.layout.display(), self.image.tag);
        bundle::unpack(&layout, &self.image.tag, &self.bundle, &options)
            .with_context(|| format!("can't unpack {image}"))
    }
}
