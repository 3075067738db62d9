//! `rm`: takes a tag away.

use anyhow::Result;
use clap::Args;

use crate::layout::Layout;
use crate::layout::reference::ImageReference;
use crate::warnings;

/// Removes a tag from an image layout; gc removes the blobs that no other tag leads to.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img rm --image images:debian")]
pub struct Remove {
    /// The image; the tag is 'latest' unless given. It is fine if there is none, as with umoci.
    #[arg(long, value_name = "LAYOUT[:TAG]")]
    image: ImageReference,
}

impl Remove {
    pub(super) fn run(self) -> Result<()> {
        let layout = Layout::open_to_change(&self.image.layout)?;
        let removed = layout.change_index(|index| {
            let before = index.manifests.len();
            let tag = Some(self.image.tag.as_str());
            index.manifests.retain(|known| known.tag() != tag);
            Ok(before - index.manifests.len())
        })?;
        match removed {
            0 => warnings::warn(|| format!("there was no {} to remove", self.image)),
            1 => warnings::note(|| format!("removed {}", self.image)),
            several => {
                warnings::warn(|| format!("{several} images had the tag of {}", self.image));
            }
        }
        Ok(())
    }
}
