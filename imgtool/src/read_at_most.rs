//! Files whose size somebody else decides are read up to a limit.

use std::fs::File;
use std::io::Read as _;

use anyhow::{Context as _, Result, bail};

/// Reads a file of at most `limit` bytes.
pub fn read_at_most(file: File, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .context("read")?;
    if bytes.len() as u64 > limit {
        bail!("larger than our limit of {limit} bytes");
    }
    Ok(bytes)
}
