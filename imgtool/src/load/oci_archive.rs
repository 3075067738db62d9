//! A tarred OCI layout (skopeo's oci-archive, `docker save` from version 25 on, buildx).

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

use super::Loaded;
use super::contents::Contents;
use crate::layout::blob::{Incoming, IncomingBlob};
use crate::layout::digest::Digest;
use crate::layout::document::{Descriptor, Index, Manifest};
use crate::layout::media::MediaKind;
use crate::layout::mismatch::Mismatch;
use crate::layout::reference::checked_tag;
use crate::sys::signal;

/// Where containerd and Docker note an image's whole name.
const WHOLE_NAME: &str = "io.containerd.image.name";
/// How deep indexes may nest.
const DEEPEST_INDEX: usize = 8;

/// Reads the images that the archive's index.json lists.
pub(super) fn read(contents: &Contents, incoming: &Incoming, whole_names: bool) -> Result<Loaded> {
    let bytes = contents.document(b"index.json", incoming)?;
    let index = Index::parse(&bytes, None).context("index.json")?;
    let mut reader = Reader {
        contents,
        incoming,
        kept: BTreeSet::new(),
        read: BTreeMap::new(),
        loaded: Loaded::default(),
    };
    for descriptor in index.manifests {
        if !reader.keep_image(&descriptor, 0)? {
            bail!(
                "index.json lists {}, which is not whole in the archive",
                descriptor.digest
            );
        }
        let whole = descriptor.annotations.get(WHOLE_NAME);
        let name = match whole.filter(|_| whole_names) {
            Some(whole) => Some(checked_tag(whole).context("index.json")?),
            None => descriptor.tag().map(str::to_owned),
        };
        let names = name.into_iter().collect();
        reader.loaded.images.push((descriptor, names));
    }
    Ok(reader.loaded)
}

struct Reader<'a> {
    contents: &'a Contents,
    incoming: &'a Incoming,
    kept: BTreeSet<Digest>,
    /// What each document that was read (by digest and media type) led to: indexes that list one
    /// another many times over must not multiply.
    read: BTreeMap<(Digest, String), bool>,
    loaded: Loaded,
}

impl Reader<'_> {
    /// Keeps the blobs of an image or index; says whether there are any. An archive of one
    /// platform may keep an index that lists others.
    fn keep_image(&mut self, descriptor: &Descriptor, depth: usize) -> Result<bool> {
        let name = blob_name(&descriptor.digest);
        if !self.contents.has(name.as_bytes()) {
            return Ok(false);
        }
        let document = (descriptor.digest.clone(), descriptor.media_type.clone());
        if let Some(&any) = self.read.get(&document) {
            return Ok(any);
        }
        signal::check()?;
        let any = self.keep_new_image(descriptor, depth)?;
        self.read.insert(document, any);
        Ok(any)
    }

    fn keep_new_image(&mut self, descriptor: &Descriptor, depth: usize) -> Result<bool> {
        let digest = &descriptor.digest;
        match descriptor.kind() {
            MediaKind::Index if depth < DEEPEST_INDEX => {
                let bytes = self.document(descriptor)?;
                let index = Index::parse(&bytes, Some(&descriptor.media_type))
                    .with_context(|| format!("index {digest}"))?;
                let mut any = false;
                for below in &index.manifests {
                    any |= self.keep_image(below, depth + 1)?;
                }
                Ok(any)
            }
            MediaKind::Index => bail!("image indexes nest deeper than {DEEPEST_INDEX}"),
            MediaKind::Manifest => {
                let bytes = self.document(descriptor)?;
                let manifest = Manifest::parse(&bytes, &descriptor.media_type)
                    .with_context(|| format!("manifest {digest}"))?;
                for blob in manifest.layers.iter().chain([&manifest.config]) {
                    self.keep(blob)
                        .with_context(|| format!("manifest {digest}"))?;
                }
                Ok(true)
            }
            _ => {
                self.keep(descriptor)?;
                Ok(true)
            }
        }
    }

    fn document(&mut self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        self.keep(descriptor)?;
        self.contents
            .document(blob_name(&descriptor.digest).as_bytes(), self.incoming)
    }

    /// Keeps a blob, if it is what its descriptor says.
    fn keep(&mut self, descriptor: &Descriptor) -> Result<()> {
        let blob: &IncomingBlob = self
            .contents
            .file(blob_name(&descriptor.digest).as_bytes())?;
        if blob.digest.algorithm() != descriptor.digest.algorithm() {
            bail!(
                "blob {}: archives with other digests than sha256 are not supported",
                descriptor.digest
            );
        }
        Mismatch::check(
            (&descriptor.digest, descriptor.size),
            (&blob.digest, blob.size),
        )?;
        if self.kept.insert(blob.digest.clone()) {
            self.loaded.blobs.push(blob.clone());
        }
        Ok(())
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}
