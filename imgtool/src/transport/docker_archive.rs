//! `docker-archive:`, written: what `docker save` makes and `docker load` and podman read. Layers
//! are uncompressed, and named by what is in them.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::archive_file::ArchiveFile;
use super::{Accepts, Arrival, Destination};
use crate::layer::limits::Limits;
use crate::layout::blob_source::BlobSource;
use crate::layout::digest::{Algorithm, Digest, Hasher};
use crate::layout::document::{Descriptor, Manifest};
use crate::layout::media::{Compression, MediaKind};
use crate::layout::raw_document::RawDocument;
use crate::layout::verified_reader::VerifiedReader;

/// A docker-archive that an image is to be in.
#[derive(Debug)]
pub struct DockerArchiveDestination {
    state: Mutex<State>,
    /// Where layers are decompressed.
    spools: PathBuf,
    names: Vec<String>,
}

#[derive(Debug)]
struct State {
    /// Gone once it is whole.
    file: Option<ArchiveFile>,
    /// What each blob of the manifest is called in the archive.
    blobs: HashMap<Digest, String>,
}

impl DockerArchiveDestination {
    /// Begins the archive of an image with these names.
    pub fn open(path: &Path, names: Vec<String>) -> Result<Self> {
        let file = ArchiveFile::begin(path)?;
        Ok(DockerArchiveDestination {
            spools: file.spool_directory(),
            state: Mutex::new(State {
                file: Some(file),
                blobs: HashMap::new(),
            }),
            names,
        })
    }

    /// A layer without its compression, and what it is then.
    fn uncompressed(
        &self,
        content: impl Read,
        compression: Compression,
        size: u64,
    ) -> Result<(File, Digest, u64)> {
        let mut spool = tempfile::tempfile_in(&self.spools)
            .with_context(|| format!("make a file in {}", self.spools.display()))?;
        let mut content = BufReader::with_capacity(256 << 10, content);
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let limits = Limits::default();
        let mut length = 0;
        let mut buffer = vec![0; 256 << 10];
        let mut decoder = compression.decoder(&mut content, &limits.memory)?;
        loop {
            crate::sys::signal::check()?;
            let count = decoder.read(&mut buffer).context("decompress a layer")?;
            if count == 0 {
                break;
            }
            length += count as u64;
            let bomb = length > limits.ratio_from && length / limits.ratio > size;
            if bomb || length > limits.bytes {
                bail!("the layer grows to more than {length} bytes: taken for an attack");
            }
            hasher.update(&buffer[..count]);
            spool.write_all(&buffer[..count]).context("write a layer")?;
        }
        drop(decoder);
        // What the decompressor left unread belongs to the digest.
        std::io::copy(&mut content, &mut std::io::sink())?;
        spool.seek(SeekFrom::Start(0)).context("lseek")?;
        Ok((spool, hasher.finish(), length))
    }
}

impl Destination for DockerArchiveDestination {
    fn accepts(&self) -> Accepts {
        Accepts::OneDockerImage
    }

    fn at_once(&self) -> usize {
        1
    }

    fn put_blob(
        &self,
        descriptor: &Descriptor,
        source: &dyn BlobSource,
        _: Option<(&str, &str)>,
    ) -> Result<Arrival> {
        let content = VerifiedReader::new(source.open(0)?, descriptor);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { file, blobs } = &mut *state;
        let file = file.as_mut().context("the archive is complete")?;
        let name = match descriptor.kind() {
            MediaKind::Layer(Compression::None) => {
                let name = format!("{}.tar", descriptor.digest.hex());
                file.file(&name, content, descriptor.size)?;
                name
            }
            MediaKind::Layer(compression) => {
                let (layer, diff_id, length) =
                    self.uncompressed(content, compression, descriptor.size)?;
                let name = format!("{}.tar", diff_id.hex());
                if !file.has(&name) {
                    file.file(&name, layer, length)?;
                }
                name
            }
            MediaKind::Config => {
                let name = format!("{}.json", descriptor.digest.hex());
                file.file(&name, content, descriptor.size)?;
                name
            }
            _ => bail!(
                "a docker-archive has no place for '{}'",
                descriptor.media_type.escape_debug()
            ),
        };
        blobs.insert(descriptor.digest.clone(), name);
        Ok(Arrival::Copied)
    }

    fn put_document(&self, document: &RawDocument) -> Result<()> {
        bail!(
            "a docker-archive holds one image, not also {}",
            document.digest
        )
    }

    fn commit(&self, top: &RawDocument) -> Result<()> {
        let manifest = Manifest::parse(&top.bytes, &top.media_type)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let name = |descriptor: &Descriptor| {
            let name = state.blobs.get(&descriptor.digest).cloned();
            name.with_context(|| format!("blob {} was not copied", descriptor.digest))
        };
        let layers = manifest
            .layers
            .iter()
            .map(&name)
            .collect::<Result<Vec<_>>>()?;
        let table = serde_json::to_vec(&json!([{
            "Config": name(&manifest.config)?, "RepoTags": self.names, "Layers": layers,
        }]))?;
        let mut file = state.file.take().context("the archive is complete")?;
        file.file("manifest.json", &table[..], table.len() as u64)?;
        file.finish()
    }
}
