//! Whether the store still holds what its digests say, and how much it holds.

use std::collections::HashSet;
use std::io::Read;

use anyhow::{Context, Result};

use super::Store;
use crate::layout::digest::{Digest, Hasher};
use crate::layout::document::{Descriptor, Index, Manifest};
use crate::layout::media::MediaKind;
use crate::layout::raw_document::RawDocument;
use crate::registry::repository::is_foreign;
use crate::sys::signal;

/// How much a store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Images, each counted once whatever its names.
    pub images: u64,
    /// Blobs that they lead to, and their bytes.
    pub used: (u64, u64),
    /// Blobs that nothing leads to, and their bytes.
    pub unused: (u64, u64),
    /// Parts of blobs, and their bytes.
    pub parts: (u64, u64),
}

impl Store {
    /// How much the store holds.
    pub fn usage(&self) -> Result<Usage> {
        let referenced = self.layout().referenced()?;
        let mut usage = Usage {
            images: self.images()?.len() as u64,
            parts: self.layout().partials_here()?,
            ..Usage::default()
        };
        for (digest, size) in self.layout().blobs()? {
            let kind = if referenced.contains(&digest) {
                &mut usage.used
            } else {
                &mut usage.unused
            };
            kind.0 += 1;
            kind.1 += size;
        }
        Ok(usage)
    }

    /// Hashes every blob; `wrong` is told of those that are not what they are called. Returns how
    /// many there are.
    pub fn verify(&self, mut wrong: impl FnMut(&Digest, &Digest) -> Result<()>) -> Result<u64> {
        let blobs = self.layout().blobs()?;
        for (digest, size) in &blobs {
            let found = self.hash(digest, *size)?;
            if found != *digest {
                wrong(digest, &found)?;
            }
        }
        Ok(blobs.len() as u64)
    }

    /// Blobs that are needed by what is here, and aren't here themselves; each with what needs it,
    /// where that isn't the store's index. An index's images are needed by nobody: those for other
    /// platforms were never fetched. Documents that can't be read lead no further.
    pub fn missing(&self) -> Result<Vec<(Digest, Option<Digest>)>> {
        let layout = self.layout();
        let here: HashSet<Digest> = layout
            .blobs()?
            .into_iter()
            .map(|(digest, _)| digest)
            .collect();
        let mut missing = Vec::new();
        let mut seen = HashSet::new();
        let top = layout.index()?.manifests;
        let mut to_do: Vec<_> = top.into_iter().map(|entry| (entry, None, true)).collect();
        while let Some((descriptor, needed_by, is_needed)) = to_do.pop() {
            signal::check()?;
            let digest = &descriptor.digest;
            if !here.contains(digest) {
                if is_needed && seen.insert(digest.clone()) {
                    missing.push((digest.clone(), needed_by));
                }
                continue;
            }
            if !seen.insert(digest.clone()) {
                continue;
            }
            let below = needs(&descriptor, || layout.read_document(&descriptor));
            for (descriptor, is_needed) in below.unwrap_or_default() {
                to_do.push((descriptor, Some(digest.clone()), is_needed));
            }
        }
        missing.sort();
        Ok(missing)
    }

    fn hash(&self, digest: &Digest, size: u64) -> Result<Digest> {
        let mut descriptor: Descriptor = RawDocument::new(Vec::new(), "").descriptor();
        descriptor.digest = digest.clone();
        descriptor.size = size;
        let mut blob = self.layout().open_blob(&descriptor)?;
        let mut hasher = Hasher::new(digest.algorithm());
        let mut buffer = vec![0; 256 << 10];
        loop {
            signal::check()?;
            let count = blob
                .read(&mut buffer)
                .with_context(|| format!("read blob {digest}"))?;
            if count == 0 {
                return Ok(hasher.finish());
            }
            hasher.update(&buffer[..count]);
        }
    }
}

/// What a document leads to, and whether it is no use without it.
fn needs(
    descriptor: &Descriptor,
    read: impl Fn() -> Result<Vec<u8>>,
) -> Result<Vec<(Descriptor, bool)>> {
    match descriptor.kind() {
        MediaKind::Index => {
            let index = Index::parse(&read()?, Some(&descriptor.media_type))?;
            let images = index.manifests.into_iter();
            Ok(images.map(|image| (image, false)).collect())
        }
        MediaKind::Manifest => {
            let manifest = Manifest::parse(&read()?, &descriptor.media_type)?;
            let layers = manifest.layers.into_iter();
            let ours = layers.filter(|layer| !is_foreign(&layer.media_type));
            let all = std::iter::once(manifest.config).chain(ours);
            Ok(all.map(|blob| (blob, true)).collect())
        }
        MediaKind::Config | MediaKind::Layer(_) | MediaKind::Other => Ok(Vec::new()),
    }
}
