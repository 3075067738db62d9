//! Blobs of known digests coming into a layout, from somewhere that may break off: what has come
//! is kept, even by a killed process, and the next who wants the blob goes on from there.
//!
//! The parts lie in `.windlass-partial/`, one file a digest, locked by who is filling it. Nothing
//! in there is believed: it is hashed again before anything is added.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::blob_source::BlobSource;
use super::digest::{Digest, Hasher};
use super::document::Descriptor;
use super::raw_document::RawDocument;
use super::store::Layout;
use crate::flock::flock;
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
        self.receive_unless(descriptor, source, || self.holds(descriptor))
    }

    /// The same, with another idea of when it needn't come.
    fn receive_unless(
        &self,
        descriptor: &Descriptor,
        source: &dyn BlobSource,
        is_here: impl Fn() -> Result<bool>,
    ) -> Result<Received> {
        let name = partial_name(&descriptor.digest);
        let (partials, mut part) = self.open_part(&name)?;
        // Somebody else may have been filling it until now.
        if is_here()? {
            discard(&partials, &name);
            return Ok(Received::Already);
        }
        let found = fill(&mut part, descriptor, source).inspect_err(|_| {
            // A part of nothing is no help to the next try.
            if part_is_empty(&partials, &name) {
                discard(&partials, &name);
            }
        })?;
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
        // One that is here may be damaged, and this one is small. Whatever keeps us from reading it,
        // it is only ever replaced by a good one, never removed.
        let is_well = || Ok(self.read_document(&descriptor).is_ok());
        if !is_well()? {
            self.receive_unless(&descriptor, &Bytes(&document.bytes), is_well)?;
        }
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

    /// Parts of blobs: how many there are, and their bytes.
    pub fn partials_here(&self) -> Result<(u64, u64)> {
        let (mut count, mut bytes) = (0, 0);
        for entry in self.partial_entries()? {
            count += 1;
            bytes += entry.1;
        }
        Ok((count, bytes))
    }

    /// Removes all parts of blobs. Only for who has the layout alone.
    pub(super) fn remove_partials(&self) -> Result<(u64, u64)> {
        let (mut count, mut bytes) = (0, 0);
        for (name, size) in self.partial_entries()? {
            let path = format!("{PARTIAL}/{name}");
            rustix::fs::unlinkat(&self.directory, &*path, AtFlags::empty())
                .with_context(|| format!("unlinkat {path}"))?;
            count += 1;
            bytes += size;
        }
        self.tidy_partials();
        Ok((count, bytes))
    }

    fn partial_entries(&self) -> Result<Vec<(String, u64)>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let context = || format!("read directory {PARTIAL} in {}", self.path.display());
        let directory = match rustix::fs::openat(&self.directory, PARTIAL, flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => return Ok(Vec::new()),
            Err(errno) => return Err(errno).with_context(context),
        };
        let mut entries = Vec::new();
        for entry in Dir::read_from(&directory).with_context(context)? {
            let entry = entry.with_context(context)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if matches!(name.as_str(), "." | "..") {
                continue;
            }
            let stat = rustix::fs::statat(&directory, &*name, AtFlags::SYMLINK_NOFOLLOW)
                .with_context(context)?;
            entries.push((name, u64::try_from(stat.st_size).unwrap_or(0)));
        }
        Ok(entries)
    }

    /// Whether there are parts of blobs.
    pub fn has_partials(&self) -> bool {
        rustix::fs::statat(&self.directory, PARTIAL, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Opens a blob's part and the directory that it is in, and waits for whoever is filling it.
    fn open_part(&self, name: &str) -> Result<(OwnedFd, File)> {
        let context = || format!("open the part {name} in {}", self.path.display());
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            signal::check()?;
            match rustix::fs::mkdirat(&self.directory, PARTIAL, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno).context("mkdirat").with_context(context),
            }
            let directory_flags =
                OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mode = Mode::from_raw_mode(0o644);
            let opened =
                rustix::fs::openat(&self.directory, PARTIAL, directory_flags, Mode::empty())
                    .and_then(|directory| {
                        let part = rustix::fs::openat(&directory, name, flags, mode)?;
                        Ok((directory, File::from(part)))
                    });
            let (directory, part) = match opened {
                Ok(opened) => opened,
                // Somebody removed the empty directory in between.
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(errno).with_context(context),
            };
            flock(&part, FlockOperation::LockExclusive)
                .context("flock")
                .with_context(context)?;
            // Moved to its place or discarded while we waited: then this isn't the part any more.
            let ours = rustix::fs::fstat(&part).with_context(context)?;
            match rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(there) if there.st_ino == ours.st_ino && there.st_dev == ours.st_dev => {
                    if !FileType::from_raw_mode(there.st_mode).is_file() || there.st_nlink > 1 {
                        bail!("{name} in {PARTIAL} is no file of its own; remove it");
                    }
                    self.give_to_owner(&[directory.as_fd(), part.as_fd()])
                        .with_context(context)?;
                    return Ok((directory, part));
                }
                Ok(_) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno).with_context(context),
            }
        }
    }

    /// If we are killed, the layout's owner is to be able to go on with a part, or to remove it.
    fn give_to_owner(&self, files: &[BorrowedFd<'_>]) -> Result<()> {
        if let Some((user, group)) = self.owner()? {
            for file in files {
                rustix::fs::fchown(file, Some(user), Some(group)).context("fchown")?;
            }
        }
        Ok(())
    }

    fn put(&self, part: &File, partials: &OwnedFd, name: &str, digest: &Digest) -> Result<()> {
        let context = || format!("put blob {digest} into the layout");
        rustix::fs::fdatasync(part)
            .context("fdatasync")
            .with_context(context)?;
        let blobs = self
            .make_blobs_directory(digest.algorithm())
            .with_context(context)?;
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

fn part_is_empty(partials: &OwnedFd, name: &str) -> bool {
    let stat = rustix::fs::statat(partials, name, AtFlags::SYMLINK_NOFOLLOW);
    stat.is_ok_and(|stat| stat.st_size == 0)
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
