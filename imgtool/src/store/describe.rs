//! What there is to tell of an image of the store.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Store, Stored};
use crate::layout::digest::Digest;
use crate::layout::document::Index;
use crate::layout::document::{Descriptor, History, ImageConfig, Manifest};
use crate::layout::json;
use crate::layout::media::MediaKind;
use crate::layout::platform::WantedPlatform;
use crate::layout::raw_document::RawDocument;

/// An image of the store, read.
#[derive(Debug)]
pub struct Description {
    /// Its names.
    pub names: Vec<String>,
    /// What they lead to.
    pub digest: Digest,
    /// The manifest for this machine, or the first one that is here.
    pub manifest_descriptor: Descriptor,
    /// The same, read.
    pub manifest: Manifest,
    /// Its configuration; nothing for what is not a container image.
    pub config: Option<(ImageConfig, Value)>,
}

/// One step of an image's history.
#[derive(Debug)]
pub struct Step {
    /// What its maker says of it.
    pub history: History,
    /// The layer that it made, and its length.
    pub layer: Option<(Digest, u64)>,
}

impl Store {
    /// Reads what an image is.
    pub fn describe(&self, image: &Stored) -> Result<Description> {
        let manifest_descriptor = self
            .manifest_of(&image.descriptor, 0)?
            .with_context(|| format!("no image of index {} is here", image.descriptor.digest))?;
        let bytes = self.layout().read_document(&manifest_descriptor)?;
        let manifest = Manifest::parse(&bytes, &manifest_descriptor.media_type)
            .with_context(|| format!("manifest {}", manifest_descriptor.digest))?;
        let config = if manifest.config.kind() == MediaKind::Config {
            let bytes = self.layout().read_document(&manifest.config)?;
            let context = || format!("image configuration {}", manifest.config.digest);
            let typed = json::parse(&bytes).with_context(context)?;
            Some((typed, json::parse(&bytes).with_context(context)?))
        } else {
            None
        };
        Ok(Description {
            names: image.names.clone(),
            digest: image.descriptor.digest.clone(),
            manifest_descriptor,
            manifest,
            config,
        })
    }

    /// The manifest that a descriptor leads to: for this machine if there is one, else any that is
    /// here.
    fn manifest_of(&self, descriptor: &Descriptor, depth: usize) -> Result<Option<Descriptor>> {
        if descriptor.kind() != MediaKind::Index {
            return Ok(Some(descriptor.clone()).filter(|_| depth == 0 || self.is_here(descriptor)));
        }
        if depth == 8 || !self.is_here(descriptor) {
            return Ok(None);
        }
        let bytes = self.layout().read_document(descriptor)?;
        let index = Index::parse(&bytes, Some(&descriptor.media_type))
            .with_context(|| format!("index {}", descriptor.digest))?;
        let wanted = WantedPlatform::default();
        let (mut fitting, others): (Vec<_>, Vec<_>) = index
            .manifests
            .iter()
            .partition(|entry| wanted.fits(entry.platform.as_ref()));
        fitting.extend(others);
        for entry in fitting {
            if let Some(found) = self.manifest_of(entry, depth + 1)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn is_here(&self, descriptor: &Descriptor) -> bool {
        self.layout().holds(descriptor).unwrap_or(false)
    }

    /// The document that an image's names lead to.
    pub fn document(&self, image: &Stored) -> Result<RawDocument> {
        Ok(RawDocument {
            bytes: self.layout().read_document(&image.descriptor)?,
            media_type: image.descriptor.media_type.clone(),
            digest: image.descriptor.digest.clone(),
        })
    }
}

impl Description {
    /// The bytes of configuration and layers, as they are stored; the largest number where the
    /// manifest claims more.
    pub fn size(&self) -> u64 {
        let layers = self.manifest.layers.iter().map(|layer| layer.size);
        layers.fold(self.manifest.config.size, u64::saturating_add)
    }

    /// When it was made.
    pub fn created(&self) -> Option<&str> {
        self.config.as_ref()?.0.created.as_deref()
    }

    /// How it came about, the last step first.
    pub fn history(&self) -> Vec<Step> {
        let mut layers = self
            .manifest
            .layers
            .iter()
            .map(|layer| (layer.digest.clone(), layer.size));
        let known = self.config.iter().flat_map(|(config, _)| &config.history);
        let mut steps: Vec<Step> = known
            .map(|history| Step {
                history: history.clone(),
                layer: if history.empty_layer {
                    None
                } else {
                    layers.next()
                },
            })
            .collect();
        // Layers that the history doesn't tell of.
        steps.extend(layers.map(|layer| Step {
            history: History::default(),
            layer: Some(layer),
        }));
        steps.reverse();
        steps
    }

    /// All of it, as a JSON object.
    pub fn to_json(&self) -> Value {
        json!({
            "Names": self.names,
            "Digest": self.digest,
            "Manifest": self.manifest_descriptor,
            "Size": self.size(),
            "Config": self.manifest.config,
            "Layers": self.manifest.layers,
            "Annotations": self.manifest.annotations,
            "Image": self.config.as_ref().map(|(_, config)| config),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_no_number_holds_are_the_largest() {
        let digest = format!("sha256:{}", "0".repeat(64));
        let part = |media_type: &str| json!({ "mediaType": media_type, "digest": digest, "size": u64::MAX });
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type,
            "config": part("application/vnd.oci.image.config.v1+json"),
            "layers": [part("application/vnd.oci.image.layer.v1.tar")],
        });
        let manifest = Manifest::parse(manifest.to_string().as_bytes(), media_type).unwrap();
        let description = Description {
            names: Vec::new(),
            digest: digest.parse().unwrap(),
            manifest_descriptor: manifest.config.clone(),
            manifest,
            config: None,
        };
        assert_eq!(description.size(), u64::MAX);
    }
}
