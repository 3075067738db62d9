//! Unpacks an image into a bundle: layers, then config.json.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use super::config::{self, ConfigOptions};
use super::directory::BundleDirectory;
use super::record::{self, RECORD, Record};
use crate::layer::apply::{Applied, Applier, ApplyOptions};
use crate::layer::ids::to_host;
use crate::layer::limits::Limits;
use crate::layer::stream::{LayerBlob, LayerStream};
use crate::layer::tar::TarReader;
use crate::layout::Layout;
use crate::layout::resolve::{Image, Layer};

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
    let image = Image::find(layout, tag)?;
    config::check_platform(&image.config)?;
    let layers = image.layers()?;
    let mut bundle = BundleDirectory::create(path)?;
    let root = bundle.make_rootfs()?;
    let mut apply = options.apply.clone();
    apply.take_digests = true;
    let limits = apply.limits;
    let applied = apply_layers(layout, &layers, Applier::new(root, apply)?, limits)?;
    let mapping = &options.apply.mapping;
    let config = config::convert(
        &image.config,
        Some(&applied.rootfs),
        mapping,
        options.config,
    )
    .context("convert the image's configuration to config.json")?;
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
    bundle.complete(&config)
}

/// Unpacks an image's root file system into `path` and nothing else, or fails and leaves nothing.
pub fn unpack_rootfs(
    layout: &Layout,
    tag: &str,
    path: &Path,
    options: &ApplyOptions,
) -> Result<()> {
    let image = Image::find(layout, tag)?;
    let layers = image.layers()?;
    let mut directory = BundleDirectory::create(path)?;
    let root = directory.as_rootfs()?;
    let applier = Applier::new(root, options.clone())?;
    apply_layers(layout, &layers, applier, options.limits)?;
    directory.keep();
    Ok(())
}

/// Applies layers in order; while one is applied, the next is already being inflated.
fn apply_layers(
    layout: &Layout,
    layers: &[Layer<'_>],
    mut applier: Applier,
    limits: Limits,
) -> Result<Applied> {
    let of_layer = |layer: &Layer<'_>| format!("layer {}", layer.descriptor.digest);
    let start =
        |layer: &Layer<'_>| start_layer(layout, layer, limits).with_context(|| of_layer(layer));
    let mut bytes_left = limits.bytes;
    let mut started = layers.first().map(start).transpose()?;
    for (index, layer) in layers.iter().enumerate() {
        let Some(mut stream) = started.take() else {
            break;
        };
        started = layers.get(index + 1).map(start).transpose()?;
        stream.bytes_allowed = bytes_left;
        let mut tar = TarReader::new(stream, limits.tar);
        bytes_left -= applier
            .apply_layer(&mut tar)
            .and_then(|()| tar.into_inner().finish())
            .with_context(|| of_layer(layer))?;
    }
    applier.finish()
}

fn start_layer(layout: &Layout, layer: &Layer<'_>, limits: Limits) -> Result<LayerStream> {
    let blob = LayerBlob {
        file: layout.open_blob(layer.descriptor)?,
        digest: layer.descriptor.digest.clone(),
        size: layer.descriptor.size,
        compression: layer.compression,
        diff_id: layer.diff_id.clone(),
    };
    LayerStream::start(blob, limits)
}
