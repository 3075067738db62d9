//! Whether the store still holds what its digests say, and how much it holds.

use std::io::Read;

use anyhow::{Context, Result};

use super::Store;
use crate::layout::digest::{Digest, Hasher};
use crate::layout::document::Descriptor;
use crate::layout::raw_document::RawDocument;
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
