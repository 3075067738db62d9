//! `oci:`: an image layout.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{Accepts, Arrival, Destination, Source};
use crate::layout::Layout;
use crate::layout::blob_source::BlobSource;
use crate::layout::create::Created;
use crate::layout::document::Descriptor;
use crate::layout::raw_document::{MANIFEST_TYPES, RawDocument};
use crate::layout::receive::Received;
use crate::layout::resolve::tagged;

/// An image in a layout.
#[derive(Debug)]
pub struct LayoutSource {
    layout: Layout,
    top: Descriptor,
}

impl LayoutSource {
    /// The image of a tag; the only one where no tag is given.
    pub fn open(path: &Path, tag: Option<&str>) -> Result<Self> {
        LayoutSource::of(Layout::open(path)?, tag)
    }

    /// The same in a layout that is open.
    pub fn of(layout: Layout, tag: Option<&str>) -> Result<Self> {
        let top = if let Some(tag) = tag {
            tagged(&layout, tag)?
        } else {
            let index = layout.index()?;
            match index.manifests.as_slice() {
                [] => bail!("{} holds no image", layout.path().display()),
                // One image, maybe of several names.
                [first, others @ ..] if others.iter().all(|other| other.digest == first.digest) => {
                    first.clone()
                }
                several => bail!(
                    "{} holds {} images: give a tag",
                    layout.path().display(),
                    several.len()
                ),
            }
        };
        Ok(LayoutSource { layout, top })
    }
}

impl Source for LayoutSource {
    fn top(&self) -> Result<RawDocument> {
        self.document(&self.top)
    }

    fn document(&self, descriptor: &Descriptor) -> Result<RawDocument> {
        Ok(RawDocument {
            bytes: self.layout.read_document(descriptor)?,
            media_type: descriptor.media_type.clone(),
            digest: descriptor.digest.clone(),
        })
    }

    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>> {
        let mut file = self.layout.open_blob(descriptor)?;
        file.seek(SeekFrom::Start(offset)).context("lseek")?;
        Ok(Box::new(file))
    }
}

/// A layout that an image is to be in.
#[derive(Debug)]
pub struct LayoutDestination {
    layout: Layout,
    created: Created,
    tag: Option<String>,
    accepts: Accepts,
    committed: std::sync::atomic::AtomicBool,
}

impl LayoutDestination {
    /// Opens or makes the layout. It takes OCI's manifests alone unless `accepts` says otherwise.
    pub fn open(path: &Path, tag: Option<String>, accepts: Accepts) -> Result<Self> {
        // One that is there can be added to by many at once; making one is for one alone.
        let (layout, created) = if path.join("oci-layout").exists() {
            (Layout::open_to_change(path)?, Created::Nothing)
        } else {
            Layout::open_or_create(path)?
        };
        Ok(LayoutDestination::of(layout, created, tag, accepts))
    }

    /// The same in a layout that is open to be changed.
    pub fn of(layout: Layout, created: Created, tag: Option<String>, accepts: Accepts) -> Self {
        LayoutDestination {
            layout,
            created,
            tag,
            accepts,
            committed: std::sync::atomic::AtomicBool::new(false),
        }
    }

    /// The layout.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }
}

impl Destination for LayoutDestination {
    fn accepts(&self) -> Accepts {
        self.accepts
    }

    fn put_blob(
        &self,
        descriptor: &Descriptor,
        source: &dyn BlobSource,
        _: Option<(&str, &str)>,
    ) -> Result<Arrival> {
        match self.layout.receive(descriptor, source)? {
            Received::Already => Ok(Arrival::Already),
            Received::New => Ok(Arrival::Copied),
        }
    }

    fn put_document(&self, document: &RawDocument) -> Result<()> {
        self.layout.put_document(document)
    }

    fn commit(&self, top: &RawDocument) -> Result<()> {
        self.layout.put_document(top)?;
        self.layout.settle()?;
        let descriptor = top.descriptor();
        self.layout.change_index(|index| {
            if let Some(tag) = &self.tag {
                index.tag(descriptor, tag);
            } else if !index.manifests.contains(&descriptor) {
                index.manifests.push(descriptor);
            }
            Ok(())
        })?;
        self.committed
            .store(true, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for LayoutDestination {
    fn drop(&mut self) {
        if !self.committed.load(std::sync::atomic::Ordering::Relaxed) {
            self.layout.tidy_partials();
            // Blobs and parts of blobs stay for the next try; an empty layout is no use.
            if !self.layout.has_partials() {
                self.layout.remove_created(self.created);
            }
        }
    }
}

/// Whether a document's media type is one of OCI's.
pub fn is_oci(media_type: &str) -> bool {
    media_type == MANIFEST_TYPES[0] || media_type == MANIFEST_TYPES[1]
}
