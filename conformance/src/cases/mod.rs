//! The cases, one file a chapter.

mod capabilities;
mod lifecycle;
mod mounts;
mod namespaces;
mod process;
mod state;

use crate::case::Case;

/// Every case, chapter by chapter.
pub fn all() -> impl Iterator<Item = &'static Case> {
    [
        lifecycle::CASES,
        state::CASES,
        process::CASES,
        capabilities::CASES,
        namespaces::CASES,
        mounts::CASES,
    ]
    .into_iter()
    .flatten()
}
