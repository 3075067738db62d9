//! `commit`: what a container wrote becomes a new layer of its image, under a new name.

use anyhow::{Context, Result};
use serde_json::Value;

use super::container_bundle::ContainerBundle;
use super::container_record::RootfsKind;
use super::diff::has_changes;
use super::record::RecordedBundle;
use super::repack::find_changes;
use crate::layer::diff::changes::write_changes;
use crate::layer::diff::overlay::write_upper;
use crate::layer::diff::{LayerSink, LayerWriter, PackOptions};
use crate::layout::blob::Incoming;
use crate::layout::digest::Digest;
use crate::layout::document::History;
use crate::layout::edit::{ImageEdit, NewLayer};
use crate::layout::media::Compression;
use crate::store::Store;

/// What the caller decides about a commit.
#[derive(Debug, Clone, Default)]
pub struct CommitOptions {
    /// Who made the change.
    pub author: Option<String>,
    /// A note about it.
    pub message: Option<String>,
    /// When it was made, RFC 3339.
    pub created: String,
    /// How to compress the layer; as the image's others are, unless given.
    pub compression: Option<Compression>,
    /// No time in the layer is later than this, in seconds since the epoch.
    pub latest_time: Option<i64>,
}

/// Makes an image called `name` of a bundle: its image with what the container wrote on top. The
/// init layer, and what mounts cover, is none of it. `change` changes the new image's
/// configuration. Returns the new manifest's digest.
pub fn commit(
    bundle: &ContainerBundle,
    store: &Store,
    name: &str,
    options: &CommitOptions,
    change: impl FnOnce(&mut ImageEdit) -> Result<()>,
) -> Result<Digest> {
    let image = bundle.image(store)?;
    let mut edit = ImageEdit::of(&image)?;
    let history = History {
        created: Some(options.created.clone()),
        created_by: Some(bundle.command()?),
        author: options.author.clone(),
        comment: options.message.clone(),
        empty_layer: false,
    };
    let compression = options.compression.unwrap_or(edit.usual_compression());
    let mut incoming = store.layout().incoming()?;
    let layer = make_layer(bundle, &mut incoming, compression, options)?;
    match &layer {
        Some(layer) => edit.add_layer(layer, Some(history))?,
        None => edit.add_change(&history)?,
    }
    edit.config()
        .insert("created".to_owned(), Value::from(options.created.clone()));
    if let Some(author) = &options.author {
        edit.config()
            .insert("author".to_owned(), Value::from(author.clone()));
    }
    change(&mut edit)?;
    let blobs: Vec<_> = layer.into_iter().map(|layer| layer.blob).collect();
    let way = edit.commit(store.layout(), &mut incoming, &blobs, Some(name))?;
    Ok(way
        .last()
        .context("an image without a manifest")?
        .digest
        .clone())
}

/// The layer of what the container wrote; nothing if it wrote nothing.
fn make_layer(
    bundle: &ContainerBundle,
    incoming: &mut Incoming,
    compression: Compression,
    options: &CommitOptions,
) -> Result<Option<NewLayer>> {
    let mut pack = PackOptions {
        latest_time: options.latest_time,
        ..PackOptions::default()
    };
    let mount_points = bundle.mount_points()?;
    let layer = match bundle.record.rootfs {
        RootfsKind::Overlay => {
            if !has_changes(bundle)? {
                return Ok(None);
            }
            let mut layer = LayerWriter::new(LayerSink::new(incoming, compression)?, pack);
            write_upper(&bundle.upper()?, &mount_points, &mut layer)?;
            layer
        }
        RootfsKind::Flat => {
            let recorded = RecordedBundle::open(&bundle.path)?;
            let changes = find_changes(&recorded, &mount_points, &pack.memory)?;
            if changes.is_empty() {
                return Ok(None);
            }
            pack.mapping = recorded.record.mapping.clone();
            let mut layer = LayerWriter::new(LayerSink::new(incoming, compression)?, pack);
            write_changes(&recorded.rootfs()?, changes, &mut layer)?;
            layer
        }
    };
    Ok(Some(layer.finish()?.finish()?))
}
