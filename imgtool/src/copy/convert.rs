//! Manifests in OCI's form and in Docker's schema 2. The configuration and the layers are the same
//! in both, so only their media types change (image-spec media-types.md, "Compatibility Matrix").

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::{Map, Value};

use crate::layout::edit::{CONFIG, MANIFEST};
use crate::layout::json;
use crate::layout::media::{Compression, MediaKind};
use crate::layout::raw_document::{MANIFEST_TYPES, RawDocument};

const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const OCI_INDEX: &str = MANIFEST_TYPES[1];
const DOCKER_MANIFEST: &str = MANIFEST_TYPES[2];
const DOCKER_LIST: &str = MANIFEST_TYPES[3];

/// A form of manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// image-spec's.
    Oci,
    /// Docker's schema 2.
    #[value(name = "v2s2")]
    Docker,
}

impl Format {
    /// The form that a media type is of.
    pub fn of(media_type: &str) -> Format {
        if media_type.starts_with("application/vnd.docker.") {
            Format::Docker
        } else {
            Format::Oci
        }
    }
}

/// A manifest in a form; the same bytes where it has it already.
pub fn manifest(document: &RawDocument, format: Format) -> Result<RawDocument> {
    if Format::of(&document.media_type) == format {
        return Ok(document.clone());
    }
    let mut manifest: Map<String, Value> = json::parse(&document.bytes)?;
    let (own, config) = match format {
        Format::Oci => (MANIFEST, CONFIG),
        Format::Docker => (DOCKER_MANIFEST, DOCKER_CONFIG),
    };
    manifest.insert("mediaType".to_owned(), own.into());
    let old_config = manifest.get_mut("config").context("no config")?;
    if media_kind(old_config) != MediaKind::Config {
        bail!("it is not of a container image, and has no other form");
    }
    retype(old_config, config, format);
    let layers = manifest.get_mut("layers").and_then(Value::as_array_mut);
    for layer in layers.into_iter().flatten() {
        let MediaKind::Layer(compression) = media_kind(layer) else {
            bail!("a layer is of a kind that has no other form");
        };
        let new = match format {
            Format::Oci => compression.layer_media_type(),
            Format::Docker => docker_layer(compression)?,
        };
        retype(layer, new, format);
    }
    if format == Format::Docker {
        // Docker's form knows none of these.
        for field in ["annotations", "subject", "artifactType"] {
            manifest.remove(field);
        }
    }
    Ok(RawDocument::new(serde_json::to_vec(&manifest)?, own))
}

/// An index that leads to `entries`, in a form; the same bytes where nothing changes.
pub fn index(
    document: &RawDocument,
    entries: &[RawDocument],
    format: Format,
) -> Result<RawDocument> {
    let mut index: Map<String, Value> = json::parse(&document.bytes)?;
    let mut changed = Format::of(&document.media_type) != format;
    let old = index.get_mut("manifests").and_then(Value::as_array_mut);
    for (entry, new) in old.into_iter().flatten().zip(entries) {
        if entry.get("digest") == Some(&Value::from(new.digest.to_string())) {
            continue;
        }
        changed = true;
        entry["digest"] = new.digest.to_string().into();
        entry["size"] = new.bytes.len().into();
        retype(entry, &new.media_type, format);
        if let Some(entry) = entry.as_object_mut() {
            // The old one, embedded.
            entry.remove("data");
        }
    }
    if !changed {
        return Ok(document.clone());
    }
    let own = match format {
        Format::Oci => OCI_INDEX,
        Format::Docker => DOCKER_LIST,
    };
    index.insert("mediaType".to_owned(), own.into());
    if format == Format::Docker {
        for field in ["annotations", "subject", "artifactType"] {
            index.remove(field);
        }
    }
    Ok(RawDocument::new(serde_json::to_vec(&index)?, own))
}

fn media_kind(descriptor: &Value) -> MediaKind {
    let media_type = descriptor.get("mediaType").and_then(Value::as_str);
    MediaKind::of(media_type.unwrap_or_default())
}

fn retype(descriptor: &mut Value, media_type: &str, format: Format) {
    descriptor["mediaType"] = media_type.into();
    if let (Format::Docker, Some(fields)) = (format, descriptor.as_object_mut()) {
        fields.remove("annotations");
        fields.remove("artifactType");
    }
}

fn docker_layer(compression: Compression) -> Result<&'static str> {
    match compression {
        Compression::None => Ok("application/vnd.docker.image.rootfs.diff.tar"),
        Compression::Gzip => Ok("application/vnd.docker.image.rootfs.diff.tar.gzip"),
        Compression::Zstd => bail!("Docker's schema 2 has no layers of zstd"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn oci(layer: &str) -> RawDocument {
        let digest = format!("sha256:{}", "0".repeat(64));
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": { "mediaType": CONFIG, "digest": digest, "size": 2 },
            "layers": [{ "mediaType": layer, "digest": digest, "size": 3 }],
        });
        RawDocument::new(serde_json::to_vec(&manifest).unwrap(), MANIFEST)
    }

    #[test]
    fn there_and_back_again_is_the_same() {
        for compression in [Compression::None, Compression::Gzip] {
            let first = oci(compression.layer_media_type());
            let docker = manifest(&first, Format::Docker).unwrap();
            assert_eq!(docker.media_type, DOCKER_MANIFEST);
            let text = String::from_utf8(docker.bytes.clone()).unwrap();
            assert!(!text.contains("vnd.oci"), "{text}");
            let again = manifest(&docker, Format::Oci).unwrap();
            let read =
                |document: &RawDocument| serde_json::from_slice::<Value>(&document.bytes).unwrap();
            assert_eq!(read(&again), read(&first));
        }
        assert!(manifest(&oci(Compression::Zstd.layer_media_type()), Format::Docker).is_err());
    }

    #[test]
    fn what_has_the_form_is_left_alone() {
        let spaced = oci("application/vnd.oci.image.layer.v1.tar");
        let mut bytes = spaced.bytes.clone();
        bytes.push(b'\n');
        let spaced = RawDocument::new(bytes, MANIFEST);
        assert_eq!(manifest(&spaced, Format::Oci).unwrap(), spaced);
    }
}
