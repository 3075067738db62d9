//! Removing what no image and no bundle needs.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::Store;
use super::bundles::BundleReference;
use super::whereabouts::Whereabouts;
use crate::build::cache::Cache;
use crate::bundle::remove::{remove_recorded, user_of};
use crate::layout::digest::Digest;
use crate::layout::document::Descriptor;
use crate::layout::gc::Collected;
use crate::layout::resolve::Image;
use crate::network;
use crate::store::layers::chain_ids;
use crate::warnings::warn;

/// What a collection removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreCollected {
    /// Blobs.
    pub blobs: Collected,
    /// Unpacked layers.
    pub layers: u64,
    /// Bundles whose making or removal was killed.
    pub bundles: u64,
}

impl Store {
    /// Removes blobs and unpacked layers that no image of the store, no bundle and no cached step of
    /// a build needs, and what killed commands left of bundles and builds. Only for who opened the
    /// store to collect.
    pub fn collect_garbage(&self) -> Result<StoreCollected> {
        let (kept, bundles) = self.collect_bundles()?;
        network::hook::collect(&self.layout().path().join(network::DIRECTORY))?;
        crate::build::remove_unfinished(self)?;
        let needed = self.needed(&kept)?;
        Ok(StoreCollected {
            blobs: self.layout().collect_garbage_but(&needed.blobs)?,
            layers: self.collect_layers(&needed.layers)?,
            bundles,
        })
    }

    /// The bundles that are there, and how many were removed. Forgets those that are gone; removes
    /// those that are unfinished: nobody is at work on them, for we have the store alone.
    fn collect_bundles(&self) -> Result<(Vec<BundleReference>, u64)> {
        let mut kept = Vec::new();
        let mut removed = 0;
        for (mut reference, is_whole) in self.bundles()? {
            let (path, record) = match reference.find() {
                Ok(Whereabouts::At(path, record)) => (path, record),
                Ok(Whereabouts::Gone) => {
                    self.forget_bundle(&reference.id)?;
                    continue;
                }
                Ok(Whereabouts::Unreachable) => {
                    warn(|| {
                        let path = reference.path.display();
                        format!(
                            "what bundle {path} needs stays: its file system isn't mounted there \
                             (gc --forget-bundle {path} lets it go)"
                        )
                    });
                    kept.push(reference);
                    continue;
                }
                // Whatever it is, it may be in use.
                Err(error) => {
                    warn(|| format!("bundle {} stays: {error:#}", reference.path.display()));
                    kept.push(reference);
                    continue;
                }
            };
            if path != reference.path {
                reference.path = path;
                self.move_bundle(&reference, is_whole)?;
            }
            if is_whole || user_of(&reference.path, &record)?.is_some() {
                kept.push(reference);
                continue;
            }
            remove_recorded(&reference.path, &record, Some(self))
                .with_context(|| format!("bundle {}", reference.path.display()))?;
            removed += 1;
        }
        Ok((kept, removed))
    }

    /// Forgets a bundle that can't be reached: what it needs is no longer kept.
    pub fn forget_bundle_at(&self, path: &Path) -> Result<()> {
        let bundles = self.bundles()?;
        let known = bundles.iter().find(|(bundle, _)| bundle.path == path);
        let (bundle, _) =
            known.with_context(|| format!("no bundle {} is known", path.display()))?;
        match bundle.find()? {
            Whereabouts::At(path, _) => {
                bail!("bundle {} is there: unbundle it", path.display())
            }
            Whereabouts::Unreachable | Whereabouts::Gone => self.forget_bundle(&bundle.id),
        }
    }

    /// The bundles that are there, unfinished ones and those included that can't be reached now.
    pub(super) fn bundles_here(&self) -> Result<Vec<BundleReference>> {
        let mut here = Vec::new();
        for (mut reference, _) in self.bundles()? {
            match reference.find()? {
                Whereabouts::At(path, _) => reference.path = path,
                Whereabouts::Unreachable => {}
                Whereabouts::Gone => continue,
            }
            here.push(reference);
        }
        Ok(here)
    }

    /// What these bundles, the store's images and cached steps of builds need. An image that can't be
    /// read (one of which parts are missing) needs no layers.
    pub(super) fn needed(&self, bundles: &[BundleReference]) -> Result<Needed> {
        let of_bundles = bundles.iter().flat_map(|bundle| bundle.layers.clone());
        let mut needed = Needed {
            blobs: bundles.iter().map(|bundle| bundle.image.clone()).collect(),
            layers: of_bundles.collect(),
        };
        for step in Cache::of(self).layers()? {
            needed.blobs.push(step.descriptor);
            needed.layers.insert(step.chain_id);
        }
        for image in self.images()? {
            if let Ok(image) = Image::below(self.layout(), &image.descriptor) {
                let chain = chain_ids(&image.config.rootfs.diff_ids);
                needed.layers.extend(chain);
            }
        }
        Ok(needed)
    }
}

/// What has to stay in the store, besides its images' blobs.
#[derive(Debug)]
pub(super) struct Needed {
    /// Documents and layers, with all that these lead to.
    pub(super) blobs: Vec<Descriptor>,
    /// ChainIDs of unpacked layers.
    pub(super) layers: HashSet<Digest>,
}
