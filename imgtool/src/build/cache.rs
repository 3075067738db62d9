//! Steps that were carried out before: what each made is found by what it was made from.
//!
//! A key is the digest of all that a step's result depends on: the layers below it (by content), the
//! configuration it runs with, the instruction, the content of the files that it copies, the build
//! arguments that it sees. `STORE/build/steps/KEY.json` says what came of it; `gc` keeps the blobs
//! and unpacked layers that records name, and `gc --build-cache` removes the records.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::layout::digest::{Algorithm, Digest, Hasher};
use crate::layout::document::Descriptor;
use crate::store::Store;

/// The store's directory for builds.
pub const BUILD: &str = "build";
/// In it, the records.
const STEPS: &str = "steps";
/// In it, directories that RUN mounts with `type=cache`.
pub const CACHES: &str = "caches";

/// A key in the making.
#[derive(Debug)]
pub struct Key(Hasher);

impl Key {
    /// The key of an instruction.
    pub fn new(keyword: &str) -> Self {
        let mut key = Key(Hasher::new(Algorithm::Sha256));
        // The second is raised when steps come to mean something else.
        key.add("keyword", keyword.as_bytes());
        key.add("version", b"1");
        key
    }

    /// Something that the result depends on.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        for part in [name.as_bytes(), value] {
            self.0.update(&(part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
    }

    /// The finished key.
    pub fn finish(self) -> Digest {
        self.0.finish()
    }
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When it was carried out, RFC 3339.
    pub created: String,
    /// The layer that it made, if it changed a file.
    pub layer: Option<RecordedLayer>,
}

/// A layer that a step made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordedLayer {
    /// Its blob.
    pub descriptor: Descriptor,
    /// Its uncompressed archive.
    pub diff_id: Digest,
    /// It and the layers that it was made on.
    pub chain_id: Digest,
}

/// The records of a store.
#[derive(Debug)]
pub struct Cache {
    directory: PathBuf,
}

impl Cache {
    /// Those of a store.
    pub fn of(store: &Store) -> Self {
        Cache {
            directory: store.layout().path().join(BUILD).join(STEPS),
        }
    }

    /// What came of the step with this key, if all of it is still here.
    pub fn find(&self, store: &Store, key: &Digest) -> Result<Option<Record>> {
        let Some(record) = read(&self.path(key))? else {
            return Ok(None);
        };
        let is_here = match &record.layer {
            Some(layer) => store.layout().holds(&layer.descriptor)?,
            None => true,
        };
        Ok(Some(record).filter(|_| is_here))
    }

    /// Notes what came of a step.
    pub fn note(&self, key: &Digest, record: &Record) -> Result<()> {
        let context = || format!("note a step in {}", self.directory.display());
        std::fs::create_dir_all(&self.directory).with_context(context)?;
        let mut file = tempfile::Builder::new()
            .prefix(".new-")
            .tempfile_in(&self.directory)
            .with_context(context)?;
        serde_json::to_writer(&mut file, record).with_context(context)?;
        file.persist(self.path(key)).with_context(context)?;
        Ok(())
    }

    /// The layers of all records: blobs, and chainIDs.
    pub fn layers(&self) -> Result<Vec<RecordedLayer>> {
        let mut layers = Vec::new();
        for path in self.files()? {
            layers.extend(read(&path)?.and_then(|record| record.layer));
        }
        Ok(layers)
    }

    /// Forgets all steps; how many.
    pub fn clear(&self) -> Result<u64> {
        let files = self.files()?;
        for path in &files {
            std::fs::remove_file(path).with_context(|| format!("unlink {}", path.display()))?;
        }
        Ok(files.len() as u64)
    }

    fn path(&self, key: &Digest) -> PathBuf {
        self.directory.join(format!("{}.json", key.hex()))
    }

    fn files(&self) -> Result<Vec<PathBuf>> {
        let context = || format!("read directory {}", self.directory.display());
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(context),
        };
        entries
            .map(|entry| Ok(entry.with_context(context)?.path()))
            .collect()
    }
}

/// A record; nothing for one that isn't there, or isn't one.
fn read(path: &Path) -> Result<Option<Record>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}
