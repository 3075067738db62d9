//! Which bundles use the store's layers and images: `bundles/ID.json`, one for each. As long as a
//! bundle is there, `gc` keeps what it needs, whatever becomes of the image's names.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Store;
use super::bundle_place::BundlePlace;
use super::volumes::VolumeName;
use crate::layout::digest::Digest;
use crate::layout::document::Descriptor;

/// The store's directory of references.
const BUNDLES: &str = "bundles";
/// How a reference's name ends whose bundle is there.
const WHOLE: &str = "json";
/// How it ends while the bundle is being made or removed.
const UNFINISHED: &str = "unfinished";
/// How it ends before it takes another's place.
const WRITTEN: &str = "written";

/// A bundle that uses the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BundleReference {
    /// What the bundle's own record calls it.
    pub id: String,
    /// The bundle's directory.
    pub path: PathBuf,
    /// Which directory that is. Not there in references that an older version wrote.
    #[serde(default)]
    pub place: Option<BundlePlace>,
    /// Its image's manifest.
    pub image: Descriptor,
    /// The chainIDs of the unpacked layers that it uses.
    pub layers: Vec<Digest>,
    /// The store's volumes that it mounts, once it is whole.
    #[serde(default)]
    pub volumes: Vec<VolumeName>,
}

impl Store {
    /// Notes that a bundle is being made.
    pub fn begin_bundle(&self, reference: &BundleReference) -> Result<()> {
        self.write_reference(reference, UNFINISHED)
    }

    fn write_reference(&self, reference: &BundleReference, state: &str) -> Result<()> {
        let path = self.reference(&reference.id, state);
        let context = || format!("write {}", path.display());
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).with_context(context)?;
        }
        let mut file = std::fs::File::create(&path).with_context(context)?;
        file.write_all(&serde_json::to_vec(reference)?)
            .with_context(context)?;
        // What is lost of it in a power failure, gc doesn't keep.
        file.sync_all().with_context(context)
    }

    /// Notes that it is made, and which volumes it has.
    pub fn complete_bundle(&self, reference: &BundleReference) -> Result<()> {
        if !reference.volumes.is_empty() {
            self.write_reference(reference, WRITTEN)?;
            self.rename_reference(&reference.id, WRITTEN, UNFINISHED)?;
        }
        self.rename_reference(&reference.id, UNFINISHED, WHOLE)
    }

    /// Notes where a bundle is by now.
    pub fn move_bundle(&self, reference: &BundleReference, is_whole: bool) -> Result<()> {
        let state = if is_whole { WHOLE } else { UNFINISHED };
        self.write_reference(reference, WRITTEN)?;
        self.rename_reference(&reference.id, WRITTEN, state)
    }

    /// Notes that it is being removed.
    pub fn begin_to_remove_bundle(&self, id: &str) -> Result<()> {
        self.rename_reference(id, WHOLE, UNFINISHED)
    }

    /// Forgets a bundle. It is fine if it isn't known.
    pub fn forget_bundle(&self, id: &str) -> Result<()> {
        for state in [WRITTEN, UNFINISHED, WHOLE] {
            let path = self.reference(id, state);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("unlink {}", path.display()));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn rename_reference(&self, id: &str, from: &str, to: &str) -> Result<()> {
        let (from, to) = (self.reference(id, from), self.reference(id, to));
        match std::fs::rename(&from, &to) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("rename {}", from.display()))
            }
            _ => Ok(()),
        }
    }

    fn reference(&self, id: &str, state: &str) -> PathBuf {
        self.bundles_directory().join(format!("{id}.{state}"))
    }

    fn bundles_directory(&self) -> PathBuf {
        self.layout().path().join(BUNDLES)
    }

    /// All bundles that are known, each with whether it is whole.
    pub fn bundles(&self) -> Result<Vec<(BundleReference, bool)>> {
        let directory = self.bundles_directory();
        let context = || format!("read directory {}", directory.display());
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(context),
        };
        let mut bundles = Vec::new();
        for entry in entries {
            let path = entry.with_context(context)?.path();
            let is_whole = match path.extension().and_then(|extension| extension.to_str()) {
                Some(WHOLE) => true,
                Some(UNFINISHED) => false,
                _ => continue,
            };
            if let Some(reference) = read(&path)? {
                bundles.push((reference, is_whole));
            }
        }
        Ok(bundles)
    }
}

/// A reference; nothing for one whose writing was cut short, whose bundle was never begun.
fn read(path: &Path) -> Result<Option<BundleReference>> {
    match std::fs::read(path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Err(error) if error.is_eof() => Ok(None),
            reference => reference.with_context(|| format!("parse {}", path.display())),
        },
        // Somebody's unbundle was faster.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}
