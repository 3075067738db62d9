//! How much an image may ask of us before it is taken for an attack.

use super::tar::TarLimits;

/// Limits on what one image unpacks to.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of all layers together, uncompressed.
    pub bytes: u64,
    /// How many times larger than its blob a layer may be.
    pub ratio: u64,
    /// Bytes of a layer below which the ratio doesn't count: a short run of zeros is no bomb.
    pub ratio_from: u64,
    /// Bytes of memory for what has to be remembered until the end (directories' metadata) or to
    /// the end of a layer (what it added), roughly.
    pub memory: usize,
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
            memory: 256 << 20,
            tar: TarLimits::default(),
        }
    }
}
