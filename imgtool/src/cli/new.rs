//! `new`: an image without layers.

use anyhow::Result;
use clap::Args;

use crate::date;
use crate::layout::Layout;
use crate::layout::edit::ImageEdit;
use crate::layout::reference::ImageReference;
use crate::warnings;

/// Makes an image without layers, for this machine, in an image layout.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img new --image images:mine")]
pub struct New {
    /// The image to make; the tag is 'latest' unless given. An image that has the tag loses it.
    #[arg(long, value_name = "LAYOUT[:TAG]")]
    image: ImageReference,
}

impl New {
    pub(super) fn run(self) -> Result<()> {
        let layout = Layout::open_to_change(&self.image.layout)?;
        let mut incoming = layout.incoming()?;
        let way = ImageEdit::blank(&date::now_or_epoch()?)?.commit(
            &layout,
            &mut incoming,
            &[],
            Some(&self.image.tag),
        )?;
        warnings::note(|| format!("made {}: {}", self.image, way[0].digest));
        Ok(())
    }
}
