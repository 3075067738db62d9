//! Removing what no image and no bundle needs.

use std::collections::HashSet;

use anyhow::{Context, Result};

use super::Store;
use super::bundles::BundleReference;
use crate::build::cache::Cache;
use crate::bundle::container_record::ContainerRecord;
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
        for (reference, is_whole) in self.bundles()? {
            let record = match ContainerRecord::read(&reference.path) {
                Ok(record) => record,
                // Whatever it is, it may be in use.
                Err(error) => {
                    warn(|| format!("bundle {} stays: {error:#}", reference.path.display()));
                    kept.push(reference);
                    continue;
                }
            };
            let Some(record) = record.filter(|record| record.id == reference.id) else {
                self.forget_bundle(&reference.id)?;
                continue;
            };
            let in_use = || user_of(&reference.path.join("rootfs"));
            if is_whole || in_use()?.is_some() {
                kept.push(reference);
                continue;
            }
            remove_recorded(&reference.path, &record, Some(self))
                .with_context(|| format!("bundle {}", reference.path.display()))?;
            removed += 1;
        }
        Ok((kept, removed))
    }

    /// The bundles that are there, unfinished ones included.
    pub(super) fn bundles_here(&self) -> Result<Vec<BundleReference>> {
        let mut here = Vec::new();
        for (reference, _) in self.bundles()? {
            let record = ContainerRecord::read(&reference.path)?;
            if record.is_some_and(|record| record.id == reference.id) {
                here.push(reference);
            }
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
