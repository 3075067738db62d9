//! `docker save`'s format: manifest.json names each image's configuration and layers
//! (moby image/spec/v1.2.md, "Combined Image JSON + Filesystem Changeset Format").

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::json;

use super::Loaded;
use super::contents::Contents;
use crate::layout::blob::{Incoming, IncomingBlob};
use crate::layout::digest::Digest;
use crate::layout::document::{Descriptor, ImageConfig};
use crate::layout::json;
use crate::layout::media::Compression;
use crate::layout::reference::checked_tag;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SavedImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// How many images an archive may hold: its manifest.json could name 60,000.
const MOST_IMAGES: usize = 4096;

/// Reads the images of a docker-archive; each gets an OCI manifest. Their names are kept whole
/// where it is wished, and where there are several.
pub(super) fn read(
    contents: &Contents,
    incoming: &mut Incoming,
    whole_names: bool,
) -> Result<Loaded> {
    let table = contents.document(b"manifest.json", incoming)?;
    let images: Vec<SavedImage> = json::parse(&table).context("manifest.json")?;
    let whole = whole_names || images.len() > 1;
    if images.len() > MOST_IMAGES {
        bail!("manifest.json names more than {MOST_IMAGES} images");
    }
    let mut loaded = Loaded::default();
    let mut configurations = Configurations::default();
    for image in images {
        let descriptor = read_image(
            &image,
            contents,
            incoming,
            &mut configurations,
            &mut loaded.blobs,
        )?;
        let names = image.repo_tags.unwrap_or_default();
        let tags = names.iter().map(|name| tag_of(name, whole));
        loaded
            .images
            .push((descriptor, tags.collect::<Result<_>>()?));
    }
    Ok(loaded)
}

/// The tag of `repository:tag`, or the whole of it.
fn tag_of(name: &str, whole: bool) -> Result<String> {
    let tag = match name.rsplit_once(':') {
        Some((_, tag)) if !whole && !tag.contains('/') => tag,
        _ => name,
    };
    checked_tag(tag).with_context(|| format!("RepoTags '{}' (give --tag)", name.escape_debug()))
}

fn read_image(
    image: &SavedImage,
    contents: &Contents,
    incoming: &mut Incoming,
    configurations: &mut Configurations,
    blobs: &mut Vec<IncomingBlob>,
) -> Result<Descriptor> {
    let config_blob = contents.file(image.config.as_bytes())?.clone();
    let diff_ids = configurations.diff_ids(&config_blob, &image.config, contents, incoming)?;
    if diff_ids.len() != image.layers.len() {
        bail!(
            "manifest.json has {} layers, the configuration {} diffIDs",
            image.layers.len(),
            diff_ids.len()
        );
    }
    let mut layers = Vec::new();
    for (name, diff_id) in image.layers.iter().zip(diff_ids) {
        let blob = contents.file(name.as_bytes())?;
        let compression = Compression::detect(&blob.start);
        // A compressed layer's diffID is verified when it is unpacked.
        if compression == Compression::None && blob.digest != *diff_id {
            bail!(
                "layer '{}' is {}, but its diffID is {diff_id}",
                name.escape_debug(),
                blob.digest
            );
        }
        layers.push(json!({
            "mediaType": compression.layer_media_type(), "digest": blob.digest, "size": blob.size,
        }));
        blobs.push(blob.clone());
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": { "mediaType": CONFIG, "digest": config_blob.digest, "size": config_blob.size },
        "layers": layers,
    });
    let manifest = incoming.add(&serde_json::to_vec(&manifest)?)?;
    let descriptor = json!({
        "mediaType": MANIFEST, "digest": manifest.digest, "size": manifest.size,
    });
    blobs.push(config_blob);
    blobs.push(manifest);
    Ok(serde_json::from_value(descriptor)?)
}

/// The diffIDs of configurations read so far: manifest.json may name one configuration many times.
#[derive(Debug, Default)]
struct Configurations(BTreeMap<Digest, Vec<Digest>>);

impl Configurations {
    fn diff_ids(
        &mut self,
        blob: &IncomingBlob,
        name: &str,
        contents: &Contents,
        incoming: &Incoming,
    ) -> Result<&[Digest]> {
        match self.0.entry(blob.digest.clone()) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => {
                let bytes = contents.document(name.as_bytes(), incoming)?;
                let config: ImageConfig = json::parse(&bytes)
                    .with_context(|| format!("configuration '{}'", name.escape_debug()))?;
                Ok(new.insert(config.rootfs.diff_ids))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_come_from_repository_names() {
        assert_eq!(tag_of("debian:12", false).unwrap(), "12");
        assert_eq!(tag_of("localhost:5000/debian:12", false).unwrap(), "12");
        assert_eq!(
            tag_of("localhost:5000/debian", false).unwrap(),
            "localhost:5000/debian"
        );
        assert_eq!(tag_of("debian:12", true).unwrap(), "debian:12");
        assert!(tag_of("bad name", false).is_err());
    }
}
