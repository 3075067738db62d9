//! From a tag to one image: through indexes, by platform.

use anyhow::{Context, Result, bail};

use super::digest::Digest;
use super::document::{Descriptor, ImageConfig, Index, Manifest};
use super::json;
use super::media::{Compression, MediaKind};
pub use super::platform::host_architecture;
use super::platform::{WantedPlatform, platform_name};
use super::store::Layout;

/// How deep indexes may nest.
const DEEPEST_INDEX: usize = 8;
/// How many indexes one tag may lead to: an index that lists many indexes that list many …
const MOST_INDEXES: usize = 64;

/// How many images one tag may lead to: an index can name 20,000, 64 indexes as many
/// times more.
const MOST_IMAGES: usize = 4096;

/// An image: its manifest and configuration, verified and consistent.
#[derive(Debug)]
pub struct Image {
    /// What the tag led to.
    pub descriptor: Descriptor,
    /// The way there: from the layout's index over any further indexes to the manifest, each
    /// descriptor as it stands there.
    pub way: Vec<Descriptor>,
    /// The manifest.
    pub manifest: Manifest,
    /// The manifest as it is in the layout.
    pub manifest_bytes: Vec<u8>,
    /// The configuration.
    pub config: ImageConfig,
    /// The configuration as it is in the layout.
    pub config_bytes: Vec<u8>,
}

/// A layer of an image.
#[derive(Debug)]
pub struct Layer<'a> {
    /// Its blob.
    pub descriptor: &'a Descriptor,
    /// How the blob is compressed.
    pub compression: Compression,
    /// The digest of what is in it.
    pub diff_id: &'a Digest,
}

impl Layer<'_> {
    /// Whether it can be inflated while others are: Zstandard may take a large window, gzip takes
    /// 32 KiB.
    pub fn inflates_in_little_memory(&self) -> bool {
        self.compression != Compression::Zstd
    }
}

impl Image {
    /// Finds the image that `tag` names, for this machine where it names several.
    pub fn find(layout: &Layout, tag: &str) -> Result<Image> {
        let tagged = tagged(layout, tag)?;
        Image::below(layout, &tagged).with_context(|| format!("tag '{tag}'"))
    }

    /// Finds the image that a descriptor of the layout's index leads to, for this machine where it
    /// leads to several.
    pub fn below(layout: &Layout, descriptor: &Descriptor) -> Result<Image> {
        let (descriptor, way) = manifest_below(layout, descriptor)?;
        Image::read(layout, descriptor, way)
    }

    /// Reads the image of a manifest.
    pub fn read(layout: &Layout, descriptor: Descriptor, way: Vec<Descriptor>) -> Result<Image> {
        let manifest_bytes = layout.read_document(&descriptor)?;
        Image::of_manifest(layout, manifest_bytes, descriptor, way)
    }

    /// The image of a manifest that may not be in the layout yet, but whose configuration is.
    pub fn of_manifest(
        layout: &Layout,
        manifest_bytes: Vec<u8>,
        descriptor: Descriptor,
        way: Vec<Descriptor>,
    ) -> Result<Image> {
        let digest = &descriptor.digest;
        let manifest = Manifest::parse(&manifest_bytes, &descriptor.media_type)
            .with_context(|| format!("manifest {digest}"))?;
        let kind = manifest.config.kind();
        if kind != MediaKind::Config {
            bail!(
                "manifest {digest} is not of a container image: its config is '{}'",
                manifest.config.media_type.escape_debug()
            );
        }
        let config_bytes = layout.read_document(&manifest.config)?;
        let config: ImageConfig = json::parse(&config_bytes)
            .with_context(|| format!("image configuration {}", manifest.config.digest))?;
        Ok(Image {
            descriptor,
            way,
            manifest,
            manifest_bytes,
            config,
            config_bytes,
        })
    }

    /// Gives the memory of the documents' bytes back, for work that takes much of it: there are 8 MiB of
    /// them at most. Nothing can be made of the image by [`ImageEdit::of`](super::edit::ImageEdit::of) then.
    pub fn forget_bytes(&mut self) {
        (self.manifest_bytes, self.config_bytes) = (Vec::new(), Vec::new());
    }

    /// The layers, the lowest first.
    pub fn layers(&self) -> Result<Vec<Layer<'_>>> {
        let diff_ids = &self.config.rootfs.diff_ids;
        if diff_ids.len() != self.manifest.layers.len() {
            bail!(
                "the manifest has {} layers, the configuration {} diffIDs",
                self.manifest.layers.len(),
                diff_ids.len()
            );
        }
        let layers = self.manifest.layers.iter().zip(diff_ids);
        layers
            .map(|(descriptor, diff_id)| match descriptor.kind() {
                MediaKind::Layer(compression) => Ok(Layer {
                    descriptor,
                    compression,
                    diff_id,
                }),
                _ => bail!(
                    "layer {} has unsupported media type '{}'",
                    descriptor.digest,
                    descriptor.media_type.escape_debug()
                ),
            })
            .collect()
    }
}

/// The one thing in the layout that has a tag.
pub fn tagged(layout: &Layout, tag: &str) -> Result<Descriptor> {
    let index = layout.index()?;
    let mut tagged = index
        .manifests
        .iter()
        .filter(|descriptor| descriptor.tag() == Some(tag));
    let Some(first) = tagged.next() else {
        bail!(
            "no image tagged '{tag}' in {} ({})",
            layout.path().display(),
            known_tags(&index)
        );
    };
    if tagged.any(|other| other.digest != first.digest) {
        bail!(
            "tag '{tag}' is ambiguous in {}: several images have it",
            layout.path().display()
        );
    }
    Ok(first.clone())
}

/// The manifest, of an image or not, that a descriptor of the layout's index leads to, for this
/// machine where it leads to several; and the way there.
pub fn manifest_below(
    layout: &Layout,
    descriptor: &Descriptor,
) -> Result<(Descriptor, Vec<Descriptor>)> {
    let mut candidates = Vec::new();
    let mut indexes = 0;
    collect(layout, descriptor, &[], &mut indexes, &mut candidates)?;
    let candidate = choose(candidates)?;
    Ok((candidate.descriptor, candidate.way))
}

fn known_tags(index: &Index) -> String {
    let tags: Vec<String> = index
        .manifests
        .iter()
        .filter_map(|descriptor| Some(descriptor.tag()?.escape_debug().to_string()))
        .collect();
    if tags.is_empty() {
        "it has no tags".to_owned()
    } else {
        format!("it has {}", tags.join(", "))
    }
}

/// A manifest that a tag leads to.
#[derive(Debug)]
struct Candidate {
    /// With the platform of the nearest index entry that has one.
    descriptor: Descriptor,
    way: Vec<Descriptor>,
}

/// All manifests that a descriptor leads to, in order; `above` led to it.
fn collect(
    layout: &Layout,
    descriptor: &Descriptor,
    above: &[Descriptor],
    indexes: &mut usize,
    found: &mut Vec<Candidate>,
) -> Result<()> {
    let depth = above.len();
    let mut way = above.to_vec();
    way.push(descriptor.clone());
    match descriptor.kind() {
        MediaKind::Manifest if found.len() == MOST_IMAGES => {
            bail!("it leads to more than {MOST_IMAGES} images")
        }
        MediaKind::Manifest => {
            let platform = way.iter().rev().find_map(|step| step.platform.clone());
            let mut descriptor = descriptor.clone();
            descriptor.platform = platform;
            found.push(Candidate { descriptor, way });
        }
        MediaKind::Index => {
            *indexes += 1;
            if depth == DEEPEST_INDEX || *indexes > MOST_INDEXES {
                bail!(
                    "image indexes nest deeper than {DEEPEST_INDEX} or are more than {MOST_INDEXES}"
                );
            }
            if !WantedPlatform::default().fits(descriptor.platform.as_ref()) {
                return Ok(());
            }
            let bytes = layout.read_document(descriptor)?;
            let index = Index::parse(&bytes, Some(&descriptor.media_type))
                .with_context(|| format!("index {}", descriptor.digest))?;
            for below in &index.manifests {
                collect(layout, below, &way, indexes, found)?;
            }
        }
        _ if depth == 0 => {
            bail!(
                "{} is '{}', neither an image manifest nor an index",
                descriptor.digest,
                descriptor.media_type.escape_debug()
            );
        }
        // An index may list things other than images.
        _ => {}
    }
    Ok(())
}

/// The one to use. A tag that leads to one image gives that image, whatever its platform.
fn choose(mut candidates: Vec<Candidate>) -> Result<Candidate> {
    if candidates.len() == 1 {
        return Ok(candidates.remove(0));
    }
    let platforms = candidates
        .iter()
        .map(|candidate| platform_name(candidate.descriptor.platform.as_ref()));
    let platforms = platforms.collect::<Vec<_>>().join(", ");
    let here = WantedPlatform::default();
    candidates.retain(|candidate| here.fits(candidate.descriptor.platform.as_ref()));
    if candidates.is_empty() {
        bail!(
            "no image for linux/{} (there are: {platforms})",
            host_architecture()
        );
    }
    // image-spec image-index.md: the first matching entry is the one to use; an entry that says
    // what it runs on is better than one that doesn't.
    let best = candidates
        .iter()
        .position(|candidate| candidate.descriptor.platform.is_some());
    Ok(candidates.swap_remove(best.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::document::Platform;
    use super::*;

    fn candidate(digit: char, platform: Option<(&str, &str)>) -> Candidate {
        let mut descriptor: Descriptor = serde_json::from_value(json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": format!("sha256:{}", digit.to_string().repeat(64)),
            "size": 2,
        }))
        .unwrap();
        descriptor.platform = platform.map(|(os, architecture)| Platform {
            os: os.into(),
            architecture: architecture.into(),
            ..Platform::default()
        });
        Candidate {
            descriptor,
            way: Vec::new(),
        }
    }

    fn digit(candidates: Vec<Candidate>) -> Option<char> {
        choose(candidates)
            .ok()?
            .descriptor
            .digest
            .hex()
            .chars()
            .next()
    }

    #[test]
    fn the_image_for_this_machine_is_chosen() {
        let foreign = || candidate('1', Some(("linux", "z80")));
        let windows = candidate('2', Some(("windows", host_architecture())));
        let attestation = candidate('3', Some(("unknown", "unknown")));
        let ours = candidate('4', Some(("linux", host_architecture())));
        let unnamed = candidate('5', None);
        let all = vec![foreign(), windows, attestation, unnamed, ours];
        assert_eq!(digit(all), Some('4'));
        assert_eq!(digit(vec![foreign()]), Some('1'));
        assert_eq!(digit(vec![foreign(), foreign()]), None);
        assert_eq!(digit(Vec::new()), None);
    }
}
