//! Blobs coming into a layout: hashed on the way, and nothing until they are whole.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::digest::{Algorithm, Digest, Hasher};

/// A directory of blobs on their way into a layout, which goes away with all that was not kept.
#[derive(Debug)]
pub struct Incoming {
    /// The layout's directory.
    layout: File,
    name: String,
    directory: File,
    count: u64,
}

/// How such a directory's name begins.
pub const INCOMING_PREFIX: &str = ".windlass-incoming-";

impl Incoming {
    /// Makes the directory in a layout.
    pub fn new(layout: File) -> Result<Self> {
        let name = format!("{INCOMING_PREFIX}{}", std::process::id());
        rustix::fs::mkdirat(&layout, &*name, Mode::RWXU)
            .with_context(|| format!("mkdirat {name} in the layout"))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(&layout, &*name, flags, Mode::empty())
            .with_context(|| format!("openat {name} in the layout"))?;
        Ok(Incoming {
            layout,
            name,
            directory: directory.into(),
            count: 0,
        })
    }

    /// Begins a blob.
    pub fn begin(&mut self) -> Result<BlobWriter> {
        self.count += 1;
        let name = self.count.to_string();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.directory, &*name, flags, Mode::from_raw_mode(0o644))
            .context("make a file for an incoming blob")?;
        let hasher = Hasher::new(Algorithm::Sha256);
        Ok(BlobWriter {
            name,
            file: fd.into(),
            hasher,
            size: 0,
            start: Vec::new(),
        })
    }

    /// Moves a blob to its place in the layout, `blobs` being the layout's directory for its
    /// digest's algorithm.
    pub fn keep(&self, blob: &IncomingBlob, blobs: &File) -> Result<()> {
        rustix::fs::renameat(&self.directory, &*blob.name, blobs, blob.digest.hex())
            .with_context(|| format!("renameat blob {} into the layout", blob.digest))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        for number in 1..=self.count {
            // Kept blobs are elsewhere by now.
            let result =
                rustix::fs::unlinkat(&self.directory, &*number.to_string(), AtFlags::empty());
            debug_assert!(matches!(result, Ok(()) | Err(Errno::NOENT)), "{result:?}");
        }
        if let Err(errno) =
            rustix::fs::unlinkat(self.layout.as_fd(), &*self.name, AtFlags::REMOVEDIR)
        {
            eprintln!(
                "windlass-img: warning: can't remove {} in the layout: {errno}",
                self.name
            );
        }
    }
}

/// A blob being written.
#[derive(Debug)]
pub struct BlobWriter {
    name: String,
    file: File,
    hasher: Hasher,
    size: u64,
    start: Vec<u8>,
}

/// A blob written, not yet part of the layout.
#[derive(Debug, Clone)]
pub struct IncomingBlob {
    name: String,
    /// What it turned out to be.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Its first bytes, enough to tell how it is compressed.
    pub start: Vec<u8>,
}

impl BlobWriter {
    /// Ends the blob.
    pub fn finish(self) -> IncomingBlob {
        let BlobWriter {
            name,
            hasher,
            size,
            start,
            ..
        } = self;
        IncomingBlob {
            name,
            digest: hasher.finish(),
            size,
            start,
        }
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        let bytes = &bytes[..count];
        self.hasher.update(bytes);
        self.size += count as u64;
        let missing = 4usize.saturating_sub(self.start.len());
        self.start
            .extend_from_slice(&bytes[..missing.min(bytes.len())]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl IncomingBlob {
    /// Reads a small blob, such as a configuration, before it is kept.
    pub fn read(&self, incoming: &Incoming, limit: u64) -> Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&incoming.directory, &*self.name, flags, Mode::empty())
            .context("open an incoming blob")?;
        super::store::read_at_most(File::from(fd), limit)
    }
}
