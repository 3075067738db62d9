//! `rm`: an image out of the store, or a tag out of a layout.

use anyhow::Result;
use clap::Args;

use super::arguments::{Connection, StoreArguments};
use crate::layout::Layout;
use crate::layout::reference::ImageReference;
use crate::store::Store;
use crate::warnings;

/// Removes images from the store, with the blobs that no other image needs; or with --image a tag
/// from a layout, whose blobs gc removes.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples: windlass-img rm registry.example.com/debian:11\n          windlass-img rm --image images:debian"
)]
pub struct Remove {
    /// The image in a layout; the tag is 'latest' unless given. It is fine if there is none, as
    /// with umoci.
    #[arg(long, value_name = "LAYOUT[:TAG]", conflicts_with = "store")]
    image: Option<ImageReference>,

    /// It is fine if there is no such image.
    #[arg(long, short)]
    force: bool,

    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    connection: Connection,

    /// Images: names, of which only these are taken away, or beginnings of digests, with which all
    /// names go.
    #[arg(
        value_name = "NAME",
        required_unless_present = "image",
        conflicts_with = "image"
    )]
    names: Vec<String>,
}

impl Remove {
    pub(super) fn run(self) -> Result<()> {
        if let Some(image) = &self.image {
            return remove_from_layout(image);
        }
        let configuration = self.connection.configuration()?;
        let store = self.store.open()?;
        for name in &self.names {
            let image = if self.force {
                match store.find_if_there(name, &configuration)? {
                    Some(image) => image,
                    None => continue,
                }
            } else {
                store.find(name, &configuration)?
            };
            if image.by_name {
                store.remove_names(&image.names[..1])?;
            } else if image.names.is_empty() {
                store.remove_nameless(&image.descriptor)?;
            } else {
                store.remove_names(&image.names)?;
            }
        }
        drop(store);
        match Store::try_to_collect(&self.store.path()?)? {
            Some(store) => {
                store.collect_garbage()?;
            }
            None => {
                warnings::note(|| "the store is in use: 'gc --store' removes the blobs".to_owned());
            }
        }
        Ok(())
    }
}

fn remove_from_layout(image: &ImageReference) -> Result<()> {
    let layout = Layout::open_to_change(&image.layout)?;
    let removed = layout.change_index(|index| {
        let before = index.manifests.len();
        let tag = Some(image.tag.as_str());
        index.manifests.retain(|known| known.tag() != tag);
        Ok(before - index.manifests.len())
    })?;
    match removed {
        0 => warnings::warn(|| format!("there was no {image} to remove")),
        1 => warnings::note(|| format!("removed {image}")),
        several => {
            warnings::warn(|| format!("{several} images had the tag of {image}"));
        }
    }
    Ok(())
}
