//! Manifests and indexes as the bytes that their digest is of, before anybody reads them.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use super::digest::{Algorithm, Digest, Hasher};
use super::document::Descriptor;
use super::json;
use super::media::MediaKind;

/// The media types of manifests and indexes that we understand.
pub const MANIFEST_TYPES: [&str; 4] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// A manifest or an index, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawDocument {
    /// Its content.
    pub bytes: Vec<u8>,
    /// What it is.
    pub media_type: String,
    /// The digest of the content.
    pub digest: Digest,
}

impl RawDocument {
    /// A document that we made.
    pub fn new(bytes: Vec<u8>, media_type: &str) -> Self {
        RawDocument {
            digest: Hasher::digest(Algorithm::Sha256, &bytes),
            media_type: media_type.to_owned(),
            bytes,
        }
    }

    /// Whether it lists images or is one.
    pub fn kind(&self) -> MediaKind {
        MediaKind::of(&self.media_type)
    }

    /// What points to it.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor {
            media_type: self.media_type.clone(),
            digest: self.digest.clone(),
            size: self.bytes.len() as u64,
            urls: Vec::new(),
            annotations: std::collections::BTreeMap::new(),
            platform: None,
            other: Map::new(),
        }
    }
}

/// The media type of a manifest or index: its own word, or `announced` (a `Content-Type`), which
/// may not contradict each other, or what its fields say.
pub fn media_type_of(bytes: &[u8], announced: Option<&str>) -> Result<String> {
    let document: Map<String, Value> =
        json::parse(bytes).context("the manifest is not a JSON object")?;
    let announced = announced
        .and_then(|announced| announced.split(';').next())
        .map(str::trim);
    let own = document.get("mediaType").and_then(Value::as_str);
    let is_schema1 =
        |kind: &str| kind.starts_with("application/vnd.docker.distribution.manifest.v1");
    if own.or(announced).is_some_and(is_schema1)
        || document.get("schemaVersion") == Some(&Value::from(1))
    {
        bail!(
            "the manifest is of Docker's schema 1, which is not supported (it has been obsolete since 2017)"
        );
    }
    let announced = announced.filter(|kind| MANIFEST_TYPES.contains(kind));
    match (own, announced) {
        (Some(own), Some(announced)) if own != announced => bail!(
            "the manifest says that it is '{}', the server that it is '{announced}'",
            own.escape_debug()
        ),
        (Some(own), _) if MANIFEST_TYPES.contains(&own) => Ok(own.to_owned()),
        (Some(own), _) => bail!(
            "'{}' is neither an image manifest nor an index that we know",
            own.escape_debug()
        ),
        (None, Some(announced)) => Ok(announced.to_owned()),
        // image-spec makes the field optional.
        (None, None) if document.contains_key("manifests") => Ok(MANIFEST_TYPES[1].to_owned()),
        (None, None) if document.contains_key("layers") => Ok(MANIFEST_TYPES[0].to_owned()),
        (None, None) => bail!("it is neither an image manifest nor an index"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_type_is_never_in_doubt() {
        let [manifest, index, docker, _] = MANIFEST_TYPES;
        let of = |text: &str, announced| media_type_of(text.as_bytes(), announced);
        assert_eq!(of(r#"{"layers":[]}"#, None).unwrap(), manifest);
        assert_eq!(
            of(r#"{"manifests":[]}"#, Some("text/plain")).unwrap(),
            index
        );
        let own = format!(r#"{{"mediaType":"{docker}"}}"#);
        let with_charset = format!("{docker}; charset=utf-8");
        assert_eq!(of(&own, Some(&with_charset)).unwrap(), docker);
        assert!(of(&own, Some(manifest)).is_err());
        assert!(of("{}", None).is_err());
        assert!(of("[]", Some(manifest)).is_err());
        for schema1 in [
            r#"{"schemaVersion":1,"fsLayers":[]}"#,
            r#"{"mediaType":"application/vnd.docker.distribution.manifest.v1+prettyjws"}"#,
        ] {
            let error = of(schema1, None).unwrap_err().to_string();
            assert!(error.contains("schema 1"), "{error}");
        }
    }
}
