//! What a container's bundle is made of: `windlass.json` in its directory. `unbundle`, `commit`,
//! `diff` and the hooks of its networks go by it.

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::directory::{BundleDirectory, write_whole};
use crate::boot::boot_id;
use crate::layout::digest::Digest;
use crate::layout::document::Descriptor;
use crate::store::bundle_place::BundlePlace;
use crate::store::bundles::BundleReference;
use crate::store::volumes::VolumeName;

/// How much of its id a container is called by, as Docker's are.
pub(super) const HOSTNAME_LENGTH: usize = 12;

/// The name of the record.
pub const CONTAINER_RECORD: &str = "windlass.json";

/// What a container's bundle is made of.
///
/// Whoever adds to what a bundle can have (volumes, networks) adds a field here, with
/// `#[serde(default)]`, so that older bundles can still be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerRecord {
    /// What the store calls the bundle.
    pub id: String,
    /// The store that its image and layers are in.
    pub store: PathBuf,
    /// What the caller called the image.
    pub image_name: String,
    /// From the store's index to the image's manifest.
    pub image: Vec<Descriptor>,
    /// What its root file system is.
    pub rootfs: RootfsKind,
    /// The chainIDs of the image's layers, the lowest first.
    pub layers: Vec<Digest>,
    /// The store's volumes that it mounts.
    #[serde(default)]
    pub volumes: Vec<VolumeName>,
    /// Its overlay, as it was mounted last.
    #[serde(default)]
    pub mounted: Option<MountedRoot>,
}

/// The root directory of a mount, as stat(2) tells of it: the same wherever it is mounted, and after it
/// was unmounted for whoever still has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MountedRoot {
    /// The boot of which these numbers are.
    pub boot: String,
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
}

impl MountedRoot {
    /// That of what is mounted at `path`.
    pub(super) fn at(path: &Path) -> Result<Self> {
        let root = std::fs::metadata(path).with_context(|| format!("stat {}", path.display()))?;
        Ok(MountedRoot {
            boot: boot_id()?,
            device: root.dev(),
            inode: root.ino(),
        })
    }
}

/// What a bundle's root file system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RootfsKind {
    /// A mount of the store's layers, `init` and `upper`.
    Overlay,
    /// A copy of its own.
    Flat,
}

impl ContainerRecord {
    /// What the store is to know of the bundle at `path`, which is absolute.
    pub fn reference(&self, path: PathBuf) -> Result<BundleReference> {
        let image = self.image.last().context("the record names no image")?;
        let uses_layers = self.rootfs == RootfsKind::Overlay;
        Ok(BundleReference {
            id: self.id.clone(),
            place: Some(BundlePlace::of(&path)?),
            path,
            image: image.clone(),
            layers: self
                .layers
                .iter()
                .filter(|_| uses_layers)
                .cloned()
                .collect(),
            volumes: self.volumes.clone(),
        })
    }

    /// Reads the record of a bundle; nothing if it has none, or only the beginning of one: then
    /// its making was killed before anything else was made. One that we don't understand (a later
    /// version's) is an error: what it holds on to must not go.
    pub fn read(bundle: &Path) -> Result<Option<Self>> {
        let path = bundle.join(CONTAINER_RECORD);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
        };
        let of_record = || format!("parse {}", path.display());
        let record: Self = match serde_json::from_slice(&bytes) {
            Err(error) if error.is_eof() => return Ok(None),
            record => record.with_context(of_record)?,
        };
        // It becomes a file's name in the store.
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if record.id.len() < HOSTNAME_LENGTH || !record.id.bytes().all(is_hex) {
            bail!("{}: its id is none of ours", path.display());
        }
        Ok(Some(record))
    }

    /// Writes the record into the bundle's directory, in place of what is there: whenever that is
    /// killed, there is the old one or the new one.
    pub(super) fn write(&self, directory: &mut BundleDirectory) -> Result<()> {
        directory.write_whole(CONTAINER_RECORD, &serde_json::to_vec_pretty(self)?)
    }

    /// Writes the record of a bundle that is whole.
    pub(super) fn rewrite(&self, bundle: impl AsFd) -> Result<()> {
        write_whole(bundle, CONTAINER_RECORD, &serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("write {CONTAINER_RECORD}"))
    }
}
