//! A blob's bytes, the last of which come only if all are right.

use std::io::{self, Read};

use anyhow::{Context, Result, bail};

use super::digest::{Digest, Hasher};
use super::document::Descriptor;
use super::store::LARGEST_DOCUMENT;

/// Hashes what is read, and fails instead of giving out the last bytes of what has not the
/// descriptor's length and digest.
#[derive(Debug)]
pub struct VerifiedReader<R> {
    source: R,
    hasher: Option<Hasher>,
    digest: Digest,
    size: u64,
    position: u64,
}

impl<R: Read> VerifiedReader<R> {
    /// Reads a blob from its beginning.
    pub fn new(source: R, descriptor: &Descriptor) -> Self {
        VerifiedReader {
            source,
            hasher: Some(Hasher::new(descriptor.digest.algorithm())),
            digest: descriptor.digest.clone(),
            size: descriptor.size,
            position: 0,
        }
    }

    fn check_end(&mut self) -> io::Result<()> {
        let mut more = [0];
        if self.source.read(&mut more)? != 0 {
            return Err(self.wrong("it is longer"));
        }
        let found = self.hasher.take().map(Hasher::finish);
        match found {
            Some(found) if found != self.digest => Err(self.wrong(&format!("it is {found}"))),
            _ => Ok(()),
        }
    }

    fn wrong(&self, how: &str) -> io::Error {
        let message = format!(
            "blob {} is not what its descriptor says ({} bytes): {how}",
            self.digest, self.size
        );
        io::Error::new(io::ErrorKind::InvalidData, message)
    }
}

impl<R: Read> Read for VerifiedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.position == self.size {
            // An empty blob has no last byte to hold back.
            self.check_end()?;
            return Ok(0);
        }
        let left = usize::try_from(self.size - self.position).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let count = self.source.read(&mut buffer[..length])?;
        if count == 0 {
            return Err(self.wrong(&format!("it ends after {} bytes", self.position)));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        self.position += count as u64;
        if self.position == self.size {
            self.check_end()?;
        }
        Ok(count)
    }
}

/// Reads a small blob, such as a configuration, whole and verified.
pub fn read_document(source: impl Read, descriptor: &Descriptor) -> Result<Vec<u8>> {
    if descriptor.size > LARGEST_DOCUMENT {
        bail!(
            "document {} of {} bytes is above our limit of {LARGEST_DOCUMENT}",
            descriptor.digest,
            descriptor.size
        );
    }
    let mut bytes = Vec::new();
    VerifiedReader::new(source, descriptor)
        .read_to_end(&mut bytes)
        .with_context(|| format!("read {}", descriptor.digest))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::raw_document::RawDocument;

    #[test]
    fn the_last_byte_comes_only_of_what_is_right() {
        let descriptor = RawDocument::new(b"content".to_vec(), "x").descriptor();
        assert_eq!(
            read_document(&b"content"[..], &descriptor).unwrap(),
            b"content"
        );
        for wrong in ["", "conten", "Content", "content2"] {
            let mut reader = VerifiedReader::new(wrong.as_bytes(), &descriptor);
            let mut got = Vec::new();
            assert!(reader.read_to_end(&mut got).is_err(), "{wrong}");
            assert!(got.len() < 7, "{wrong}");
        }
        let empty = RawDocument::new(Vec::new(), "x").descriptor();
        assert_eq!(read_document(&b""[..], &empty).unwrap(), b"");
        assert!(read_document(&b"x"[..], &empty).is_err());
    }
}
