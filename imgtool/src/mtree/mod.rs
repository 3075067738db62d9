//! mtree(5) manifests: what a tree looked like, as go-mtree writes and reads them, which is how
//! umoci finds a bundle's changes. Only the keywords that umoci uses, and what gomtree's users
//! write by hand with them.

mod compare;
mod describe;
mod keyword;
mod manifest;
mod places;
mod vis;
mod walk;
mod write;

pub use compare::{Difference, compare};
pub use describe::FileDigests;
pub use keyword::{Keyword, UMOCI};
pub use manifest::Manifest;
pub use write::write;
