//! `delete`: an image out of a registry or a layout.

use anyhow::{Context, Result, bail};
use clap::Args;

use super::arguments::{Access, Connection};
use crate::layout::Layout;
use crate::layout::resolve::tagged;
use crate::registry::Repository;
use crate::sys::signal;
use crate::transport::Location;

/// Marks an image in a registry for deletion, with all tags that lead to it; or takes a tag out of
/// a layout and removes the blobs that nothing else there needs.
///
/// A registry removes blobs when it collects its garbage, and may refuse to delete at all.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img delete docker://registry.example.com/debian:11")]
pub struct Delete {
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    connection: Connection,

    /// docker://NAME[:TAG|@DIGEST] or oci:LAYOUT:TAG.
    image: Location,
}

impl Delete {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        match &self.image {
            Location::Registry(name) => self.delete_in_registry(name),
            Location::Layout(path, Some(tag)) => {
                let layout = Layout::open_to_collect(path)?;
                tagged(&layout, tag)?;
                layout.change_index(|index| {
                    index.manifests.retain(|known| known.tag() != Some(tag));
                    Ok(())
                })?;
                layout.collect_garbage()?;
                Ok(())
            }
            Location::Layout(_, None) => bail!("{}: give the tag", self.image),
            _ => bail!(
                "{}: images are deleted from docker:// and oci: alone",
                self.image
            ),
        }
        .with_context(|| format!("can't delete {}", self.image))
    }

    fn delete_in_registry(&self, text: &str) -> Result<()> {
        let configuration = self.connection.configuration()?;
        let options = self.access.options(&self.connection)?;
        let endpoint = configuration.destination(&configuration.resolve(text)?)?;
        let repository = Repository::new(&endpoint, &options)?;
        let digest = repository
            .resolve(&endpoint.name.version)?
            .context("there is no such image")?;
        repository.delete_manifest(&digest)
    }
}
