//! A step's layer: what it changed, as a blob and as an unpacked layer of the store.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, Mode, OFlags, Timespec, Timestamps};

use crate::layer::diff::overlay::write_upper;
use crate::layer::diff::{LayerSink, LayerWriter, PackOptions};
use crate::layer::inode::Inode;
use crate::layer::rootfs::{Directory, RootFs};
use crate::layout::edit::NewLayer;
use crate::layout::media::Compression;
use crate::store::Store;
use crate::store::layers::{LayerChain, copy_directory_metadata};

/// Where one step works: the directories of an overlay, on the store's file system.
#[derive(Debug)]
pub struct Workplace {
    path: PathBuf,
    root_before: Option<Stamp>,
}

/// What is compared of the root directory, to know whether a step changed it.
type Stamp = (u32, u32, u32, i64, u64);

const UPPER: &str = "upper";
const WORK: &str = "work";
const INIT: &str = "init";
const PLACE: &str = "place";

impl Workplace {
    /// Makes one at `path`, for a step on top of `below`.
    pub fn make(path: PathBuf, below: &LayerChain) -> Result<Self> {
        for name in ["", UPPER, WORK, INIT, PLACE] {
            let directory = path.join(name);
            std::fs::create_dir(&directory)
                .with_context(|| format!("mkdir {}", directory.display()))?;
        }
        for name in [UPPER, INIT] {
            let directory = path.join(name);
            match below.directories.last() {
                Some(top) => copy_directory_metadata(top, &directory)?,
                None => rustix::fs::chmod(&directory, Mode::from_raw_mode(0o755))
                    .with_context(|| format!("chmod {}", directory.display()))?,
            }
        }
        let mut workplace = Workplace {
            path,
            root_before: None,
        };
        workplace.root_before = Some(stamp(&workplace.upper())?);
        Ok(workplace)
    }

    /// Where changes go.
    pub fn upper(&self) -> PathBuf {
        self.path.join(UPPER)
    }

    /// Another directory of it.
    pub fn directory(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The root file system for a step that we carry out ourselves.
    pub fn root(&self, below: &LayerChain) -> Result<RootFs> {
        if below.directories.is_empty() {
            return Ok(RootFs::new(open(&self.upper())?));
        }
        let overlay = below.overlay(None, self.upper(), self.path.join(WORK));
        Ok(RootFs::new(overlay.detached(&self.path.join(PLACE))?))
    }

    /// The same, whose changes go into the init layer: mount points, which aren't the image's.
    pub fn init_root(&self, below: &LayerChain) -> Result<RootFs> {
        if below.directories.is_empty() {
            return Ok(RootFs::new(open(&self.path.join(INIT))?));
        }
        let overlay = below.overlay(None, self.path.join(INIT), self.path.join(WORK));
        Ok(RootFs::new(overlay.detached(&self.path.join(PLACE))?))
    }

    /// Mounts the root file system for a container, init layer included, and returns where.
    pub fn mount(&self, below: &LayerChain) -> Result<PathBuf> {
        let place = self.path.join(PLACE);
        let init = Some(self.path.join(INIT));
        let overlay = below.overlay(init, self.upper(), self.path.join(WORK));
        let directory = open(&place)?;
        overlay.mount_on(std::os::fd::AsFd::as_fd(&directory), &place)?;
        Ok(place)
    }

    /// Unmounts it.
    pub fn unmount(&self) -> Result<()> {
        let place = self.path.join(PLACE);
        crate::overlay::unmount_from(&place, true).map(drop)
    }

    /// Makes the layer of what was changed; nothing if nothing was. It becomes an unpacked layer of
    /// the store on top of `below`.
    pub fn seal(
        self,
        store: &Store,
        below: &LayerChain,
        compression: Compression,
        latest_time: Option<i64>,
    ) -> Result<Option<NewLayer>> {
        let upper = self.upper();
        let tree = RootFs::new(open(&upper)?);
        let root_is_same = self.root_before == Some(stamp(&upper)?);
        if root_is_same && tree.root().is_empty()? {
            self.remove()?;
            return Ok(None);
        }
        if let Some(latest) = latest_time {
            // As they are in the archive, so that a step on top sees what it would see elsewhere.
            clamp_times(tree.root(), latest)?;
        }
        let mut incoming = store.layout().incoming()?;
        let options = PackOptions {
            latest_time,
            ..PackOptions::default()
        };
        let mut layer = LayerWriter::new(LayerSink::new(&mut incoming, compression)?, options);
        write_upper(&tree, &[], &mut layer).context("make the step's layer")?;
        let layer = layer.finish()?.finish()?;
        incoming.keep([&layer.blob])?;
        drop(tree);
        store.adopt_layer(&upper, below.ids.last(), &layer.diff_id)?;
        self.remove()?;
        Ok(Some(layer))
    }

    /// Removes what is left of it.
    pub fn remove(self) -> Result<()> {
        remove_tree(&self.path)
    }
}

/// Unmounts what a killed step left mounted in its directory, if it is a step's and did.
pub fn unmount_step(directory: &Path) -> Result<()> {
    let place = directory.join(PLACE);
    if place.exists() {
        crate::overlay::unmount_from(&place, true)?;
    }
    Ok(())
}

/// Removes a directory with all that is in it, whatever that is.
pub fn remove_tree(path: &Path) -> Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(());
    };
    let parent = RootFs::new(open(parent)?);
    parent.root().remove(name.as_encoded_bytes())
}

fn open(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).with_context(|| format!("open {}", path.display()))
}

fn stamp(directory: &Path) -> Result<Stamp> {
    let stat =
        rustix::fs::lstat(directory).with_context(|| format!("lstat {}", directory.display()))?;
    Ok((
        stat.st_mode,
        stat.st_uid,
        stat.st_gid,
        stat.st_mtime,
        stat.st_mtime_nsec,
    ))
}

/// Brings the times of all that is newer than `latest` seconds back to it.
fn clamp_times(directory: &Directory, latest: i64) -> Result<()> {
    for name in directory.names()? {
        let name = name?;
        if let Some(below) = directory.subdirectory(&name)? {
            clamp_times(&below, latest)?;
        } else {
            clamp_time(directory, &name, latest)?;
        }
    }
    clamp_time(directory, b".", latest)
}

fn clamp_time(directory: &Directory, name: &[u8], latest: i64) -> Result<()> {
    let inode = Inode::open(directory, name)?;
    if inode.stat().st_mtime < latest {
        return Ok(());
    }
    let time = Timespec {
        tv_sec: latest,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(directory.fd(), name, &times, AtFlags::SYMLINK_NOFOLLOW)
        .with_context(|| format!("utimensat {}", directory.path().join(name)))
}
