//! The layout's directory: blobs and index.json, through one descriptor.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;

use super::blob::Incoming;
use super::digest::Hasher;
use super::document::{Descriptor, Index};
use super::mismatch::Mismatch;
use crate::read_at_most::read_at_most;

/// Bytes of a manifest, index or configuration that we are willing to read: as many as registries take,
/// and as skopeo and podman read (containers/image `internal/iolimits`).
pub const LARGEST_DOCUMENT: u64 = 4 << 20;
/// Bytes of a layout's index.json, which lists all its images.
const LARGEST_LIST: u64 = 8 << 20;

/// An OCI image layout.
#[derive(Debug)]
pub struct Layout {
    pub(super) path: PathBuf,
    pub(super) directory: File,
}

impl Layout {
    /// Opens a layout.
    pub fn open(path: &Path) -> Result<Self> {
        let directory = open_directory(path)
            .with_context(|| format!("can't open image layout {}", path.display()))?;
        let layout = Layout {
            path: path.to_owned(),
            directory,
        };
        layout.check_marker()?;
        Ok(layout)
    }

    /// Opens a layout to change it. Waits for a garbage collection that is under way; none begins
    /// until the layout is dropped.
    pub fn open_to_change(path: &Path) -> Result<Self> {
        let layout = Layout::open(path)?;
        layout.lock_to_change()?;
        Ok(layout)
    }

    /// Where the layout is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A directory for blobs on their way in.
    pub fn incoming(&self) -> Result<Incoming> {
        let layout = self
            .directory
            .try_clone()
            .context("dup the layout's descriptor")?;
        Incoming::new(layout, self.owner()?)
    }

    /// The index of all images here.
    pub fn index(&self) -> Result<Index> {
        let in_layout = || format!("{}/index.json", self.path.display());
        let file = self.open_file("index.json")?;
        let bytes = read_at_most(file, LARGEST_LIST).with_context(in_layout)?;
        Index::parse(&bytes, None).with_context(in_layout)
    }

    /// Reads the index, changes it and replaces it: atomically, so that readers need no lock, and
    /// one writer after the other, so that none undoes what another did. The blobs that it names
    /// have to be in place by then.
    pub fn change_index<T>(&self, change: impl FnOnce(&mut Index) -> Result<T>) -> Result<T> {
        let _ours_alone = self.lock_index()?;
        let mut index = self.index()?;
        let result = change(&mut index)?;
        self.write("index.json", &serde_json::to_vec(&index)?)?;
        Ok(result)
    }

    /// Opens a descriptor's blob, whose length has to be as the descriptor says. The content is
    /// for the caller to verify.
    pub fn open_blob(&self, descriptor: &Descriptor) -> Result<File> {
        let digest = &descriptor.digest;
        let name = format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
        let file = self.open_file(&name)?;
        let length = file
            .metadata()
            .with_context(|| format!("fstat blob {digest}"))?
            .len();
        if length != descriptor.size {
            let mismatch = Mismatch::of_length(file, length, descriptor)
                .with_context(|| format!("read blob {digest}"))?;
            return Err(mismatch.into());
        }
        Ok(file)
    }

    /// Reads and verifies a document's blob.
    pub fn read_document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let digest = &descriptor.digest;
        if descriptor.size > LARGEST_DOCUMENT {
            bail!(
                "document {digest} of {} bytes is above our limit of {LARGEST_DOCUMENT}",
                descriptor.size
            );
        }
        let bytes = read_at_most(self.open_blob(descriptor)?, LARGEST_DOCUMENT)?;
        let found = Hasher::digest(digest.algorithm(), &bytes);
        Mismatch::check((digest, descriptor.size), (&found, bytes.len() as u64))?;
        Ok(bytes)
    }

    pub(super) fn check_marker(&self) -> Result<()> {
        let path = self.path.display();
        let not_a_layout = || format!("{path} is not an OCI image layout");
        let file = self.open_file("oci-layout").with_context(not_a_layout)?;
        let bytes = read_at_most(file, 4096).with_context(not_a_layout)?;
        let marker: serde_json::Value =
            serde_json::from_slice(&bytes).with_context(not_a_layout)?;
        match marker
            .get("imageLayoutVersion")
            .and_then(serde_json::Value::as_str)
        {
            Some(version) if version.starts_with("1.") => Ok(()),
            _ => bail!("{path}: unsupported imageLayoutVersion in oci-layout"),
        }
    }

    /// Opens a regular file of the layout. A layout may be a stranger's: nothing leads out of it,
    /// and no FIFO can make us wait.
    fn open_file(&self, name: &str) -> Result<File> {
        let file =
            File::from(self.open_at(name, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?);
        if !file
            .metadata()
            .with_context(|| format!("fstat {name}"))?
            .is_file()
        {
            bail!("{}/{name} is not a regular file", self.path.display());
        }
        Ok(file)
    }

    pub(super) fn open_at(&self, name: &str, flags: OFlags) -> Result<rustix::fd::OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::CLOEXEC;
        rustix::fs::openat2(self.directory.as_fd(), name, flags, Mode::empty(), resolve)
            .with_context(|| format!("can't open {}/{name}", self.path.display()))
    }

    /// Puts a file into the layout, in place of what is there: after a power cut it is the old one
    /// or the new one.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let context = || format!("write {}/{name}", self.path.display());
        let temporary = temporary_name(name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let fd =
            rustix::fs::openat(&self.directory, &*temporary, flags, mode).with_context(context)?;
        let result = self.fill_and_rename(fd.into(), &temporary, name, bytes);
        if result.is_err() {
            let removed = rustix::fs::unlinkat(&self.directory, &*temporary, AtFlags::empty());
            debug_assert!(matches!(removed, Ok(()) | Err(Errno::NOENT)), "{removed:?}");
        }
        result.with_context(context)
    }

    fn fill_and_rename(
        &self,
        mut file: File,
        temporary: &str,
        name: &str,
        bytes: &[u8],
    ) -> Result<()> {
        if let Some((user, group)) = self.owner()? {
            rustix::fs::fchown(&file, Some(user), Some(group)).context("fchown")?;
        }
        file.write_all(bytes)?;
        file.sync_all().context("fsync")?;
        rustix::fs::renameat(&self.directory, temporary, &self.directory, name)
            .context("renameat")?;
        rustix::fs::fsync(&self.directory).context("fsync the layout's directory")
    }

    /// Who new files are to belong to, where that isn't who we are: root works on a user's layout
    /// and leaves it the user's.
    pub(super) fn owner(&self) -> Result<Option<(Uid, Gid)>> {
        let stat = rustix::fs::fstat(&self.directory).context("fstat the layout's directory")?;
        let owner = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        let own = (rustix::process::geteuid(), rustix::process::getegid());
        Ok((own.0.is_root() && owner != own).then_some(owner))
    }
}

/// The name of a file that is to become `name`. A killed change leaves it to
/// [`Layout::remove_leftovers`].
fn temporary_name(name: &str) -> String {
    format!("{TEMPORARY_PREFIX}{name}.{}", std::process::id())
}

/// How the names of such files begin.
pub(super) const TEMPORARY_PREFIX: &str = ".windlass-new-";

pub(super) fn open_directory(path: &Path) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}
