//! `tag`: a further tag or name for an image.

use anyhow::{Result, bail};
use clap::Args;

use super::arguments::{Connection, StoreArguments};
use crate::layout::Layout;
use crate::layout::reference::{ImageReference, checked_tag};
use crate::layout::resolve::tagged;
use crate::registry::configuration::Configuration;
use crate::store::name::stored_name;
use crate::warnings;

/// Gives an image of the store a further name, or with --image one of a layout a further tag.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples: windlass-img tag app registry.example.com/team/app:1.0\n          windlass-img tag --image images:debian stable"
)]
pub struct Tag {
    /// The image in a layout; the tag is 'latest' unless given.
    #[arg(long, value_name = "LAYOUT[:TAG]", conflicts_with = "store")]
    image: Option<ImageReference>,

    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    connection: Connection,

    /// The image's name, or the beginning of its digest, and the new name; with --image, the new
    /// tag. An image that has it already loses it.
    #[arg(value_name = "NAME", num_args = 1..=2, required = true)]
    names: Vec<String>,
}

impl Tag {
    pub(super) fn run(self) -> Result<()> {
        match (&self.image, self.names.as_slice()) {
            (Some(image), [tag]) => tag_in_layout(image, &checked_tag(tag)?),
            (Some(_), _) => bail!("with --image there is one new tag"),
            (None, [name, new]) => self.tag_in_store(name, new),
            (None, _) => bail!("what is tagged? 'tag NAME NEW-NAME', or 'tag --image LAYOUT TAG'"),
        }
    }

    fn tag_in_store(&self, name: &str, new: &str) -> Result<()> {
        let configuration: Configuration = self.connection.configuration()?;
        let store = self.store.open()?;
        let image = store.find(name, &configuration)?;
        let new = stored_name(new)?;
        if new.contains('@') {
            bail!("'{new}': a new name has a tag, not a digest");
        }
        store.add_name(&image.descriptor, &new)?;
        warnings::note(|| format!("{} is '{new}' too", image.descriptor.digest));
        Ok(())
    }
}

fn tag_in_layout(image: &ImageReference, tag: &str) -> Result<()> {
    let layout = Layout::open_to_change(&image.layout)?;
    let descriptor = tagged(&layout, &image.tag)?;
    layout.change_index(|index| {
        index.tag(descriptor, tag);
        Ok(())
    })?;
    warnings::note(|| format!("{image} is '{tag}' too"));
    Ok(())
}
