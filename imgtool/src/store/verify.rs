//! Whether the store still holds what its digests say, and how much it holds.

use std::collections::HashSet;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

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
    /// Unpacked layers that images or bundles need, and the bytes that they take on disk.
    pub layers: (u64, u64),
    /// Unpacked layers that nothing needs, unfinished ones included.
    pub unused_layers: (u64, u64),
    /// Bundles, and the bytes that their containers wrote.
    pub bundles: (u64, u64),
}

impl Store {
    /// How much the store holds.
    pub fn usage(&self) -> Result<Usage> {
        let bundles = self.bundles_here()?;
        let needed = self.needed(&bundles)?;
        let referenced = self.layout().referenced_by(&needed.blobs)?;
        let mut usage = Usage {
            images: self.images()?.len() as u64,
            parts: self.layout().partials_here()?,
            ..Usage::default()
        };
        for (id, path) in self.layers_here()? {
            let kind = if id.is_some_and(|id| needed.layers.contains(&id)) {
                &mut usage.layers
            } else {
                &mut usage.unused_layers
            };
            kind.0 += 1;
            kind.1 += bytes_below(&path)?;
        }
        for bundle in &bundles {
            usage.bundles.0 += 1;
            usage.bundles.1 += bytes_below(&bundle.path.join("upper"))?;
        }
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

    /// Unpacked layers that bundles need, and that aren't here; each with the bundle's directory.
    pub fn missing_layers(&self) -> Result<Vec<(Digest, PathBuf)>> {
        let mut missing = Vec::new();
        for bundle in self.bundles_here()? {
            for id in bundle.layers {
                if !self.layer_directory(&id).exists() {
                    missing.push((id, bundle.path.clone()));
                }
            }
        }
        Ok(missing)
    }

    /// The chainIDs of the unpacked layers that bundles have.
    pub fn layers_of_bundles(&self) -> Result<HashSet<Digest>> {
        let bundles = self.bundles_here()?.into_iter();
        Ok(bundles.flat_map(|bundle| bundle.layers).collect())
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
        let mut top = layout.index()?.manifests;
        top.extend(self.bundles_here()?.into_iter().map(|bundle| bundle.image));
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

/// The bytes on disk of all that is below a directory, a file of several names once. It may be in
/// use: what goes away meanwhile doesn't count.
fn bytes_below(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    let mut counted = HashSet::new();
    let mut to_do = vec![directory.to_owned()];
    while let Some(path) = to_do.pop() {
        signal::check()?;
        let context = || format!("look at {}", path.display());
        let metadata = match std::fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error).with_context(context),
        };
        if metadata.nlink() == 1 || metadata.is_dir() || counted.insert(metadata.ino()) {
            // What stat(2) counts blocks in.
            bytes += metadata.blocks() * 512;
        }
        if metadata.is_dir() {
            for entry in std::fs::read_dir(&path).with_context(context)? {
                to_do.push(entry.with_context(context)?.path());
            }
        }
    }
    Ok(bytes)
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
