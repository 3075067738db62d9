//! `raw unpack`: an image's root file system alone.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::bundle;
use crate::cli::arguments::ApplyArguments;
use crate::layout::Layout;
use crate::layout::reference::ImageReference;
use crate::sys::signal;

/// Unpacks an image's root file system into a directory, and nothing else.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img raw unpack --image images:debian rootfs")]
pub struct RawUnpack {
    /// The image; the tag is 'latest' unless given.
    #[arg(long, value_name = "LAYOUT[:TAG]")]
    image: ImageReference,

    #[command(flatten)]
    apply: ApplyArguments,

    /// The directory, which must not exist yet, or be empty.
    rootfs: PathBuf,
}

impl RawUnpack {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        let layout = Layout::open(&self.image.layout)?;
        let options = self.apply.options()?;
        bundle::unpack_rootfs(&layout, &self.image.tag, &self.rootfs, &options)
            .with_context(|| format!("can't unpack {}", self.image))
    }
}
