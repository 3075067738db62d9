//! Blobs of known digests coming into a layout, from somewhere that may break off: what has come
//! is kept, even by a killed process, and the next who wants the blob goes on from there.
//!
//! The parts lie in `.windlass-partial/`, one file a digest, locked by who is filling it. Nothing
//! in there is believed: it is hashed again before anything is added.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::blob_source::BlobSource;
use super::digest::{Digest, Hasher};
use super::document::Descriptor;
use super::raw_document::RawDocument;
use super::store::Layout;
use crate::sys::signal;

/// Where the parts lie.
pub(super) const PARTIAL: &str = ".windlass-partial";
/// Bytes read at once: all the memory that a blob takes on its way.
const BUFFER: usize = 256 << 10;

/// How a blob got here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// It was here.
    Already,
    /// It came, or the rest of it did.
    New,
}

impl Layout {
    /// Whether a blob of the descriptor's length is here.
    pub fn holds(&self, descriptor: &Descriptor) -> Result<bool> {
        let name = blob_name(&descriptor.digest);
        match rustix::fs::statat(&self.directory, &*name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(u64::try_from(stat.st_size) == Ok(descriptor.size)
                && rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file()),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno).with_context(|| format!("fstatat {name}")),
        }
    }

    /// Makes sure that a blob is here. It is put in its place only when it is whole and has the
    /// digest.
    pub fn receive(&self, descriptor: &Descriptor, source: &dyn BlobSource) -> Result<Received> {
        if self.holds(descriptor)? {
            return Ok(Received::Already);
        }
        let partials = self.partials()?;
        let name = partial_name(&descriptor.digest);
        let mut part = open_part(&partials, &name)?;
        // Somebody else may have been filling it until now.
        if self.holds(descriptor)? {
            discard(&partials, &name);
            return Ok(Received::Already);
        }
        let found = fill(&mut part, descriptor, source)?;
        if found != descriptor.digest {
            discard(&partials, &name);
            bail!(
                "blob {} is wrong: what came is {found}; nothing of it is kept",
                descriptor.digest
            );
        }
        self.put(&part, &partials, &name, &descriptor.digest)?;
        Ok(Received::New)
    }

    /// Puts a manifest or an index into the layout.
    pub fn put_document(&self, document: &RawDocument) -> Result<()> {
        struct Bytes<'a>(&'a [u8]);
        impl BlobSource for Bytes<'_> {
            fn open(&self, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
                let offset = usize::try_from(offset)?.min(self.0.len());
                Ok(Box::new(&self.0[offset..]))
            }
        }
        let descriptor = document.descriptor();
        // One that is here may be damaged, and this one is small.
        if self.holds(&descriptor)? && self.read_document(&descriptor).is_err() {
            let name = blob_name(&descriptor.digest);
            rustix::fs::unlinkat(&self.directory, &*name, AtFlags::empty())
                .with_context(|| format!("unlinkat {name}, which is damaged"))?;
        }
        self.receive(&descriptor, &Bytes(&document.bytes))?;
        Ok(())
    }

    /// Makes what was received survive a power cut; to be done before anything leads to it.
    pub fn settle(&self) -> Result<()> {
        for algorithm in ["sha256", "sha512"] {
            let name = format!("blobs/{algorithm}");
            match self.open_at(&name, OFlags::RDONLY | OFlags::DIRECTORY) {
                Ok(directory) => rustix::fs::fsync(directory).context("fsync the blobs")?,
                Err(_) if algorithm == "sha512" => {}
                Err(error) => return Err(error),
            }
        }
        self.tidy_partials();
        Ok(())
    }

    /// Removes the directory of parts if it is empty.
    pub fn tidy_partials(&self) {
        // Not empty, or never made: both fine.
        let _ = rustix::fs::unlinkat(&self.directory, PARTIAL, AtFlags::REMOVEDIR);
    }

    /// Whether there are parts of blobs.
    pub fn has_partials(&self) -> bool {
        rustix::fs::statat(&self.directory, PARTIAL, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    fn partials(&self) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        // Somebody may remove the empty directory in between.
        for _ in 0..100 {
            match rustix::fs::mkdirat(&self.directory, PARTIAL, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => {
                    return Err(errno)
                        .with_context(|| format!("mkdirat {PARTIAL} in {}", self.path.display()));
                }
            }
            if let Ok(directory) = self.open_at(PARTIAL, flags) {
                return Ok(directory);
            }
        }
        self.open_at(PARTIAL, flags)
    }

    fn put(&self, part: &File, partials: &OwnedFd, name: &str, digest: &Digest) -> Result<()> {
        let context = || format!("put blob {digest} into the layout");
        if let Some((user, group)) = self.owner()? {
            rustix::fs::fchown(part, Some(user), Some(group)).with_context(context)?;
        }
        rustix::fs::fdatasync(part)
            .context("fdatasync")
            .with_context(context)?;
        let blobs = format!("blobs/{}", digest.algorithm().name());
        match rustix::fs::mkdirat(&self.directory, &*blobs, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).context("mkdirat").with_context(context),
        }
        let blobs = self.open_at(&blobs, OFlags::RDONLY | OFlags::DIRECTORY)?;
        rustix::fs::renameat(partials, name, blobs, digest.hex())
            .context("renameat")
            .with_context(context)
    }
}

/// Fills a part up; what it is then.
fn fill(part: &mut File, descriptor: &Descriptor, source: &dyn BlobSource) -> Result<Digest> {
    let mut hasher = Hasher::new(descriptor.digest.algorithm());
    let mut buffer = vec![0; BUFFER];
    let mut length = part.metadata().context("fstat a part")?.len();
    if length >= descriptor.size {
        // Too much of something else, or whole and yet not kept: not to be built upon.
        part.set_len(0).context("ftruncate a part")?;
        length = 0;
    }
    part.seek(SeekFrom::Start(0)).context("lseek")?;
    let mut known = 0;
    while known < length {
        signal::check()?;
        let count = part.read(&mut buffer).context("read a part")?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
        known += count as u64;
    }
    let mut rest = source.open(known)?;
    loop {
        signal::check()?;
        let count = rest.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        known += count as u64;
        if known > descriptor.size {
            bail!(
                "blob {} is longer than the {} bytes of its descriptor",
                descriptor.digest,
                descriptor.size
            );
        }
        part.write_all(&buffer[..count])
            .context("write a part of a blob")?;
        hasher.update(&buffer[..count]);
    }
    if known < descriptor.size {
        bail!(
            "blob {} has {known} bytes, but its descriptor says {}",
            descriptor.digest,
            descriptor.size
        );
    }
    Ok(hasher.finish())
}

/// Opens a blob's part and waits for whoever is filling it.
fn open_part(partials: &OwnedFd, name: &str) -> Result<File> {
    let context = || format!("open the part {name}");
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    loop {
        let mode = Mode::from_raw_mode(0o644);
        let part: File = rustix::fs::openat(partials, name, flags, mode)
            .with_context(context)?
            .into();
        loop {
            match rustix::fs::flock(&part, FlockOperation::LockExclusive) {
                Err(Errno::INTR) => signal::check()?,
                result => break result.with_context(context)?,
            }
        }
        // Moved to its place or discarded while we waited: then this isn't the part any more.
        let ours = rustix::fs::fstat(&part).with_context(context)?;
        match rustix::fs::statat(partials.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) if there.st_ino == ours.st_ino && there.st_dev == ours.st_dev => {
                return Ok(part);
            }
            Ok(_) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno).with_context(context),
        }
    }
}

fn discard(partials: &OwnedFd, name: &str) {
    if let Err(errno) = rustix::fs::unlinkat(partials, name, AtFlags::empty()) {
        crate::warnings::warn(|| format!("can't remove the part {name}: {errno}"));
    }
}

fn partial_name(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm().name(), digest.hex())
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}
