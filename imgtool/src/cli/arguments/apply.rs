//! How layers are applied to a root file system.

use anyhow::Result;
use clap::Args;

use super::{MappingArguments, MemoryArguments};
use crate::layer::apply::ApplyOptions;
use crate::layer::limits::Limits;

/// How layers are applied, and how much they may hold.
#[derive(Debug, Args)]
pub struct ApplyArguments {
    #[command(flatten)]
    mapping: MappingArguments,

    /// Where a directory entry meets a symbolic link to a directory, keep the link.
    #[arg(long)]
    keep_dirlinks: bool,

    /// Refuse an image whose layers are larger than this when uncompressed.
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().bytes)]
    max_bytes: u64,

    /// Refuse a layer that grows to more than this many times its blob (from 256 MiB on).
    #[arg(long, value_name = "N", default_value_t = Limits::default().ratio,
        value_parser = clap::value_parser!(u64).range(1..))]
    max_ratio: u64,

    /// Refuse a layer with more entries than this.
    #[arg(long, value_name = "N", default_value_t = Limits::default().tar.entries)]
    max_entries: u64,

    #[command(flatten)]
    memory: MemoryArguments,
}

impl ApplyArguments {
    /// What they ask for.
    pub fn options(&self) -> Result<ApplyOptions> {
        self.memory.apply();
        let mut limits = Limits {
            bytes: self.max_bytes,
            ratio: self.max_ratio,
            ..Limits::default()
        };
        limits.tar.entries = self.max_entries;
        Ok(ApplyOptions {
            mapping: self.mapping.mapping()?,
            limits,
            keep_dirlinks: self.keep_dirlinks,
            take_digests: false,
            for_overlay: false,
        })
    }
}
