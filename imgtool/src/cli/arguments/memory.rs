//! How much memory images may make us take.

use clap::Args;

use crate::memory_budget::{USUAL, set_most};

/// The limit, of verbs that read layers or trees.
#[derive(Debug, Args)]
pub struct MemoryArguments {
    /// Refuse what takes more memory than this: a zstd layer's window, some 10 bytes for each file in a
    /// directory of the layers below, some 20 for each file that is looked up in a bundle's mtree manifest,
    /// the paths of what has changed and of hard links. All else takes less than 28 MiB.
    #[arg(long, value_name = "BYTES", default_value_t = USUAL)]
    max_memory: usize,
}

impl MemoryArguments {
    /// Makes it the limit of all that this process does from here on.
    pub fn apply(&self) {
        set_most(self.max_memory);
    }
}
