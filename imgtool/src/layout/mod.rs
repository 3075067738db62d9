//! An OCI image layout: a directory of blobs named by their digests, and an index
//! (image-spec image-layout.md).

pub mod blob;
pub mod blob_source;
pub mod create;
pub mod digest;
pub mod document;
pub mod edit;
pub mod gc;
pub mod json;
mod lock;
pub mod media;
pub mod mismatch;
pub mod platform;
pub mod raw_document;
pub mod receive;
pub mod reference;
pub mod resolve;
pub mod store;
pub mod verified_reader;
mod zstd_frames;

pub use store::Layout;
