//! Unpacks an image into a bundle: layers, then config.json.

use std::collections::VecDeque;
use std::io::Write as _;
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result};

use super::config::{self, ConfigOptions};
use super::directory::BundleDirectory;
use super::record::{self, RECORD, Record};
use crate::layer::apply::{Applied, Applier, ApplyOptions};
use crate::layer::ids::to_host;
use crate::layer::limits::Limits;
use crate::layer::rootfs::RootFs;
use crate::layer::stream::{LayerBlob, LayerStream};
use crate::layout::Layout;
use crate::layout::resolve::{Image, Layer};
use crate::progress::ItemProgress;

/// What the caller decides about unpacking.
#[derive(Debug, Clone, Default)]
pub struct UnpackOptions {
    /// How layers are applied.
    pub apply: ApplyOptions,
    /// How config.json is made.
    pub config: ConfigOptions,
}

/// Makes the bundle at `path`, or fails and leaves nothing. What it looks like is noted in it, so
/// that [`super::repack`] finds what has changed.
pub fn unpack(layout: &Layout, tag: &str, path: &Path, options: &UnpackOptions) -> Result<()> {
    let mut image = Image::find(layout, tag)?;
    image.forget_bytes();
    config::check_platform(&image.config)?;
    let mut bundle = BundleDirectory::create(path)?;
    let root = bundle.make_rootfs()?;
    let rootfs = unpack_into(layout, &image, &mut bundle, root, &options.apply)?;
    let mapping = &options.apply.mapping;
    let config = config::convert(&image.config, Some(&rootfs), mapping, options.config)
        .context("convert the image's configuration to config.json")?;
    bundle.write_config(&config)?;
    bundle.complete()
}

/// Unpacks an image into the empty directory `root` of a bundle, and notes in the bundle what it
/// looks like.
pub(super) fn unpack_into(
    layout: &Layout,
    image: &Image,
    bundle: &mut BundleDirectory,
    root: OwnedFd,
    options: &ApplyOptions,
) -> Result<RootFs> {
    let layers = image.layers()?;
    let mut apply = options.clone();
    apply.take_digests = true;
    let limits = apply.limits.clone();
    let applied = apply_layers(layout, &layers, Applier::new(root, apply)?, &limits)?;
    let mapping = &options.mapping;
    let record = Record {
        way: image.way.clone(),
        mapping: mapping.clone(),
    };
    let manifest = bundle.create_file(&record.manifest_name()?)?;
    record::write_manifest(manifest, &applied.rootfs, &applied.digests)?;
    bundle
        .create_file(RECORD)?
        .write_all(&record.to_json()?)
        .with_context(|| format!("write {RECORD}"))?;
    if !mapping.rootless
        && !mapping.groups.is_empty()
        && let Some(group) = to_host(&mapping.groups, 0)
    {
        bundle.open_to_group(group)?;
    }
    Ok(applied.rootfs)
}

/// Unpacks an image's root file system into `path` and nothing else, or fails and leaves nothing.
pub fn unpack_rootfs(
    layout: &Layout,
    tag: &str,
    path: &Path,
    options: &ApplyOptions,
) -> Result<()> {
    let mut image = Image::find(layout, tag)?;
    image.forget_bytes();
    let layers = image.layers()?;
    let mut directory = BundleDirectory::create(path)?;
    let root = directory.as_rootfs()?;
    let applier = Applier::new(root, options.clone())?;
    apply_layers(layout, &layers, applier, &options.limits)?;
    directory.keep();
    Ok(())
}

/// Applies layers in order; while one is applied, those after it are already being inflated and
/// verified, as many as there are processors for it.
fn apply_layers(
    layout: &Layout,
    layers: &[Layer<'_>],
    mut applier: Applier,
    limits: &Limits,
) -> Result<Applied> {
    let of_layer = |layer: &Layer<'_>| format!("layer {}", layer.descriptor.digest);
    let ahead = std::thread::available_parallelism().map_or(1, NonZero::get);
    let ahead = ahead.min(MOST_LAYERS_AHEAD);
    let mut bytes_left = limits.bytes;
    let mut to_start = layers.iter().peekable();
    let mut started = VecDeque::new();
    for layer in layers {
        while started.len() <= ahead
            && let Some(next) =
                to_start.next_if(|next| started.is_empty() || next.inflates_in_little_memory())
        {
            let stream = start_layer(layout, next, limits, None).with_context(|| of_layer(next))?;
            started.push_back(stream);
        }
        let Some(mut stream) = started.pop_front() else {
            break;
        };
        stream.bytes_allowed = bytes_left;
        let mut tar = stream.entries(limits.tar);
        bytes_left -= applier
            .apply_layer(&mut tar)
            .and_then(|()| tar.into_inner().finish())
            .with_context(|| of_layer(layer))?;
    }
    applier.finish()
}

/// Each layer ahead may have some 2 MiB waiting.
const MOST_LAYERS_AHEAD: usize = 4;

/// Starts to read a layer of an image.
pub(crate) fn start_layer(
    layout: &Layout,
    layer: &Layer<'_>,
    limits: &Limits,
    progress: Option<ItemProgress>,
) -> Result<LayerStream> {
    let blob = LayerBlob {
        file: layout.open_blob(layer.descriptor)?,
        digest: layer.descriptor.digest.clone(),
        size: layer.descriptor.size,
        compression: layer.compression,
        diff_id: layer.diff_id.clone(),
        progress,
    };
    LayerStream::start(blob, limits)
}
