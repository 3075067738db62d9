//! A bundle's changes become a new layer of its image.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::record::RecordedBundle;
use crate::layer::diff::changes::{Change, write_changes};
use crate::layer::diff::{LayerSink, LayerWriter, PackOptions};
use crate::layer::path::ImagePath;
use crate::layer::path_list::PathList;
use crate::layout::Layout;
use crate::layout::digest::Digest;
use crate::layout::document::{History, ImageConfig};
use crate::layout::edit::ImageEdit;
use crate::layout::media::{Compression, MediaKind};
use crate::layout::resolve::Image;
use crate::memory_budget::MemoryBudget;
use crate::mtree::{self, Difference};

/// What the caller decides about repacking.
#[derive(Debug, Clone, Default)]
pub struct RepackOptions {
    /// Changes at and below these paths are left out.
    pub masks: Vec<ImagePath>,
    /// Changes in the image's volumes are left out too.
    pub mask_volumes: bool,
    /// How to compress the layer; as the image's others are, unless given.
    pub compression: Option<Compression>,
    /// No time in the layer is later than this, in seconds since the epoch.
    pub latest_time: Option<i64>,
    /// The bundle becomes one of the new image.
    pub refresh: bool,
}

/// Adds a layer with the changes of the bundle at `path` to its image, under `tag`; without
/// changes, the image gets a note in its history alone. `history` makes that from the old
/// configuration. Returns the new manifest's digest.
pub fn repack(
    layout: &Layout,
    tag: &str,
    path: &Path,
    options: &RepackOptions,
    history: impl FnOnce(&ImageConfig) -> Result<Option<History>>,
) -> Result<Digest> {
    let bundle = RecordedBundle::open(path)?;
    let descriptor = bundle.record.image()?.clone();
    if descriptor.kind() != MediaKind::Manifest {
        bail!("the bundle is not one of an image: {}", descriptor.digest);
    }
    let image = Image::read(layout, descriptor, bundle.record.way.clone())
        .context("the image that the bundle was unpacked from")?;
    let mut edit = ImageEdit::of(&image)?;
    let history = history(&image.config)?;
    let mut masks = options.masks.clone();
    if options.mask_volumes {
        masks.extend(image.config.config.volumes.keys().map(|path| mask(path)));
    }
    let memory = MemoryBudget::default();
    let changes = find_changes(&bundle, &masks, &memory)?;
    let mut incoming = layout.incoming()?;
    let mut blobs = Vec::new();
    if changes.is_empty() {
        if let Some(history) = history {
            edit.add_change(&history)?;
        }
    } else {
        let compression = options.compression.unwrap_or(edit.usual_compression());
        let sink = LayerSink::new(&mut incoming, compression)?;
        let pack = PackOptions {
            mapping: bundle.record.mapping.clone(),
            latest_time: options.latest_time,
            memory,
        };
        let mut layer = LayerWriter::new(sink, pack);
        write_changes(&bundle.rootfs()?, changes, &mut layer)?;
        let layer = layer.finish()?.finish()?;
        edit.add_layer(&layer, history)?;
        blobs.push(layer.blob);
    }
    let way = edit.commit(layout, &mut incoming, &blobs, Some(tag))?;
    let digest = way.last().context("no manifest")?.digest.clone();
    if options.refresh {
        bundle.refresh(way)?;
    }
    Ok(digest)
}

/// What has changed since the bundle was unpacked, without what is masked.
pub(super) fn find_changes(
    bundle: &RecordedBundle,
    masks: &[ImagePath],
    memory: &MemoryBudget,
) -> Result<PathList<Change>> {
    let is_masked = |path: &ImagePath| {
        masks
            .iter()
            .any(|mask| !mask.is_root() && (path == mask || path.is_below(mask)))
    };
    let mut changes = PathList::new(memory);
    let tell = |path, difference| {
        if is_masked(&path) {
            return Ok(());
        }
        let change = match difference {
            Difference::Missing => Change::Removed,
            Difference::Extra | Difference::Changed { .. } => Change::Written,
        };
        changes.push(path, change)
    };
    let manifest = bundle.manifest(memory)?;
    mtree::compare(manifest, &bundle.rootfs()?, &mtree::UMOCI, tell)?;
    Ok(changes)
}

/// The path of a mask: `..` and links in it mean nothing but their names, as with umoci.
pub fn mask(path: &str) -> ImagePath {
    let mut components: Vec<&[u8]> = Vec::new();
    for component in path.as_bytes().split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => drop(components.pop()),
            _ => components.push(component),
        }
    }
    components
        .iter()
        .fold(ImagePath::root(), |path, component| path.join(component))
}
