//! A blob that can be read, from any offset, as often as a broken transfer needs it.

use std::io::Read;

use anyhow::Result;

/// Where a blob's bytes come from. They are for the reader to verify.
pub trait BlobSource: Sync {
    /// Reads from `offset` to the end.
    fn open(&self, offset: u64) -> Result<Box<dyn Read + Send + '_>>;
}
