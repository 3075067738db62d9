//! `unpack`: from a layout to a bundle.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::arguments::MappingArguments;
use crate::bundle::config::ConfigOptions;
use crate::bundle::{self, UnpackOptions};
use crate::layer::apply::ApplyOptions;
use crate::layer::limits::Limits;
use crate::layout::Layout;
use crate::layout::reference::ImageReference;
use crate::sys::signal;

/// Unpacks an image into an OCI bundle: BUNDLE/rootfs and BUNDLE/config.json.
///
/// BUNDLE must not exist, or be an empty directory. Every digest is verified while unpacking; if
/// anything is wrong, nothing is left of BUNDLE.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img unpack --image images:debian bundle")]
pub struct Unpack {
    /// The image; the tag is 'latest' unless given.
    #[arg(long, value_name = "LAYOUT[:TAG]")]
    image: ImageReference,

    #[command(flatten)]
    mapping: MappingArguments,

    /// Where a directory entry meets a symbolic link to a directory, keep the link.
    #[arg(long)]
    keep_dirlinks: bool,

    /// Write a config.json whose process has no terminal, for a supervisor that uses pipes.
    #[arg(long)]
    no_terminal: bool,

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

    /// The bundle's directory.
    bundle: PathBuf,
}

impl Unpack {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        let layout = Layout::open(&self.image.layout)?;
        let options = self.options()?;
        let image = format!("{}:{}", self.image.layout.display(), self.image.tag);
        bundle::unpack(&layout, &self.image.tag, &self.bundle, &options)
            .with_context(|| format!("can't unpack {image}"))
    }

    fn options(&self) -> Result<UnpackOptions> {
        let mut limits = Limits {
            bytes: self.max_bytes,
            ratio: self.max_ratio,
            ..Limits::default()
        };
        limits.tar.entries = self.max_entries;
        Ok(UnpackOptions {
            apply: ApplyOptions {
                mapping: self.mapping.mapping()?,
                limits,
                keep_dirlinks: self.keep_dirlinks,
            },
            config: ConfigOptions {
                no_terminal: self.no_terminal,
            },
        })
    }
}
