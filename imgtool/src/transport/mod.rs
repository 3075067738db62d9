//! Where images come from and go to: skopeo's transports behind two traits.

pub mod archive;
mod archive_file;
pub mod directory;
pub mod docker_archive;
pub mod layout;
pub mod layout_archive;
pub mod location;
pub mod open;
pub mod registry;

use std::io::Read;

use anyhow::Result;

use crate::layout::blob_source::BlobSource;
use crate::layout::document::Descriptor;
use crate::layout::raw_document::RawDocument;
pub use location::Location;

/// What an image is read from.
pub trait Source: Sync {
    /// What the location names: a manifest or an index.
    fn top(&self) -> Result<RawDocument>;

    /// A manifest, index or configuration that another leads to, verified.
    fn document(&self, descriptor: &Descriptor) -> Result<RawDocument>;

    /// A blob's bytes from an offset on; to be verified by who reads them.
    fn blob(&self, descriptor: &Descriptor, offset: u64) -> Result<Box<dyn Read + Send + '_>>;

    /// The registry's host and the repository that blobs can be mounted from.
    fn mountable(&self) -> Option<(&str, &str)> {
        None
    }

    /// Nobody wants what is still being read: waits for further tries end.
    fn give_up(&self) {}
}

/// What a destination can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// Whatever there is.
    Anything,
    /// OCI's manifests alone.
    Oci,
    /// One image with a manifest of Docker's schema 2.
    OneDockerImage,
}

/// How a blob got to its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It was copied.
    Copied,
    /// It was there.
    Already,
    /// The registry took it over from another of its repositories.
    Mounted,
}

/// What an image is written to. Nothing names the image there before `commit`.
pub trait Destination: Sync {
    /// What it can hold.
    fn accepts(&self) -> Accepts;

    /// How many blobs it takes at once.
    fn at_once(&self) -> usize {
        6
    }

    /// Makes sure that a blob is there.
    fn put_blob(
        &self,
        descriptor: &Descriptor,
        source: &dyn BlobSource,
        mountable: Option<(&str, &str)>,
    ) -> Result<Arrival>;

    /// Puts a manifest or an index that an index will lead to.
    fn put_document(&self, document: &RawDocument) -> Result<()>;

    /// Puts the last manifest or index, and names it.
    fn commit(&self, top: &RawDocument) -> Result<()>;

    /// What is still being written will not be named: waits for further tries end.
    fn give_up(&self) {}
}
