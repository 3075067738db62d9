//! Removing what no tag leads to.

use std::collections::HashSet;
use std::fs::File;

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::digest::Digest;
use super::document::{Descriptor, Index, Manifest};
use super::media::MediaKind;
use super::store::Layout;
use crate::sys::signal;

/// What a collection did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs removed, parts of blobs included.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Layout {
    /// Opens a layout to remove blobs from it: waits for all that add some, ours and umoci's.
    pub fn open_to_collect(path: &std::path::Path) -> Result<Self> {
        let layout = Layout::open(path)?;
        layout.lock_to_remove()?;
        layout.wait_for_umoci()?;
        Ok(layout)
    }

    /// The same if nobody is adding any.
    pub fn try_open_to_collect(path: &std::path::Path) -> Result<Option<Self>> {
        let layout = Layout::open(path)?;
        if !layout.try_lock_to_remove() {
            return Ok(None);
        }
        layout.wait_for_umoci()?;
        Ok(Some(layout))
    }

    /// Removes every blob that index.json leads to over no descriptor. Nothing is removed unless
    /// all that is referenced could be read.
    pub fn collect_garbage(&self) -> Result<Collected> {
        self.collect_garbage_but(&[])
    }

    /// The same, but what `others` lead to stays as well.
    pub fn collect_garbage_but(&self, others: &[Descriptor]) -> Result<Collected> {
        let referenced = self.referenced_by(others)?;
        let mut collected = Collected::default();
        for name in self.blob_names()? {
            signal::check()?;
            let digest: Option<Digest> = name.replacen('/', ":", 1).parse().ok();
            if digest.is_some_and(|digest| referenced.contains(&digest)) {
                continue;
            }
            let path = format!("blobs/{name}");
            let blob = self.open_at(&path, OFlags::PATH | OFlags::NOFOLLOW)?;
            let stat = rustix::fs::fstat(&blob).with_context(|| format!("fstat {path}"))?;
            rustix::fs::unlinkat(&self.directory, &*path, AtFlags::empty())
                .with_context(|| format!("unlinkat {path}"))?;
            collected.blobs += 1;
            collected.bytes += u64::try_from(stat.st_size).unwrap_or(0);
        }
        let (parts, bytes) = self.remove_partials()?;
        collected.blobs += parts;
        collected.bytes += bytes;
        Ok(collected)
    }

    /// Removes a blob, whoever needs it: it is damaged.
    pub fn remove_blob(&self, digest: &Digest) -> Result<()> {
        let path = format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
        rustix::fs::unlinkat(&self.directory, &*path, AtFlags::empty())
            .with_context(|| format!("unlinkat {path}"))
    }

    /// All that index.json leads to.
    pub fn referenced(&self) -> Result<HashSet<Digest>> {
        self.referenced_by(&[])
    }

    /// All that index.json and `others` lead to.
    pub fn referenced_by(&self, others: &[Descriptor]) -> Result<HashSet<Digest>> {
        let mut referenced = HashSet::new();
        for descriptor in self.index()?.manifests.iter().chain(others) {
            self.mark(descriptor, &mut referenced)?;
        }
        Ok(referenced)
    }

    /// All blobs here, and their lengths.
    pub fn blobs(&self) -> Result<Vec<(Digest, u64)>> {
        let mut blobs = Vec::new();
        for name in self.blob_names()? {
            let Ok(digest) = name.replacen('/', ":", 1).parse() else {
                continue;
            };
            let path = format!("blobs/{name}");
            let stat = rustix::fs::statat(&self.directory, &*path, AtFlags::SYMLINK_NOFOLLOW)
                .with_context(|| format!("fstatat {path}"))?;
            blobs.push((digest, u64::try_from(stat.st_size).unwrap_or(0)));
        }
        Ok(blobs)
    }

    /// Marks what a descriptor leads to. A blob that isn't here (a foreign layer, a platform that
    /// was never fetched) leads no further.
    fn mark(&self, from: &Descriptor, referenced: &mut HashSet<Digest>) -> Result<()> {
        let mut to_do = vec![from.clone()];
        while let Some(descriptor) = to_do.pop() {
            if !referenced.insert(descriptor.digest.clone())
                || !self.has_blob(&descriptor.digest)?
            {
                continue;
            }
            let read = || {
                self.read_document(&descriptor)
                    .with_context(|| format!("nothing removed: {}", descriptor.digest))
            };
            match descriptor.kind() {
                MediaKind::Index => {
                    to_do.extend(Index::parse(&read()?, Some(&descriptor.media_type))?.manifests);
                }
                MediaKind::Manifest => {
                    let manifest = Manifest::parse(&read()?, &descriptor.media_type)?;
                    to_do.push(manifest.config);
                    to_do.extend(manifest.layers);
                    let subject = manifest.other.get("subject").cloned();
                    if let Some(subject) = subject {
                        to_do.push(serde_json::from_value(subject).context("subject")?);
                    }
                }
                MediaKind::Config | MediaKind::Layer(_) | MediaKind::Other => {}
            }
        }
        Ok(())
    }

    fn has_blob(&self, digest: &Digest) -> Result<bool> {
        let name = format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
        match rustix::fs::statat(&self.directory, &*name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno).with_context(|| format!("fstatat {name}")),
        }
    }

    /// All files below `blobs`, as `ALGORITHM/NAME`.
    pub(super) fn blob_names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for algorithm in ["sha256", "sha512"] {
            let path = format!("blobs/{algorithm}");
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let directory = match rustix::fs::openat(&self.directory, &*path, flags, Mode::empty())
            {
                Ok(directory) => directory,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(errno).with_context(|| format!("openat {path}")),
            };
            let context = || format!("read directory {path}");
            for entry in Dir::new(directory).with_context(context)? {
                let entry = entry.with_context(context)?;
                let name = entry.file_name().to_string_lossy();
                if !matches!(&*name, "." | "..") {
                    names.push(format!("{algorithm}/{name}"));
                }
            }
        }
        Ok(names)
    }

    /// umoci keeps a lock on a directory `.umoci-…` of the layout as long as it adds blobs; once
    /// it lets go, the directory is garbage.
    fn wait_for_umoci(&self) -> Result<()> {
        for name in self.names()? {
            if !name.starts_with(".umoci-") {
                continue;
            }
            let Ok(directory) = self.open_at(&name, OFlags::RDONLY | OFlags::DIRECTORY) else {
                continue;
            };
            let directory = File::from(directory);
            rustix::fs::flock(&directory, FlockOperation::LockExclusive)
                .with_context(|| format!("flock {name}, which umoci works in"))?;
            match std::fs::remove_dir_all(self.path.join(&name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("remove {name}"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
