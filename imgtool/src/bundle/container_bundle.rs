//! A container's bundle that is there, opened by its record.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use serde::Deserialize;

use super::container_record::{CONTAINER_RECORD, ContainerRecord, MountedRoot, RootfsKind};
use super::create::{INIT, UPPER, WORK};
use super::directory::{CONFIG, ROOTFS};
use super::lock::BundleLock;
use crate::layer::limits::Limits;
use crate::layer::path::ImagePath;
use crate::layer::rootfs::RootFs;
use crate::layout::resolve::Image;
use crate::store::Store;
use crate::store::layers::LayerChain;
use crate::warnings;

/// What we look for in config.json, which is the caller's to change.
#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    mounts: Vec<MountPoint>,
    #[serde(default)]
    process: Process,
}

#[derive(Deserialize)]
struct MountPoint {
    destination: String,
}

#[derive(Default, Deserialize)]
struct Process {
    #[serde(default)]
    args: Vec<String>,
}

/// A container's bundle.
#[derive(Debug)]
pub struct ContainerBundle {
    /// Its directory, as an absolute path without links.
    pub path: PathBuf,
    /// What it is made of.
    pub record: ContainerRecord,
    _lock: BundleLock,
}

impl ContainerBundle {
    /// Opens a whole bundle to read it: it isn't removed meanwhile.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_locked(path, FlockOperation::LockShared)
    }

    /// Opens a whole bundle to mount it, alone.
    pub fn open_to_mount(path: &Path) -> Result<Self> {
        Self::open_locked(path, FlockOperation::LockExclusive)
    }

    fn open_locked(path: &Path, lock: FlockOperation) -> Result<Self> {
        let path = std::fs::canonicalize(path)
            .with_context(|| format!("open bundle {}", path.display()))?;
        let lock = BundleLock::take(open(&path)?, lock)?;
        let Some(record) = ContainerRecord::read(&path)? else {
            bail!(
                "{} was not made by bundle: it has no {CONTAINER_RECORD}",
                path.display()
            );
        };
        if !path.join(CONFIG).exists() {
            bail!(
                "{} is unfinished (it has no {CONFIG}): unbundle removes it",
                path.display()
            );
        }
        Ok(ContainerBundle {
            path,
            record,
            _lock: lock,
        })
    }

    /// Opens the store that its image is in.
    pub fn store(&self) -> Result<Store> {
        let store = &self.record.store;
        if !store.join("oci-layout").exists() {
            bail!("its store {} is not there", store.display());
        }
        Store::open(store)
    }

    /// Its image, which the store keeps as long as the bundle is there; alone, whatever index it was
    /// chosen from.
    pub fn image(&self, store: &Store) -> Result<Image> {
        let manifest = self
            .record
            .image
            .last()
            .context("its record names no image")?;
        let mut manifest = manifest.clone();
        manifest.annotations.clear();
        manifest.platform = None;
        Image::read(store.layout(), manifest.clone(), vec![manifest])
            .with_context(|| format!("image {}", self.record.image_name))
    }

    /// What the container has written, in the form of an overlay's upper directory.
    pub fn upper(&self) -> Result<RootFs> {
        open(&self.path.join(UPPER)).map(RootFs::new)
    }

    /// The root file system as the container sees it, but for its mounts.
    pub fn rootfs(&self) -> Result<RootFs> {
        open(&self.path.join(ROOTFS)).map(RootFs::new)
    }

    /// Whether the root file system is there to be run.
    pub fn is_mounted(&self) -> Result<bool> {
        let device = |path: &Path| {
            let metadata = std::fs::metadata(path);
            metadata
                .map(|metadata| metadata.dev())
                .with_context(|| format!("stat {}", path.display()))
        };
        Ok(self.record.rootfs == RootfsKind::Flat
            || device(&self.path)? != device(&self.path.join(ROOTFS))?)
    }

    /// Mounts the root file system, if it isn't: after a reboot. What the container wrote is there
    /// again. Layers that are gone are unpacked anew.
    pub fn mount(&self, limits: &Limits) -> Result<()> {
        if self.is_mounted()? {
            let path = self.path.display();
            warnings::note(|| format!("the root file system of {path} is there already"));
            return Ok(());
        }
        let store = self.store()?;
        let mut chain = LayerChain {
            directories: store.directories_of(&self.record.layers),
            ids: self.record.layers.clone(),
        };
        if !chain.directories.iter().all(|directory| directory.exists()) {
            chain = store.unpacked_layers(&self.image(&store)?, limits)?;
        }
        let path = &self.path;
        let overlay = chain.overlay(Some(path.join(INIT)), path.join(UPPER), path.join(WORK));
        let rootfs = path.join(ROOTFS);
        overlay.mount_on(open(&rootfs)?.as_fd(), &rootfs)?;
        let record = ContainerRecord {
            mounted: Some(MountedRoot::at(&rootfs)?),
            ..self.record.clone()
        };
        record.rewrite(open(path)?)?;
        // It may have come from elsewhere.
        store.move_bundle(&record.reference(path.clone())?, true)
    }

    /// Where config.json mounts something, as paths without links as far as the root file system
    /// is there to follow them.
    pub fn mount_points(&self) -> Result<Vec<ImagePath>> {
        let mut rootfs = self.rootfs()?;
        let mut points = Vec::new();
        for mount in self.config()?.mounts {
            let path = ImagePath::parse(mount.destination.as_bytes())
                .with_context(|| format!("the mount at {}", mount.destination))?;
            let Some((parent, name)) = path.split_last() else {
                continue;
            };
            points.push(match rootfs.directory(&parent)? {
                Some(parent) => parent.path().join(name),
                None => path,
            });
        }
        Ok(points)
    }

    /// The program that it runs, with its arguments.
    pub fn command(&self) -> Result<String> {
        Ok(self.config()?.process.args.join(" "))
    }

    fn config(&self) -> Result<Config> {
        let path = self.path.join(CONFIG);
        let context = || format!("read {}", path.display());
        let json = std::fs::read(&path).with_context(context)?;
        serde_json::from_slice(&json).with_context(context)
    }
}

fn open(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
        .with_context(|| format!("open {}", path.display()))
}
