//! What there is to copy.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::CopyOptions;
use super::convert::{self, Format};
use crate::layout::digest::Digest;
use crate::layout::document::{Descriptor, Index, Manifest};
use crate::layout::media::MediaKind;
use crate::layout::platform::platform_name;
use crate::layout::raw_document::RawDocument;
use crate::progress::Item;
use crate::registry::repository::is_foreign;
use crate::sys::signal;
use crate::transport::{Accepts, Source};

/// How deep indexes may nest.
const DEEPEST_INDEX: usize = 8;
/// Manifests and indexes of one copy, and bytes of all of them, which are held in memory.
const MOST_DOCUMENTS: usize = 10_000;
const MOST_BYTES: usize = 8 << 20;

/// Everything that one copy moves.
#[derive(Debug)]
pub struct Plan {
    /// The blobs, each once.
    pub blobs: Vec<(Descriptor, Item)>,
    /// Manifests and indexes below the top, each after what it leads to.
    pub documents: Vec<RawDocument>,
    /// The image's manifest, unless all of an index are copied.
    pub manifest: Option<RawDocument>,
    /// What the image's name will lead to.
    pub top: RawDocument,
}

impl Plan {
    /// Reads all documents from the source.
    pub fn make(source: &dyn Source, accepts: Accepts, options: &CopyOptions) -> Result<Plan> {
        let mut top = source.top()?;
        if accepts == Accepts::OneDockerImage && options.all {
            bail!("the destination holds one image: --all is not possible");
        }
        let mut indexes = Vec::new();
        if !options.all {
            let way;
            (top, way) = way_to_image(source, top, options)?;
            if options.keep_index {
                indexes = way;
            }
        }
        let mut planner = Planner {
            source,
            format: options.format,
            accepts,
            preserve: options.preserve_digests,
            blobs: BTreeMap::new(),
            order: Vec::new(),
            documents: Vec::new(),
            done: BTreeMap::new(),
            bytes: 0,
        };
        let mut top = planner.add(top, 0)?;
        let (blobs, mut documents) = (planner.order, planner.documents);
        let manifest = (top.kind() == MediaKind::Manifest).then(|| top.clone());
        for index in indexes.into_iter().rev() {
            documents.push(std::mem::replace(&mut top, index));
        }
        Ok(Plan {
            blobs,
            documents,
            manifest,
            top,
        })
    }
}

/// The image of an index that is for the wanted platform.
pub fn one_image(
    source: &dyn Source,
    document: RawDocument,
    options: &CopyOptions,
) -> Result<RawDocument> {
    Ok(way_to_image(source, document, options)?.0)
}

/// That image, and the indexes that lead to it.
fn way_to_image(
    source: &dyn Source,
    mut document: RawDocument,
    options: &CopyOptions,
) -> Result<(RawDocument, Vec<RawDocument>)> {
    let mut way = Vec::new();
    for _ in 0..DEEPEST_INDEX {
        if document.kind() != MediaKind::Index {
            return Ok((document, way));
        }
        let index = Index::parse(&document.bytes, Some(&document.media_type))
            .with_context(|| format!("index {}", document.digest))?;
        let images = index.manifests.iter().filter(|descriptor| {
            matches!(descriptor.kind(), MediaKind::Manifest | MediaKind::Index)
        });
        let best = options
            .platform
            .best(images.clone(), |descriptor| descriptor.platform.as_ref());
        let Some(best) = best else {
            let there: Vec<String> = images
                .map(|descriptor| platform_name(descriptor.platform.as_ref()))
                .collect();
            bail!(
                "no image for {} (there are: {})",
                options.platform,
                there.join(", ")
            );
        };
        let next = source.document(best)?;
        way.push(std::mem::replace(&mut document, next));
    }
    bail!("image indexes nest deeper than {DEEPEST_INDEX}")
}

struct Planner<'a> {
    source: &'a dyn Source,
    format: Option<Format>,
    accepts: Accepts,
    preserve: bool,
    blobs: BTreeMap<Digest, u64>,
    order: Vec<(Descriptor, Item)>,
    documents: Vec<RawDocument>,
    /// What became of documents: an index may name one many times.
    done: BTreeMap<Digest, RawDocument>,
    bytes: usize,
}

impl Planner<'_> {
    /// Notes what a document leads to; the document as the destination gets it.
    fn add(&mut self, document: RawDocument, depth: usize) -> Result<RawDocument> {
        signal::check()?;
        self.bytes += document.bytes.len();
        if self.bytes > MOST_BYTES || self.done.len() > MOST_DOCUMENTS {
            bail!("the image leads to too many manifests (10,000, or 8 MiB of them)");
        }
        match document.kind() {
            MediaKind::Index if depth == DEEPEST_INDEX => {
                bail!("image indexes nest deeper than {DEEPEST_INDEX}")
            }
            MediaKind::Index => self.add_index(document, depth),
            _ => self.add_manifest(document),
        }
    }

    fn add_index(&mut self, document: RawDocument, depth: usize) -> Result<RawDocument> {
        let index = Index::parse(&document.bytes, Some(&document.media_type))
            .with_context(|| format!("index {}", document.digest))?;
        let mut replaced = Vec::new();
        for entry in &index.manifests {
            let new = match self.done.get(&entry.digest) {
                Some(known) => known.clone(),
                None => self.add_entry(entry, depth)?,
            };
            replaced.push(new);
        }
        let converted = convert::index(&document, &replaced, self.wanted(&document)?)?;
        self.changed(&document, &converted)?;
        Ok(converted)
    }

    fn add_entry(&mut self, entry: &Descriptor, depth: usize) -> Result<RawDocument> {
        if !matches!(entry.kind(), MediaKind::Manifest | MediaKind::Index) {
            bail!(
                "the index lists {}, a '{}': only manifests and indexes can be copied",
                entry.digest,
                entry.media_type.escape_debug()
            );
        }
        let document = self.source.document(entry)?;
        let added = self.add(document, depth + 1)?;
        self.documents.push(added.clone());
        self.done.insert(entry.digest.clone(), added.clone());
        Ok(added)
    }

    fn add_manifest(&mut self, document: RawDocument) -> Result<RawDocument> {
        let context = || format!("manifest {}", document.digest);
        let manifest =
            Manifest::parse(&document.bytes, &document.media_type).with_context(context)?;
        self.add_blob(&manifest.config, "config")
            .with_context(context)?;
        for layer in &manifest.layers {
            self.add_blob(layer, "layer").with_context(context)?;
        }
        let wanted = self.wanted(&document)?;
        let converted = convert::manifest(&document, wanted).with_context(context)?;
        self.changed(&document, &converted)?;
        Ok(converted)
    }

    fn add_blob(&mut self, descriptor: &Descriptor, what: &'static str) -> Result<()> {
        if is_foreign(&descriptor.media_type) {
            bail!(
                "layer {} is a foreign one, kept elsewhere than with the image ('{}'): not supported",
                descriptor.digest,
                descriptor.media_type.escape_debug()
            );
        }
        match self
            .blobs
            .insert(descriptor.digest.clone(), descriptor.size)
        {
            Some(size) if size != descriptor.size => bail!(
                "blob {} has two sizes: {size} and {} bytes",
                descriptor.digest,
                descriptor.size
            ),
            Some(_) => {}
            None => {
                let item = Item {
                    what,
                    digest: descriptor.digest.clone(),
                    size: descriptor.size,
                };
                self.order.push((descriptor.clone(), item));
            }
        }
        Ok(())
    }

    /// The form that a document is to have.
    fn wanted(&self, document: &RawDocument) -> Result<Format> {
        let own = Format::of(&document.media_type);
        let wanted = self.format.unwrap_or(match self.accepts {
            Accepts::Anything => own,
            Accepts::Oci => Format::Oci,
            Accepts::OneDockerImage => Format::Docker,
        });
        match (self.accepts, wanted) {
            (Accepts::Oci, Format::Docker) => {
                bail!("an OCI layout holds no manifests of Docker's schema 2 (--format oci)")
            }
            (Accepts::OneDockerImage, Format::Oci) => {
                bail!("a docker-archive holds Docker's schema 2 (--format v2s2)")
            }
            _ => Ok(wanted),
        }
    }

    fn changed(&self, old: &RawDocument, new: &RawDocument) -> Result<()> {
        if self.preserve && old.digest != new.digest {
            bail!(
                "{} would become {} at the destination (a '{}'), and --preserve-digests forbids it",
                old.digest,
                new.digest,
                new.media_type
            );
        }
        Ok(())
    }
}
