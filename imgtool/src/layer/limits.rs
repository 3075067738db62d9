//! How much an image may ask of us before it is taken for an attack.

use super::tar::TarLimits;
use crate::memory_budget::MemoryBudget;

/// Limits on what one image unpacks to.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of all layers together, uncompressed.
    pub bytes: u64,
    /// How many times larger than its blob a layer may be.
    pub ratio: u64,
    /// Bytes of a layer below which the ratio doesn't count: a short run of zeros is no bomb.
    pub ratio_from: u64,
    /// Bytes of memory for directories' metadata, roughly; beyond them it is set before the end, at the
    /// price of looking at a directory that more is put into.
    pub directories: usize,
    /// Memory, roughly, for what images decide about: what has to be remembered to the end of a layer
    /// (what it added to directories of the layers below), and a Zstandard window. Clones share it.
    pub memory: MemoryBudget,
    /// Limits on each archive.
    pub tar: TarLimits,
}

impl Default for Limits {
    fn default() -> Self {
        // Layers of programs and text shrink to a third or a tenth; gzip can't go beyond 1:1032,
        // which is what a bomb of zeros has.
        Limits {
            bytes: 256 << 30,
            ratio: 200,
            ratio_from: 256 << 20,
            directories: 4 << 20,
            memory: MemoryBudget::default(),
            tar: TarLimits::default(),
        }
    }
}
