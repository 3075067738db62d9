//! `--digestfile`.

use std::path::Path;

use anyhow::{Context, Result};

use crate::layout::digest::Digest;

/// Writes a digest as skopeo does: without a newline.
pub fn write_digest_file(path: &Path, digest: &Digest) -> Result<()> {
    std::fs::write(path, digest.to_string())
        .with_context(|| format!("write the digest to {}", path.display()))
}
