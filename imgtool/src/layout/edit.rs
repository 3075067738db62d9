//! Changing an image: new configuration, manifest and index documents that keep what we don't know
//! of the old ones.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use super::blob::{Incoming, IncomingBlob};
use super::digest::Digest;
use super::document::{Descriptor, History, ImageConfig, Index};
use super::json;
use super::media::{Compression, MediaKind};
use super::resolve::{Image, host_architecture};
use super::store::Layout;

/// The media type of an OCI image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an OCI image configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// A layer for an image, whose blob is on its way into the layout.
#[derive(Debug, Clone)]
pub struct NewLayer {
    /// Its blob.
    pub blob: IncomingBlob,
    /// How the blob is compressed.
    pub compression: Compression,
    /// The digest of the uncompressed archive.
    pub diff_id: Digest,
    /// The length of the uncompressed archive in bytes.
    pub uncompressed: u64,
}

/// Where umoci notes a layer's uncompressed length.
const UNCOMPRESSED_SIZE: &str = "ci.umo.uncompressed_blob_size";

impl NewLayer {
    /// What a manifest says of it.
    pub fn descriptor(&self) -> Descriptor {
        let mut annotations = BTreeMap::new();
        if self.uncompressed != self.blob.size {
            annotations.insert(UNCOMPRESSED_SIZE.to_owned(), self.uncompressed.to_string());
        }
        Descriptor {
            media_type: self.compression.layer_media_type().to_owned(),
            digest: self.blob.digest.clone(),
            size: self.blob.size,
            urls: Vec::new(),
            annotations,
            platform: None,
            other: Map::new(),
        }
    }
}

/// An image being changed.
#[derive(Debug, Clone)]
pub struct ImageEdit {
    /// From the layout's index to the manifest; of the last, only what is around the manifest.
    way: Vec<Descriptor>,
    /// The tag that the image was found by, if a change under it is to build on it.
    found_by: Option<String>,
    manifest: Map<String, Value>,
    config: Map<String, Value>,
}

impl ImageEdit {
    /// Begins with an image without layers, for this machine, made at `created` (RFC 3339).
    pub fn blank(created: &str) -> Result<Self> {
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "layers": [] });
        let config = json!({
            "created": created,
            "architecture": host_architecture(),
            "os": "linux",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": [] },
        });
        Ok(ImageEdit {
            way: Vec::new(),
            found_by: None,
            manifest: object(manifest)?,
            config: object(config)?,
        })
    }

    /// Begins with an image of a layout.
    pub fn of(image: &Image) -> Result<Self> {
        // Every layer has to be one that we can name in an OCI manifest.
        image.layers()?;
        let mut edit = ImageEdit {
            way: image.way.clone(),
            found_by: None,
            manifest: json::parse(&image.manifest_bytes).context("manifest")?,
            config: json::parse(&image.config_bytes).context("configuration")?,
        };
        edit.translate_from_docker()?;
        Ok(edit)
    }

    /// Begins with the image that a tag names. Nothing is committed under that tag if it leads to
    /// something else by then: what others did meanwhile would be lost.
    pub fn of_tagged(image: &Image, tag: &str) -> Result<Self> {
        let edit = ImageEdit::of(image)?;
        Ok(ImageEdit {
            found_by: Some(tag.to_owned()),
            ..edit
        })
    }

    /// The configuration, to be changed.
    pub fn config(&mut self) -> &mut Map<String, Value> {
        &mut self.config
    }

    /// The manifest's annotations, to be changed.
    pub fn annotations(&mut self) -> Result<&mut Map<String, Value>> {
        object_in(&mut self.manifest, "annotations")
    }

    /// Takes all annotations from the manifest.
    pub fn clear_annotations(&mut self) {
        self.manifest.remove("annotations");
    }

    /// The configuration's `config`, which says how the image's process is to run.
    pub fn process(&mut self) -> Result<&mut Map<String, Value>> {
        object_in(&mut self.config, "config")
    }

    /// The configuration as it is by now.
    pub fn current_config(&self) -> Result<ImageConfig> {
        let config = Value::Object(self.config.clone());
        serde_json::from_value(config).context("image configuration")
    }

    /// How the topmost compressed layer is compressed, gzip if none is: a new layer had better be
    /// what the image's users can read already.
    pub fn usual_compression(&self) -> Compression {
        let layers = self.manifest.get("layers").and_then(Value::as_array);
        let types = layers
            .into_iter()
            .flatten()
            .rev()
            .filter_map(|layer| layer.get("mediaType")?.as_str());
        types
            .map(MediaKind::of)
            .find_map(|kind| match kind {
                MediaKind::Layer(Compression::None) => None,
                MediaKind::Layer(compression) => Some(compression),
                _ => None,
            })
            .unwrap_or(Compression::Gzip)
    }

    /// Begins a new image on top of an image of a layout: what is said of that manifest is not said
    /// of the new one.
    pub fn on_top_of(image: &Image) -> Result<Self> {
        let mut edit = ImageEdit::of(image)?;
        edit.way = Vec::new();
        edit.manifest.remove("annotations");
        Ok(edit)
    }

    /// Puts a layer on top whose blob is in the layout already.
    pub fn add_stored_layer(
        &mut self,
        layer: &Descriptor,
        diff_id: &Digest,
        history: History,
    ) -> Result<()> {
        array_in(&mut self.manifest, "layers")?.push(serde_json::to_value(layer)?);
        let rootfs = object_in(&mut self.config, "rootfs")?;
        array_in(rootfs, "diff_ids")?.push(serde_json::to_value(diff_id)?);
        self.add_history(&History {
            empty_layer: false,
            ..history
        })
    }

    /// Puts a layer on top.
    pub fn add_layer(&mut self, layer: &NewLayer, history: Option<History>) -> Result<()> {
        let descriptor = serde_json::to_value(layer.descriptor())?;
        array_in(&mut self.manifest, "layers")?.push(descriptor);
        let rootfs = object_in(&mut self.config, "rootfs")?;
        array_in(rootfs, "diff_ids")?.push(serde_json::to_value(&layer.diff_id)?);
        if let Some(history) = history {
            self.add_history(&History {
                empty_layer: false,
                ..history
            })?;
        }
        Ok(())
    }

    /// Notes a change that made no layer.
    pub fn add_change(&mut self, history: &History) -> Result<()> {
        self.add_history(&History {
            empty_layer: true,
            ..history.clone()
        })
    }

    fn add_history(&mut self, history: &History) -> Result<()> {
        array_in(&mut self.config, "history")?.push(serde_json::to_value(history)?);
        Ok(())
    }

    /// Puts the changed image into the layout under `tag` if there is one, with the blobs that are new in it.
    /// Returns the way from the index to its manifest.
    pub fn commit(
        mut self,
        layout: &Layout,
        incoming: &mut Incoming,
        layers: &[IncomingBlob],
        tag: Option<&str>,
    ) -> Result<Vec<Descriptor>> {
        let mut blobs = layers.to_vec();
        let config = incoming.add(&serde_json::to_vec(&self.config)?)?;
        self.manifest.insert(
            "config".to_owned(),
            json!({ "mediaType": CONFIG, "digest": config.digest, "size": config.size }),
        );
        let manifest = incoming.add(&serde_json::to_vec(&self.manifest)?)?;
        let mut way = self.new_way(layout, incoming, &manifest, &mut blobs)?;
        blobs.extend([config, manifest]);
        incoming.keep(&blobs)?;
        layout.change_index(|index| {
            let Some(tag) = tag else {
                index.add(&way[0]);
                return Ok(());
            };
            self.check_unchanged(index, tag)?;
            index.tag(way[0].clone(), tag);
            // As it stands there.
            way[0] = index.manifests[index.manifests.len() - 1].clone();
            Ok(())
        })?;
        Ok(way)
    }

    fn check_unchanged(&self, index: &Index, tag: &str) -> Result<()> {
        let (Some(old), true) = (self.way.first(), self.found_by.as_deref() == Some(tag)) else {
            return Ok(());
        };
        let mut tagged = index.manifests.iter();
        if !tagged.any(|entry| entry.tag() == Some(tag) && entry.digest == old.digest) {
            bail!("'{tag}' was changed by somebody else meanwhile; nothing is lost, try again");
        }
        Ok(())
    }

    /// Replaces the old manifest in the indexes that led to it.
    fn new_way(
        &self,
        layout: &Layout,
        incoming: &mut Incoming,
        manifest: &IncomingBlob,
        blobs: &mut Vec<IncomingBlob>,
    ) -> Result<Vec<Descriptor>> {
        let Some((old_manifest, indexes)) = self.way.split_last() else {
            let descriptor = json!({
                "mediaType": MANIFEST, "digest": manifest.digest, "size": manifest.size,
            });
            return Ok(vec![serde_json::from_value(descriptor)?]);
        };
        let mut new = point_to(old_manifest, manifest);
        MANIFEST.clone_into(&mut new.media_type);
        let mut way = vec![new];
        let mut old = old_manifest;
        for index in indexes.iter().rev() {
            let bytes = layout.read_document(index)?;
            let mut document: Value = json::parse(&bytes)?;
            let entries = document.get_mut("manifests").and_then(Value::as_array_mut);
            for entry in entries.into_iter().flatten() {
                if entry.get("digest") == Some(&Value::from(old.digest.to_string())) {
                    // Other entries may name the same blob with other notes, which stay.
                    entry["digest"] = Value::from(way[0].digest.to_string());
                    entry["size"] = Value::from(way[0].size);
                    entry["mediaType"] = Value::from(way[0].media_type.clone());
                    if let Some(entry) = entry.as_object_mut() {
                        entry.remove("data");
                    }
                }
            }
            let blob = incoming.add(&serde_json::to_vec(&document)?)?;
            way.insert(0, point_to(index, &blob));
            blobs.push(blob);
            old = index;
        }
        Ok(way)
    }

    /// Docker's media types become OCI's: a manifest can't mix the two.
    fn translate_from_docker(&mut self) -> Result<()> {
        self.manifest
            .insert("mediaType".to_owned(), Value::from(MANIFEST));
        for layer in array_in(&mut self.manifest, "layers")? {
            let media_type = layer.get("mediaType").and_then(Value::as_str);
            if let Some(media_type) = media_type
                && media_type.starts_with("application/vnd.docker.")
                && let MediaKind::Layer(compression) = MediaKind::of(media_type)
            {
                layer["mediaType"] = Value::from(compression.layer_media_type());
            }
        }
        Ok(())
    }
}

/// `old`, pointing to another blob.
fn point_to(old: &Descriptor, blob: &IncomingBlob) -> Descriptor {
    let mut new = old.clone();
    new.digest = blob.digest.clone();
    new.size = blob.size;
    // The old blob, embedded (image-spec descriptor.md).
    new.other.remove("data");
    new
}

fn object(value: Value) -> Result<Map<String, Value>> {
    match value {
        Value::Object(map) => Ok(map),
        _ => bail!("not a JSON object"),
    }
}

/// The object in a field, made if it isn't there. Docker writes `null` for what is empty.
fn object_in<'a>(
    map: &'a mut Map<String, Value>,
    field: &str,
) -> Result<&'a mut Map<String, Value>> {
    let value = map.entry(field).or_insert(Value::Null);
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    value
        .as_object_mut()
        .with_context(|| format!("'{field}' is not an object"))
}

fn array_in<'a>(map: &'a mut Map<String, Value>, field: &str) -> Result<&'a mut Vec<Value>> {
    let value = map.entry(field).or_insert(Value::Null);
    if value.is_null() {
        *value = Value::Array(Vec::new());
    }
    value
        .as_array_mut()
        .with_context(|| format!("'{field}' is not an array"))
}
