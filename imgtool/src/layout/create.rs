//! New layouts. One whose making was killed is completed by the next who wants to make it.

use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::digest::Algorithm;
use super::document::Index;
use super::store::{Layout, TEMPORARY_PREFIX, open_directory};

/// What opening a layout made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It was there.
    Nothing,
    /// The files in an empty directory.
    Contents,
    /// The directory too.
    Directory,
}

impl Layout {
    /// Makes an empty layout, with the directories above it. Nothing may be at `path` yet.
    pub fn create(path: &Path) -> Result<Self> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("make directory {}", parent.display()))?;
        }
        match Layout::open_or_create(path)? {
            (layout, Created::Directory | Created::Contents) => Ok(layout),
            (_, Created::Nothing) => bail!("{} is there already", path.display()),
        }
    }

    /// Opens a layout to change it, or makes an empty one where there is nothing, or an empty
    /// directory; says which.
    pub fn open_or_create(path: &Path) -> Result<(Self, Created)> {
        let made_directory = match std::fs::create_dir(path) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
            Err(error) => {
                return Err(error).with_context(|| format!("mkdir {}", path.display()));
            }
        };
        let directory = open_directory(path)
            .with_context(|| format!("can't open image layout {}", path.display()))?;
        let layout = Layout {
            path: path.to_owned(),
            directory,
        };
        layout.lock_to_remove()?;
        let result = if layout.is_unmade()? {
            let created = if made_directory {
                Created::Directory
            } else {
                Created::Contents
            };
            layout.fill().map(|()| created).inspect_err(|_| {
                layout.remove_created(created);
            })
        } else {
            layout.check_marker().map(|()| Created::Nothing)
        };
        let created = result?;
        layout.lock_to_change()?;
        Ok((layout, created))
    }

    /// Whether the directory is empty, but for what a killed [`Layout::fill`] leaves.
    fn is_unmade(&self) -> Result<bool> {
        let names = self.names()?;
        let ours = |name: &String| {
            matches!(name.as_str(), "blobs" | "index.json") || name.starts_with(TEMPORARY_PREFIX)
        };
        if !names.iter().all(ours) {
            return Ok(false);
        }
        let no_images = self.index().map_or(true, |index| index == Index::empty());
        Ok(no_images && self.blob_names()?.is_empty())
    }

    /// The marker comes last: without it, it is no layout.
    fn fill(&self) -> Result<()> {
        self.make_directory(&self.directory, "blobs")?;
        self.make_blobs_directory(Algorithm::Sha256)?;
        self.write("index.json", &serde_json::to_vec(&Index::empty())?)?;
        self.write("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)
    }

    /// Makes the directory for an algorithm's blobs, unless it is there, and opens it. A `blobs` that
    /// leads out of the layout (it may be a stranger's) is refused.
    pub(super) fn make_blobs_directory(&self, algorithm: Algorithm) -> Result<OwnedFd> {
        let blobs = self.open_at("blobs", OFlags::PATH | OFlags::DIRECTORY)?;
        self.make_directory(&blobs, algorithm.name())?;
        let name = format!("blobs/{}", algorithm.name());
        self.open_at(&name, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    fn make_directory(&self, parent: impl AsFd, name: &str) -> Result<()> {
        match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(()),
            Err(errno) => {
                return Err(errno)
                    .with_context(|| format!("mkdirat {name} in {}", self.path.display()));
            }
        }
        if let Some((user, group)) = self.owner()? {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(&parent, name, Some(user), Some(group), flags)
                .with_context(|| format!("fchownat {name} in {}", self.path.display()))?;
        }
        Ok(())
    }

    /// Takes back what [`Layout::open_or_create`] made, unless somebody has come to use it.
    pub fn remove_created(&self, created: Created) {
        if created == Created::Nothing || !self.try_lock_to_remove() {
            return;
        }
        let in_use = self.index().is_ok_and(|index| !index.manifests.is_empty())
            || self.blob_names().is_ok_and(|names| !names.is_empty());
        if in_use {
            return;
        }
        let Ok(blobs) = self.open_at("blobs", OFlags::PATH | OFlags::DIRECTORY) else {
            // A stranger's, who has it lead out of the layout.
            return;
        };
        let top = self.directory.as_fd();
        for (directory, name, flags) in [
            (top, "oci-layout", AtFlags::empty()),
            (top, "index.json", AtFlags::empty()),
            (blobs.as_fd(), "sha256", AtFlags::REMOVEDIR),
            (top, "blobs", AtFlags::REMOVEDIR),
        ] {
            if let Err(errno) = rustix::fs::unlinkat(directory, name, flags)
                && errno != Errno::NOENT
            {
                crate::warnings::warn(|| format!("can't remove {name}: {errno}"));
            }
        }
        if created == Created::Directory
            && let Err(error) = std::fs::remove_dir(&self.path)
        {
            crate::warnings::warn(|| format!("can't remove {}: {error}", self.path.display()));
        }
    }
}
