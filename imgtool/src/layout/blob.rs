//! Blobs coming into a layout: hashed on the way, and nothing until they are whole.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

use super::digest::{Algorithm, Digest, Hasher};
use crate::read_at_most::read_at_most;

/// A directory of blobs on their way into a layout, which goes away with all that was not kept.
#[derive(Debug)]
pub struct Incoming {
    /// The layout's directory.
    layout: File,
    name: String,
    directory: File,
    /// Who blobs are to belong to, if not to us.
    owner: Option<(Uid, Gid)>,
    count: u64,
}

/// How such a directory's name begins.
pub const INCOMING_PREFIX: &str = ".windlass-incoming-";

impl Incoming {
    /// Makes the directory in a layout that is locked against garbage collection.
    pub(super) fn new(layout: File, owner: Option<(Uid, Gid)>) -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{INCOMING_PREFIX}{}-{number}", std::process::id());
        rustix::fs::mkdirat(&layout, &*name, Mode::RWXU)
            .with_context(|| format!("mkdirat {name} in the layout"))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(&layout, &*name, flags, Mode::empty())
            .with_context(|| format!("openat {name} in the layout"))?;
        // If we are killed, the layout's owner is to be able to remove it.
        if let Some((user, group)) = owner {
            rustix::fs::fchown(&directory, Some(user), Some(group))
                .with_context(|| format!("fchown {name} in the layout"))?;
        }
        Ok(Incoming {
            layout,
            name,
            directory: directory.into(),
            owner,
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

    /// A whole blob of these bytes, such as a manifest.
    pub fn add(&mut self, bytes: &[u8]) -> Result<IncomingBlob> {
        let mut writer = self.begin()?;
        writer.write_all(bytes).context("write an incoming blob")?;
        Ok(writer.finish())
    }

    /// Moves blobs to their places in the layout, where they survive a power cut. One that is
    /// there already is replaced: it may be damaged, and this one has been verified.
    pub fn keep<'a>(&self, blobs: impl IntoIterator<Item = &'a IncomingBlob>) -> Result<()> {
        let mut kept = HashSet::new();
        for blob in blobs {
            if kept.insert(&blob.digest) {
                self.keep_one(blob)
                    .with_context(|| format!("put blob {} into the layout", blob.digest))?;
            }
        }
        let algorithms: BTreeSet<_> = kept.iter().map(|digest| digest.algorithm()).collect();
        for algorithm in algorithms {
            rustix::fs::fsync(self.blobs_of(algorithm)?).context("fsync the layout's blobs")?;
        }
        Ok(())
    }

    fn keep_one(&self, blob: &IncomingBlob) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, &*blob.name, flags, Mode::empty())
            .context("openat")?;
        if let Some((user, group)) = self.owner {
            rustix::fs::fchown(&file, Some(user), Some(group)).context("fchown")?;
        }
        rustix::fs::fsync(&file).context("fsync")?;
        let blobs = self.blobs_of(blob.digest.algorithm())?;
        rustix::fs::renameat(&self.directory, &*blob.name, blobs, blob.digest.hex())
            .context("renameat")
    }

    /// The layout's directory for an algorithm's blobs.
    fn blobs_of(&self, algorithm: Algorithm) -> Result<OwnedFd> {
        let name = format!("blobs/{}", algorithm.name());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.layout, &*name, flags, Mode::empty(), resolve)
            .with_context(|| format!("openat2 {name}"))
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
            crate::warnings::warn(|| format!("can't remove {} in the layout: {errno}", self.name));
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
        read_at_most(File::from(fd), limit)
    }
}
