//! `copy`: an image from anywhere to anywhere.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use super::arguments::{
    BothAccess, Connection, DestinationAccess, PlatformArguments, SourceAccess, write_digest_file,
};
use crate::copy::convert::Format;
use crate::copy::{CopyOptions, copy};
use crate::progress::{Progress, Style};
use crate::registry::upload::UploadOptions;
use crate::sys::signal;
use crate::transport::{Location, open};

/// Copies an image between registries, layouts, archives and directories.
///
/// SOURCE and DESTINATION are one of docker://HOST/NAME[:TAG|@DIGEST], oci:LAYOUT[:TAG],
/// oci-archive:FILE[:TAG], docker-archive:FILE[:NAME] and dir:DIRECTORY. Blobs that the destination
/// has are not copied. A copy to a layout that was broken off goes on where it was. Prints the
/// digest of the image at the destination.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: windlass-img copy docker://registry.example.com/debian:12 oci:images:debian"
)]
pub struct Copy {
    /// All images of an index, not the one for this machine.
    #[arg(long, short)]
    all: bool,

    /// Which images of an index to copy.
    #[arg(long, value_name = "WHICH", conflicts_with = "all")]
    multi_arch: Option<MultiArch>,

    /// The form of the manifest at the destination: as it is unless given, and unless the
    /// destination takes only one.
    #[arg(long, short, value_name = "FORMAT")]
    format: Option<Format>,

    /// Fail rather than change the image's digest.
    #[arg(long)]
    preserve_digests: bool,

    /// Write the digest of the image at the destination to a file.
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
    platform: PlatformArguments,
    #[command(flatten)]
    both_access: BothAccess,
    #[command(flatten)]
    source_access: SourceAccess,
    #[command(flatten)]
    destination_access: DestinationAccess,
    #[command(flatten)]
    connection: Connection,

    /// What to copy.
    source: Location,

    /// Where to.
    destination: Location,
}

/// skopeo's `--multi-arch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MultiArch {
    /// The image for this machine.
    System,
    /// The index and all of its images.
    All,
}

impl Copy {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        let configuration = self.connection.configuration()?;
        let (reading, writing) = self.both_access.options(
            &self.source_access,
            &self.destination_access,
            &self.connection,
        )?;
        if self.source == self.destination {
            bail!("source and destination are the same");
        }
        // Before an archive takes the place of the file that our output goes into.
        let into_stdout = self.destination.is_stdout();
        let source = open::source(&self.source, &configuration, &reading)?;
        let upload = UploadOptions {
            chunk: self.chunk_size,
        };
        let destination = open::destination(&self.destination, &configuration, &writing, upload)?;
        let options = CopyOptions {
            all: self.all || self.multi_arch == Some(MultiArch::All),
            keep_index: false,
            platform: self.platform.wanted(),
            format: self.format,
            preserve_digests: self.preserve_digests,
        };
        let style = if self.quiet {
            Style::None
        } else {
            self.progress
        };
        let copied = copy(&*source, &*destination, &options, &Progress::new(style))
            .with_context(|| format!("can't copy {} to {}", self.source, self.destination))?;
        if let Some(file) = &self.digestfile {
            write_digest_file(file, &copied.digest)?;
        }
        if !into_stdout {
            writeln!(std::io::stdout(), "{}", copied.digest)?;
        }
        Ok(())
    }
}
