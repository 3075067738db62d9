//! Copying images from anywhere to anywhere.
//!
//! First everything that is to be copied is found out ([`plan`]): the documents are read and, where
//! the destination needs it, rewritten ([`convert`]). Then the blobs travel, several at a time
//! ([`transfer`]), then the manifests, and at last the name.

pub mod convert;
pub mod plan;
pub mod sync;
mod transfer;

use anyhow::Result;

use crate::layout::platform::WantedPlatform;
use crate::layout::raw_document::RawDocument;
use crate::progress::Progress;
use crate::transport::{Destination, Source};
use convert::Format;
use plan::Plan;
pub use transfer::{Meanwhile, Transfer};

/// What the caller decides about copying.
#[derive(Debug, Clone, Default)]
pub struct CopyOptions {
    /// All images of an index, not the one for a platform.
    pub all: bool,
    /// The index too where one of its images is copied, so that the name leads to what it leads to
    /// at the source. The destination then lacks the other images.
    pub keep_index: bool,
    /// Which of an index's images.
    pub platform: WantedPlatform,
    /// The form of the manifests at the destination; as they are unless given.
    pub format: Option<Format>,
    /// Fail rather than change a manifest.
    pub preserve_digests: bool,
}

/// Copies an image; what its name leads to at the destination then.
pub fn copy(
    source: &dyn Source,
    destination: &dyn Destination,
    options: &CopyOptions,
    progress: &Progress,
) -> Result<RawDocument> {
    let plan = Plan::make(source, destination.accepts(), options)?;
    carry_out(plan, source, destination, progress, None)
}

/// Moves what is planned, and `meanwhile` works with what has come; nothing is named unless both
/// succeed.
pub fn carry_out(
    plan: Plan,
    source: &dyn Source,
    destination: &dyn Destination,
    progress: &Progress,
    meanwhile: Option<Meanwhile<'_>>,
) -> Result<RawDocument> {
    Transfer::new(source, destination, &plan.blobs, progress).run(meanwhile)?;
    for document in &plan.documents {
        crate::sys::signal::check()?;
        destination.put_document(document)?;
    }
    destination.commit(&plan.top)?;
    Ok(plan.top)
}
