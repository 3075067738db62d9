//! The JSON documents of an image: descriptor, index, manifest, configuration.
//!
//! Types of our own rather than oci-spec's, because these keep fields that they don't know (an
//! index that we rewrite loses nothing), keep an order (the same image always gives the same
//! bundle) and hold digests that can't be malformed.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::digest::Digest;
use super::json::{self, MOST_VALUES};
use super::media::MediaKind;

/// The annotation that holds a tag (image-spec annotations.md).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Points to a blob (image-spec descriptor.md).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Its content.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Where else it may be had.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_empty"
    )]
    pub urls: Vec<String>,
    /// Notes about it.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// What it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Fields that we have no use for.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Descriptor {
    /// The tag that an index gives it.
    pub fn tag(&self) -> Option<&str> {
        self.annotations.get(REF_NAME).map(String::as_str)
    }

    /// What it points to.
    pub fn kind(&self) -> MediaKind {
        MediaKind::of(&self.media_type)
    }
}

/// What an image runs on (image-spec image-index.md).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Platform {
    /// CPU, as Go names it.
    pub architecture: String,
    /// Operating system, as Go names it.
    pub os: String,
    /// Version of the operating system.
    #[serde(
        rename = "os.version",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub os_version: Option<String>,
    /// Features of it that are needed.
    #[serde(
        rename = "os.features",
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_empty"
    )]
    pub os_features: Vec<String>,
    /// Variant of the CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// A list of images (image-spec image-index.md).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// 2.
    pub schema_version: u32,
    /// Its media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The images, or further indexes.
    #[serde(deserialize_with = "null_is_empty")]
    pub manifests: Vec<Descriptor>,
    /// Fields that we have no use for.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Index {
    /// An index without images.
    pub fn empty() -> Self {
        let media_type = Some("application/vnd.oci.image.index.v1+json".to_owned());
        Index {
            schema_version: 2,
            media_type,
            manifests: Vec::new(),
            other: Map::new(),
        }
    }

    /// Adds an image, in place of any that has its tag.
    pub fn put(&mut self, descriptor: Descriptor) {
        self.manifests
            .retain(|known| known.tag() != descriptor.tag());
        self.manifests.push(descriptor);
    }

    /// Adds an image without a tag, unless it is there, with or without one.
    pub fn add(&mut self, descriptor: &Descriptor) {
        let mut known = self.manifests.iter();
        if !known.any(|known| known.digest == descriptor.digest) {
            self.manifests.push(descriptor.clone());
        }
    }

    /// Adds an image under a tag, in place of any that has it.
    pub fn tag(&mut self, mut descriptor: Descriptor, tag: &str) {
        descriptor
            .annotations
            .insert(REF_NAME.to_owned(), tag.to_owned());
        self.put(descriptor);
    }
}

/// One image (image-spec manifest.md).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// 2.
    pub schema_version: u32,
    /// Its media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Its configuration.
    pub config: Descriptor,
    /// Its layers, the lowest first.
    #[serde(deserialize_with = "null_is_empty")]
    pub layers: Vec<Descriptor>,
    /// Notes about it.
    #[serde(
        default,
        skip_serializing_if = "BTreeMap::is_empty",
        deserialize_with = "null_is_empty"
    )]
    pub annotations: BTreeMap<String, String>,
    /// Fields that we have no use for.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// How an image is to run (image-spec config.md). Everything here is the image's word: it becomes
/// data of a bundle and decides nothing about how we work.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct ImageConfig {
    /// When it was made, RFC 3339.
    pub created: Option<String>,
    /// Who made it.
    pub author: Option<String>,
    /// CPU and operating system.
    #[serde(flatten)]
    pub platform: Platform,
    /// How its process is to run.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub config: ProcessConfig,
    /// Its layers, uncompressed.
    pub rootfs: RootFsConfig,
    /// How its layers came about.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub history: Vec<History>,
}

/// The `config` object of an image configuration. Docker writes `null` for what is empty.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ProcessConfig {
    /// `user`, `uid`, `user:group` and so on.
    #[serde(deserialize_with = "null_is_empty")]
    pub user: String,
    /// `8080/tcp` and so on.
    #[serde(deserialize_with = "null_is_empty")]
    pub exposed_ports: BTreeMap<String, Value>,
    /// `NAME=value`.
    #[serde(deserialize_with = "null_is_empty")]
    pub env: Vec<String>,
    /// The program and its first arguments.
    #[serde(deserialize_with = "null_is_empty")]
    pub entrypoint: Vec<String>,
    /// Further arguments, or the program.
    #[serde(deserialize_with = "null_is_empty")]
    pub cmd: Vec<String>,
    /// Directories that are to hold data.
    #[serde(deserialize_with = "null_is_empty")]
    pub volumes: BTreeMap<String, Value>,
    /// The working directory.
    #[serde(deserialize_with = "null_is_empty")]
    pub working_dir: String,
    /// Notes about the image.
    #[serde(deserialize_with = "null_is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that ends it.
    #[serde(deserialize_with = "null_is_empty")]
    pub stop_signal: String,
}

/// The `rootfs` object of an image configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct RootFsConfig {
    /// The digests of the uncompressed layers, the lowest first.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub diff_ids: Vec<Digest>,
}

/// How one layer came about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// By what command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// A note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether it changed only the configuration.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

/// `null` for an empty list, map or object.
fn null_is_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

impl Index {
    /// Reads an index, whose descriptor (if it has one) said `media_type`.
    pub fn parse(bytes: &[u8], media_type: Option<&str>) -> Result<Self> {
        check_unambiguous(bytes, media_type, "manifests", ["layers", "config"])?;
        json::parse_at_most(bytes, MOST_VALUES_OF_INDEX).context("not an image index")
    }
}

impl Manifest {
    /// Reads a manifest, whose descriptor said `media_type`.
    pub fn parse(bytes: &[u8], media_type: &str) -> Result<Self> {
        check_unambiguous(
            bytes,
            Some(media_type),
            "layers",
            ["manifests", "manifests"],
        )?;
        json::parse(bytes).context("not an image manifest")
    }
}

/// A layout's index lists all its images: some thousands of a store. It is read once and by itself.
const MOST_VALUES_OF_INDEX: usize = 12 * MOST_VALUES;

/// A document that can be read as a manifest and as an index shows two readers two images
/// (CVE-2021-41190): its own media type has to be its descriptor's, and it can't have the fields
/// of both.
fn check_unambiguous(
    bytes: &[u8],
    descriptor: Option<&str>,
    wanted: &str,
    unwanted: [&str; 2],
) -> Result<()> {
    let document: BTreeMap<String, &RawValue> =
        json::parse_at_most(bytes, MOST_VALUES_OF_INDEX).context("not a JSON object")?;
    let short = |field: &str| -> Option<Value> {
        let value = document.get(field)?.get();
        Some(json::parse_at_most(value.as_bytes(), 1).unwrap_or_default())
    };
    if short("schemaVersion") != Some(Value::from(2)) {
        bail!("schemaVersion is not 2 (schema 1 is not supported)");
    }
    if !document.contains_key(wanted) {
        bail!("it has no '{wanted}'");
    }
    if let Some(field) = unwanted.iter().find(|field| document.contains_key(**field)) {
        bail!("ambiguous: it has both '{wanted}' and '{field}'");
    }
    match (short("mediaType"), descriptor) {
        (Some(Value::String(own)), Some(descriptor)) if own != descriptor => {
            bail!(
                "its mediaType is '{}', its descriptor's '{descriptor}'",
                own.escape_debug()
            )
        }
        (Some(Value::String(own)), None) if MediaKind::of(&own) != MediaKind::Index => {
            bail!("its mediaType is '{}'", own.escape_debug())
        }
        (Some(Value::String(_)) | None, _) => Ok(()),
        _ => bail!("its mediaType is not a string"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

    #[test]
    fn manifest_and_index_are_never_confused() {
        let config = format!(
            r#"{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:{}","size":2}}"#,
            "0".repeat(64)
        );
        let fine = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[]}}"#);
        assert!(Manifest::parse(fine.as_bytes(), MANIFEST).is_ok());
        assert!(Index::parse(fine.as_bytes(), None).is_err());
        for bad in [
            format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"manifests":[]}}"#),
            format!(r#"{{"schemaVersion":1,"config":{config},"layers":[]}}"#),
            format!(
                r#"{{"schemaVersion":2,"mediaType":"text/plain","config":{config},"layers":[]}}"#
            ),
        ] {
            assert!(Manifest::parse(bad.as_bytes(), MANIFEST).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_docker_writes_as_null_is_empty() {
        let config = r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":null},
            "config":{"User":"","Env":null,"Cmd":null,"Volumes":null,"Labels":null,"ExposedPorts":null}}"#;
        let config: ImageConfig = serde_json::from_str(config).unwrap();
        assert_eq!(config.config, ProcessConfig::default());
    }
}
