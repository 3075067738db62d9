//! `repack`: a bundle's changes into an image.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::arguments::{CompressArguments, HistoryArguments, MemoryArguments};
use crate::bundle::{self, RepackOptions, mask};
use crate::date;
use crate::layout::Layout;
use crate::layout::reference::ImageReference;
use crate::sys::signal;
use crate::warnings;

/// Adds a layer with what has changed in a bundle since it was unpacked to its image.
///
/// The layout has to be the one that the bundle was unpacked from; users and groups are mapped
/// back as they were mapped then. Without a change, no layer is added.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img repack --image images:changed bundle")]
pub struct Repack {
    /// The layout, and the tag of the new image, 'latest' unless given.
    #[arg(long, value_name = "LAYOUT[:NEW-TAG]")]
    image: ImageReference,

    /// Leave out changes at and below this path; may be repeated.
    #[arg(long, value_name = "PATH")]
    mask_path: Vec<String>,

    /// Take changes in the image's volumes, too.
    #[arg(long)]
    no_mask_volumes: bool,

    /// Make the bundle one of the new image: the next repack takes the changes since now.
    #[arg(long)]
    refresh_bundle: bool,

    #[command(flatten)]
    compress: CompressArguments,

    #[command(flatten)]
    history: HistoryArguments,

    #[command(flatten)]
    memory: MemoryArguments,

    /// The bundle's directory.
    bundle: PathBuf,
}

impl Repack {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        self.memory.apply();
        let options = RepackOptions {
            masks: self.mask_path.iter().map(|path| mask(path)).collect(),
            mask_volumes: !self.no_mask_volumes,
            compression: self.compress.chosen(),
            latest_time: date::source_date_epoch()?,
            refresh: self.refresh_bundle,
        };
        let bundle = self.bundle.display();
        let layout = Layout::open_to_change(&self.image.layout)?;
        let history = self.history;
        let digest = bundle::repack(&layout, &self.image.tag, &self.bundle, &options, |old| {
            history.entry(old.author.clone(), "windlass-img repack")
        })
        .with_context(|| format!("can't repack {bundle}"))?;
        warnings::note(|| format!("{} is {digest}", self.image));
        Ok(())
    }
}
