//! Whether unpacked layers are still what their archives give.

use std::collections::{BTreeSet, HashSet};

use anyhow::{Context, Result};
use rustix::fs::CWD;

use super::compare::{Difference, compare};
use super::unpack::{Making, can_share_layers, open_directory_at};
use crate::bundle::start_layer;
use crate::layer::limits::Limits;
use crate::layer::path::ImagePath;
use crate::layer::rootfs::RootFs;
use crate::layer::tar::TarLimits;
use crate::layout::digest::Digest;
use crate::layout::resolve::Image;
use crate::store::Store;

/// How many unpacked layers there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LayersVerified {
    /// Those that were compared with their archives.
    pub compared: usize,
    /// Those of no image or bundle that is here whole: those that only steps of builds need, and
    /// those that `gc` would remove.
    pub others: usize,
}

impl Store {
    /// Compares unpacked layers with the archives that they came from; `wrong` is told of each
    /// difference. An archive is unpacked once more for that, into the store, and removed. Blobs in
    /// `without` are damaged or missing.
    pub fn verify_layers(
        &self,
        without: &HashSet<Digest>,
        mut wrong: impl FnMut(&Digest, &ImagePath, &Difference) -> Result<()>,
    ) -> Result<LayersVerified> {
        let mut compared = BTreeSet::new();
        if can_share_layers() {
            let mut images = self.layout().index()?.manifests;
            images.extend(self.bundles_here()?.into_iter().map(|bundle| bundle.image));
            for descriptor in images {
                // What is missing or damaged of it, the verification of blobs says.
                if let Ok(mut image) = Image::below(self.layout(), &descriptor) {
                    image.forget_bytes();
                    self.verify_layers_of(&image, without, &mut compared, &mut wrong)?;
                }
            }
        }
        let whole = self
            .layers_here()?
            .into_iter()
            .filter(|(id, _)| id.is_some());
        Ok(LayersVerified {
            compared: compared.len(),
            others: whole.count().saturating_sub(compared.len()),
        })
    }

    fn verify_layers_of(
        &self,
        image: &Image,
        without: &HashSet<Digest>,
        compared: &mut BTreeSet<Digest>,
        wrong: &mut impl FnMut(&Digest, &ImagePath, &Difference) -> Result<()>,
    ) -> Result<()> {
        let chain = self.chain_of(&image.config.rootfs.diff_ids);
        for (number, layer) in image.layers()?.iter().enumerate() {
            let (below, from_here) = chain.directories.split_at(number);
            let (id, directory) = (&chain.ids[number], &from_here[0]);
            // A layer goes through links of those below it.
            let is_there = directory.exists() && below.iter().all(|below| below.exists());
            let digest = &layer.descriptor.digest;
            if !is_there || without.contains(digest) || !compared.insert(id.clone()) {
                continue;
            }
            let context = || format!("unpacked layer {id}");
            let place = directory.with_file_name(format!("verified-{}", id.hex()));
            // The place is never there: this is no layer's name.
            let Some(making) = Making::begin(&place)? else {
                continue;
            };
            let limits = unlimited();
            let stream = start_layer(self.layout(), layer, &limits, None);
            making
                .fill(below, stream.with_context(context)?, &limits)
                .with_context(context)?;
            let found = RootFs::new(open_directory_at(CWD, directory)?);
            compare(
                making.tree()?.root(),
                found.root(),
                &mut |path, difference| wrong(id, path, difference),
            )
            .with_context(context)?;
        }
        Ok(())
    }
}

/// The layer has been unpacked before, by who set the limits; memory is bounded all the same.
fn unlimited() -> Limits {
    Limits {
        bytes: u64::MAX,
        ratio: u64::MAX,
        ratio_from: u64::MAX,
        tar: TarLimits {
            entries: u64::MAX,
            ..TarLimits::default()
        },
        ..Limits::default()
    }
}
