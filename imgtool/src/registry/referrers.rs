//! What says of itself that it belongs to a manifest: signatures, bills of materials (distribution-spec,
//! "Listing Referrers"); and the list of them, which the client keeps where the registry doesn't.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::name::Version;
use super::repository::Repository;
use crate::http::RequestError;
use crate::http::url::percent_encoded;
use crate::layout::digest::Digest;
use crate::layout::document::{Descriptor, Index};
use crate::layout::json;
use crate::layout::raw_document::RawDocument;
use crate::warnings;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

impl Repository {
    /// Manifests that say that they belong to the one of this digest; those of one artifact type
    /// where it is given.
    pub fn referrers(&self, digest: &Digest, kind: Option<&str>) -> Result<Vec<Descriptor>> {
        let mut found = Vec::new();
        let query = kind
            .map(|kind| format!("?artifactType={}", percent_encoded(kind)))
            .unwrap_or_default();
        let add = |bytes: &[u8]| {
            found.extend(Index::parse(bytes, None)?.manifests);
            Ok(())
        };
        if let Err(error) = self.pages(&format!("referrers/{digest}{query}"), add) {
            if RequestError::status_of(&error) != Some(404) {
                return Err(error);
            }
            found = self.tagged_referrers(digest)?.manifests;
        }
        // A registry need not have filtered them.
        if let Some(kind) = kind {
            found.retain(|descriptor| {
                let artifact = descriptor.other.get("artifactType");
                artifact.and_then(serde_json::Value::as_str) == Some(kind)
            });
        }
        Ok(found)
    }

    /// Referrers where a registry doesn't know them: an index with a tag made of the digest
    /// (distribution-spec, "Referrers Tag Schema").
    fn tagged_referrers(&self, digest: &Digest) -> Result<Index> {
        let tag = Some(referrers_tag(digest));
        let version = Version { tag, digest: None };
        match self.manifest(&version) {
            Ok(document) => Index::parse(&document.bytes, Some(&document.media_type)),
            Err(error) if RequestError::status_of(&error) == Some(404) => Ok(Index::empty()),
            Err(error) => Err(error),
        }
    }

    /// A registry without an API for referrers wants the client to keep their list.
    pub(super) fn note_referrer(&self, document: &RawDocument) -> Result<()> {
        let manifest: Value = json::parse(&document.bytes)?;
        let Some(subject) = subject_of(&manifest)? else {
            return Ok(());
        };
        let mut index = self.tagged_referrers(&subject.digest)?;
        if index
            .manifests
            .iter()
            .any(|known| known.digest == document.digest)
        {
            return Ok(());
        }
        index.manifests.push(referrer(document, &manifest)?);
        self.put_tagged_referrers(&subject.digest, index)
    }

    /// Deletes a manifest, and strikes it off the list of the one that it belongs to.
    pub fn delete_manifest(&self, digest: &Digest) -> Result<()> {
        let version = Version {
            tag: None,
            digest: Some(digest.clone()),
        };
        // A damaged one can be deleted, too.
        let subject = self.manifest(&version).and_then(|document| {
            let manifest: Value = json::parse(&document.bytes)?;
            subject_of(&manifest)
        });
        self.delete(&digest.to_string())?;
        match subject {
            Ok(None) => Ok(()),
            Ok(Some(subject)) => self.strike_off(digest, &subject.digest).with_context(|| {
                format!(
                    "it is deleted, but still in the list of what belongs to {}",
                    subject.digest
                )
            }),
            Err(error) => {
                warnings::warn(|| format!("can't tell what {digest} belonged to: {error:#}"));
                Ok(())
            }
        }
    }

    /// "Deleting Manifests": only where the registry doesn't keep the list itself.
    fn strike_off(&self, digest: &Digest, subject: &Digest) -> Result<()> {
        if self.has_referrers_api(subject)? {
            return Ok(());
        }
        let mut index = self.tagged_referrers(subject)?;
        let before = index.manifests.len();
        index.manifests.retain(|known| known.digest != *digest);
        if index.manifests.len() == before {
            return Ok(());
        }
        self.put_tagged_referrers(subject, index)
    }

    fn has_referrers_api(&self, digest: &Digest) -> Result<bool> {
        match self.pages(&format!("referrers/{digest}"), |_| Ok(())) {
            Ok(()) => Ok(true),
            Err(error) if RequestError::status_of(&error) == Some(404) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A list of nothing is deleted.
    fn put_tagged_referrers(&self, digest: &Digest, mut index: Index) -> Result<()> {
        let tag = referrers_tag(digest);
        if index.manifests.is_empty() {
            let version = Version {
                tag: Some(tag),
                digest: None,
            };
            let list = self.resolve(&version)?;
            return list.map_or(Ok(()), |list| self.delete(&list.to_string()));
        }
        let document = RawDocument::new(serde_json::to_vec(&index)?, INDEX);
        let refused = match self.put_manifest(&document, Some(&tag)) {
            Err(error) if RequestError::status_of(&error) == Some(400) => error,
            other => return other,
        };
        // Debian's registry refuses a list of what somebody has deleted without striking it off.
        let before = index.manifests.len();
        let mut there = Vec::new();
        for known in index.manifests {
            let version = Version {
                tag: None,
                digest: Some(known.digest.clone()),
            };
            if self.has(&version)? {
                there.push(known);
            }
        }
        if there.len() == before {
            return Err(refused);
        }
        index.manifests = there;
        self.put_tagged_referrers(digest, index)
    }
}

/// What a manifest says that it belongs to.
fn subject_of(manifest: &Value) -> Result<Option<Descriptor>> {
    let subject = manifest.get("subject").filter(|subject| !subject.is_null());
    subject
        .map(|subject| serde_json::from_value(subject.clone()))
        .transpose()
        .context("the manifest's subject")
}

/// A referrer's descriptor in the list (distribution-spec, "Pushing Manifests with Subject").
fn referrer(document: &RawDocument, manifest: &Value) -> Result<Descriptor> {
    let kind = manifest.get("artifactType").filter(|kind| !kind.is_null());
    let kind = kind.or_else(|| manifest.get("config")?.get("mediaType"));
    let mut descriptor = json!({
        "mediaType": document.media_type, "digest": document.digest,
        "size": document.bytes.len(),
    });
    if let Some(kind) = kind {
        descriptor["artifactType"] = kind.clone();
    }
    if let Some(annotations) = manifest.get("annotations") {
        descriptor["annotations"] = annotations.clone();
    }
    Ok(serde_json::from_value(descriptor)?)
}

/// The tag under which a digest's referrers are where the registry has no API for them.
fn referrers_tag(digest: &Digest) -> String {
    let tag = format!("{}-{}", digest.algorithm().name(), digest.hex());
    tag.chars().take(128).collect()
}
