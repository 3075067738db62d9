//! `push`: from the store to a registry.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::arguments::{Access, Connection, StoreArguments, write_digest_file};
use crate::copy::convert::Format;
use crate::copy::{CopyOptions, copy};
use crate::layout::media::MediaKind;
use crate::progress::{Progress, Style};
use crate::registry::upload::UploadOptions;
use crate::sys::signal;
use crate::transport::registry::RegistryDestination;

/// Sends an image of the store to a registry.
///
/// Blobs that the registry has are not sent. Prints the digest of the image there.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img push registry.example.com/team/app:1.0")]
pub struct Push {
    /// All images of an index; they have to be in the store (pull --all).
    #[arg(long, short)]
    all: bool,

    /// The form of the manifest in the registry; as it is unless given.
    #[arg(long, short, value_name = "FORMAT")]
    format: Option<Format>,

    /// Write the digest of the image in the registry to a file.
    #[arg(long, value_name = "FILE")]
    digestfile: Option<PathBuf>,

    /// Upload blobs in requests of so many bytes, not in one.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    chunk_size: Option<u64>,

    /// How to show what is going on.
    #[arg(long, value_name = "STYLE", default_value = "auto")]
    progress: Style,

    /// Show nothing: --progress none.
    #[arg(long, short, conflicts_with = "progress")]
    quiet: bool,

    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    connection: Connection,

    /// The image: its name, or the beginning of its digest.
    image: String,

    /// Where to, if not to where its name says: HOST/NAME[:TAG].
    destination: Option<String>,
}

impl Push {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        let configuration = self.connection.configuration()?;
        let options = self.access.options(&self.connection)?;
        let store = self.store.open()?;
        let image = store.find(&self.image, &configuration)?;
        let name = image.names.first().cloned();
        let name = name.with_context(|| format!("'{}' has no name (see tag)", self.image))?;
        let target = self.destination.as_deref().unwrap_or(&name);
        let target = target.strip_prefix("docker://").unwrap_or(target);
        let target = configuration.resolve(target)?.with_default_tag();
        let upload = UploadOptions {
            chunk: self.chunk_size,
        };
        let destination = RegistryDestination::open(&target, &configuration, &options, upload)?;
        let choice = CopyOptions {
            all: self.all || image.descriptor.kind() != MediaKind::Index,
            format: self.format,
            ..CopyOptions::default()
        };
        let style = if self.quiet {
            Style::None
        } else {
            self.progress
        };
        let source = store.source(&name)?;
        let top = copy(&source, &destination, &choice, &Progress::new(style))
            .with_context(|| format!("can't push {name} to {target}"))?;
        if let Some(file) = &self.digestfile {
            write_digest_file(file, &top.digest)?;
        }
        writeln!(std::io::stdout(), "{}", top.digest)?;
        Ok(())
    }
}
