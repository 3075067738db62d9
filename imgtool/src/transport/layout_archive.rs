//! `oci-archive:`, written: a tarred image layout.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

use super::archive_file::ArchiveFile;
use super::{Accepts, Arrival, Destination};
use crate::layout::blob_source::BlobSource;
use crate::layout::digest::Digest;
use crate::layout::document::{Descriptor, Index};
use crate::layout::raw_document::RawDocument;
use crate::layout::verified_reader::VerifiedReader;

/// A tarred layout that an image is to be in.
#[derive(Debug)]
pub struct LayoutArchiveDestination {
    /// Gone once it is whole.
    file: Mutex<Option<ArchiveFile>>,
    tag: Option<String>,
}

impl LayoutArchiveDestination {
    /// Begins the archive.
    pub fn open(path: &Path, tag: Option<String>) -> Result<Self> {
        let mut file = ArchiveFile::begin(path)?;
        let marker = br#"{"imageLayoutVersion":"1.0.0"}"#;
        file.file("oci-layout", &marker[..], marker.len() as u64)?;
        file.directory("blobs")?;
        file.directory("blobs/sha256")?;
        Ok(LayoutArchiveDestination {
            file: Mutex::new(Some(file)),
            tag,
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut ArchiveFile) -> Result<T>) -> Result<T> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        work(file.as_mut().context("the archive is complete")?)
    }
}

impl Destination for LayoutArchiveDestination {
    fn accepts(&self) -> Accepts {
        Accepts::Oci
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
        self.with(|file| {
            let content = VerifiedReader::new(source.open(0)?, descriptor);
            file.file(&blob_name(&descriptor.digest), content, descriptor.size)?;
            Ok(Arrival::Copied)
        })
    }

    fn put_document(&self, document: &RawDocument) -> Result<()> {
        let name = blob_name(&document.digest);
        self.with(|file| {
            if file.has(&name) {
                return Ok(());
            }
            file.file(&name, &document.bytes[..], document.bytes.len() as u64)
        })
    }

    fn commit(&self, top: &RawDocument) -> Result<()> {
        self.put_document(top)?;
        let mut index = Index::empty();
        match &self.tag {
            Some(tag) => index.tag(top.descriptor(), tag),
            None => index.manifests.push(top.descriptor()),
        }
        let index = serde_json::to_vec(&index)?;
        self.with(|file| file.file("index.json", &index[..], index.len() as u64))?;
        let file = self
            .file
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        file.context("the archive is complete")?.finish()
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}
