//! What instructions do to files.

pub mod archive;
pub mod content;
pub mod copy;
pub mod download;
pub mod layer;
pub mod permissions;
pub mod tree;
