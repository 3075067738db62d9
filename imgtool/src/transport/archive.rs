//! `oci-archive:` and `docker-archive:`, read: unpacked into a layout that lasts as long as we do.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::Source;
use super::layout::LayoutSource;
use crate::layout::document::Descriptor;
use crate::layout::raw_document::RawDocument;
use crate::load::{LoadOptions, Naming, load};

/// An image of an archive.
#[derive(Debug)]
pub struct ArchiveSource {
    image: LayoutSource,
    /// Goes away with it.
    _directory: TempDir,
}

impl ArchiveSource {
    /// Reads the archive. `name` says which of its images; there has to be one unless given.
    pub fn open(path: &Path, name: Option<&str>) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        let directory = temporary_directory()?;
        let layout = directory.path().join("layout");
        let options = LoadOptions {
            naming: Naming::Whole,
            ..LoadOptions::default()
        };
        let tags = load(Box::new(file), &layout, &options)?;
        let tag = name.map(|name| called(&tags, name)).transpose();
        let tag = tag.with_context(|| format!("{} holds {}", path.display(), tags.join(", ")))?;
        Ok(ArchiveSource {
            image: LayoutSource::open(&layout, tag.as_deref())?,
            _directory: directory,
        })
    }
}

/// Where what is too large for memory may lie for a while: $TMPDIR, or /var/tmp, since /tmp may be
/// memory.
pub fn temporary_directory() -> Result<TempDir> {
    let parent = std::env::var_os("TMPDIR").unwrap_or_else(|| "/var/tmp".into());
    tempfile::Builder::new()
        .prefix("windlass-img-")
        .tempdir_in(&parent)
        .with_context(|| format!("make a directory in {}", Path::new(&parent).display()))
}

/// The tag of the image called `name`, with or without `:latest`.
fn called(tags: &[String], name: &str) -> Result<String> {
    let latest = format!("{name}:latest");
    let found = tags.iter().find(|tag| *tag == name || **tag == latest);
    found
        .cloned()
        .with_context(|| format!("no image is called '{name}'"))
}

impl Source for ArchiveSource {
    fn top(&self) -> Result<RawDocument> {
        self.image.top()
    }

    fn document(&self, descriptor: &Descriptor) -> Result<RawDocument> {
        self.image.document(descriptor)
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        self.image.blob(descriptor, offset)
    }
}
