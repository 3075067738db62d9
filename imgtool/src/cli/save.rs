//! `save`: from the store to an archive.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use super::arguments::{Connection, PlatformArguments, StoreArguments};
use crate::copy::{CopyOptions, copy};
use crate::progress::{Progress, Style};
use crate::sys::signal;
use crate::transport::Destination;
use crate::transport::docker_archive::DockerArchiveDestination;
use crate::transport::layout_archive::LayoutArchiveDestination;

/// Writes an image of the store to an archive that docker load, podman load and load read.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: windlass-img save --output app.tar registry.example.com/team/app:1.0"
)]
pub struct Save {
    /// The archive.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,

    /// The kind of archive.
    #[arg(long, value_name = "FORMAT", default_value = "docker-archive")]
    format: ArchiveFormat,

    #[command(flatten)]
    platform: PlatformArguments,
    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    connection: Connection,

    /// The image: its name, or the beginning of its digest.
    image: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ArchiveFormat {
    /// What docker save wrote until version 25; it is uncompressed.
    DockerArchive,
    /// A tarred image layout.
    OciArchive,
}

impl Save {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        let configuration = self.connection.configuration()?;
        let store = self.store.open()?;
        let image = store.find(&self.image, &configuration)?;
        let name = image.names.first().cloned();
        let name = name.with_context(|| format!("'{}' has no name (see tag)", self.image))?;
        let tag = Some(name.clone()).filter(|name| !name.contains('@'));
        let destination: Box<dyn Destination> = match self.format {
            ArchiveFormat::DockerArchive => {
                let names = tag.into_iter().collect();
                Box::new(DockerArchiveDestination::open(&self.output, names)?)
            }
            ArchiveFormat::OciArchive => Box::new(LayoutArchiveDestination::open(
                &self.output,
                Some(name.clone()),
            )?),
        };
        let options = CopyOptions {
            platform: self.platform.wanted(),
            ..CopyOptions::default()
        };
        let source = store.source(&name)?;
        copy(
            &source,
            &*destination,
            &options,
            &Progress::new(Style::None),
        )
        .with_context(|| format!("can't save {name} to {}", self.output.display()))?;
        Ok(())
    }
}
