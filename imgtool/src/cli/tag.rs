//! `tag`: a further tag for an image.

use anyhow::Result;
use clap::Args;

use crate::layout::Layout;
use crate::layout::reference::{ImageReference, checked_tag};
use crate::layout::resolve::tagged;
use crate::warnings;

/// Gives an image a further tag.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img tag --image images:debian stable")]
pub struct Tag {
    /// The image; the tag is 'latest' unless given.
    #[arg(long, value_name = "LAYOUT[:TAG]")]
    image: ImageReference,

    /// The new tag. An image that has it already loses it.
    #[arg(value_name = "NEW-TAG", value_parser = checked_tag)]
    new_tag: String,
}

impl Tag {
    pub(super) fn run(self) -> Result<()> {
        let layout = Layout::open_to_change(&self.image.layout)?;
        let descriptor = tagged(&layout, &self.image.tag)?;
        layout.change_index(|index| {
            index.tag(descriptor, &self.new_tag);
            Ok(())
        })?;
        warnings::note(|| format!("{} is '{}' too", self.image, self.new_tag));
        Ok(())
    }
}
