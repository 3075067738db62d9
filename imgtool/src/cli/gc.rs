//! `gc`: removes the blobs that nothing leads to.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{ArgGroup, Args};

use super::arguments::layout_path;
use crate::layout::Layout;
use crate::store::{Store, default_path};
use crate::warnings;

/// Removes the blobs of the store, or of an image layout, that no image leads to.
///
/// Waits for everyone who is adding blobs. If something that an image leads to can't be read,
/// nothing is removed.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("where").required(true)))]
#[command(
    after_help = "Examples: windlass-img gc --store\n          windlass-img gc --layout images"
)]
pub struct Gc {
    /// The directory of a layout.
    #[arg(long, value_name = "LAYOUT", value_parser = layout_path, group = "where")]
    layout: Option<PathBuf>,

    /// The store, in its usual place (/var/lib/windlass for root, otherwise
    /// $XDG_DATA_HOME/windlass) or another.
    // Not simply the lack of --layout: for umoci's users that is a mistake. Two Options are how clap
    // says that a flag may lack its value.
    #[allow(clippy::option_option)]
    #[arg(long, value_name = "DIR", num_args = 0..=1, group = "where")]
    store: Option<Option<PathBuf>>,

    /// Forget also the steps of builds, which otherwise keep their layers, and what RUN keeps with
    /// --mount=type=cache.
    #[arg(long, conflicts_with = "layout")]
    build_cache: bool,

    /// Remove also images that have no name.
    #[arg(long, conflicts_with = "layout")]
    nameless: bool,

    /// Let go what a bundle needs whose file system isn't mounted, and won't be again.
    #[arg(long, value_name = "DIR", conflicts_with = "layout")]
    forget_bundle: Vec<PathBuf>,
}

impl Gc {
    pub(super) fn run(self) -> Result<()> {
        let path = match (self.layout, self.store.flatten()) {
            (Some(path), _) => {
                // The store is a layout, but knows who else needs what is in it.
                Layout::open(&path)?;
                path
            }
            (None, Some(path)) => path,
            (None, None) => default_path()?,
        };
        let store = Store::open_to_collect(&path)?;
        if self.build_cache {
            let steps = crate::build::forget_steps(&store)?;
            warnings::note(|| format!("forgot {steps} steps and caches of builds"));
        }
        if self.nameless {
            let images = store.remove_all_nameless()?;
            warnings::note(|| format!("removed {images} images without a name"));
        }
        for bundle in &self.forget_bundle {
            store.forget_bundle_at(bundle)?;
        }
        let collected = store
            .collect_garbage()
            .with_context(|| format!("can't collect garbage in {}", path.display()))?;
        warnings::note(|| {
            let blobs = collected.blobs;
            format!(
                "removed {} blobs of {} bytes, {} unpacked layers, {} unfinished bundles",
                blobs.blobs, blobs.bytes, collected.layers, collected.bundles
            )
        });
        Ok(())
    }
}
