//! Unpacks an image into a bundle: layers, then config.json.

use std::path::Path;

use anyhow::{Context, Result};

use super::config::{self, ConfigOptions};
use super::directory::BundleDirectory;
use crate::layer::apply::{Applier, ApplyOptions};
use crate::layer::ids::to_host;
use crate::layer::limits::Limits;
use crate::layer::rootfs::RootFs;
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

/// Makes the bundle at `path`, or fails and leaves nothing.
pub fn unpack(layout: &Layout, tag: &str, path: &Path, options: &UnpackOptions) -> Result<()> {
    let image = Image::find(layout, tag)?;
    config::check_platform(&image.config)?;
    let layers = image.layers()?;
    let bundle = BundleDirectory::create(path)?;
    let root = bundle.make_rootfs()?;
    let rootfs = apply_layers(
        layout,
        &layers,
        Applier::new(root, options.apply.clone())?,
        options.apply.limits,
    )?;
    let mapping = &options.apply.mapping;
    let config = config::convert(&image.config, &rootfs, mapping, options.config)
        .context("convert the image's configuration to config.json")?;
    if !mapping.rootless
        && !mapping.groups.is_empty()
        && let Some(group) = to_host(&mapping.groups, 0)
    {
        bundle.open_to_group(group)?;
    }
    bundle.complete(&config)
}

/// Applies layers in order; while one is applied, the next is already being inflated.
fn apply_layers(
    layout: &Layout,
    layers: &[Layer<'_>],
    mut applier: Applier,
    limits: Limits,
) -> Result<RootFs> {
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
