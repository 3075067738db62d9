//! `sync`: many images from one place to another.

use std::io::Write;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use super::arguments::{
    BothAccess, Connection, DestinationAccess, PlatformArguments, SourceAccess,
};
use crate::copy::convert::Format;
use crate::copy::sync::{Place, Step, steps};
use crate::copy::{CopyOptions, copy};
use crate::progress::{Progress, Style};
use crate::registry::configuration::Configuration;
use crate::registry::session::SessionOptions;
use crate::registry::upload::UploadOptions;
use crate::sys::signal;
use crate::transport::{Location, open};
use crate::warnings;

/// Copies all images of a repository, or of a directory of dir: images, to another registry or
/// directory.
///
/// An image is called at the destination as the last part of its name at the source; with --scoped
/// as the whole. Prints the name of each image copied.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: windlass-img sync --src docker --dest dir registry.example.com/app /media/usb"
)]
pub struct Sync {
    /// Where SOURCE is.
    #[arg(long, short, value_name = "TRANSPORT")]
    src: Transport,

    /// Where DESTINATION is.
    #[arg(long, short, value_name = "TRANSPORT")]
    dest: Transport,

    /// Call images as the whole of their names at the source.
    #[arg(long)]
    scoped: bool,

    /// All images of an index, not the one for this machine.
    #[arg(long, short)]
    all: bool,

    /// The form of the manifests at the destination: as they are unless given.
    #[arg(long, short, value_name = "FORMAT")]
    format: Option<Format>,

    /// Fail rather than change an image's digest.
    #[arg(long)]
    preserve_digests: bool,

    /// Go on with the others when an image can't be copied; fail at the end.
    #[arg(long)]
    keep_going: bool,

    /// Say what would be copied, and copy nothing.
    #[arg(long)]
    dry_run: bool,

    /// How to show what is going on.
    #[arg(long, value_name = "STYLE", default_value = "auto")]
    progress: Style,

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

    /// A repository (HOST/NAME), one image of it (HOST/NAME:TAG), or a directory.
    source: String,

    /// What names begin with (HOST or HOST/PATH), or a directory.
    destination: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Transport {
    /// A registry.
    Docker,
    /// A directory of dir: images.
    Dir,
}

impl Transport {
    fn place(self, text: &str) -> Place {
        match self {
            Transport::Docker => Place::Registry(text.to_owned()),
            Transport::Dir => Place::Directory(text.into()),
        }
    }
}

impl Sync {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        if self.src == Transport::Dir && self.dest == Transport::Dir {
            bail!("from one directory to another: cp does that");
        }
        let configuration = self.connection.configuration()?;
        let (reading, writing) = self.both_access.options(
            &self.source_access,
            &self.destination_access,
            &self.connection,
        )?;
        let (source, destination) = (
            self.src.place(&self.source),
            self.dest.place(&self.destination),
        );
        let steps = steps(&source, &destination, self.scoped, &configuration, &reading)
            .with_context(|| format!("can't sync {}", self.source))?;
        let mut failed = 0;
        for step in &steps {
            match self.copy(step, &configuration, &reading, &writing) {
                Ok(()) => writeln!(std::io::stdout(), "{}", step.destination)?,
                Err(error) if self.keep_going => {
                    signal::check()?;
                    failed += 1;
                    warnings::warn(|| format!("{error:#}"));
                }
                Err(error) => return Err(error),
            }
        }
        if failed > 0 {
            bail!("{failed} of {} images were not copied", steps.len());
        }
        Ok(())
    }

    fn copy(
        &self,
        step: &Step,
        configuration: &Configuration,
        reading: &SessionOptions,
        writing: &SessionOptions,
    ) -> Result<()> {
        if self.dry_run {
            return Ok(());
        }
        if let Location::Directory(path) = &step.destination
            && let Some(parent) = path.parent()
        {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("make directory {}", parent.display()))?;
        }
        let source = open::source(&step.source, configuration, reading)?;
        let upload = UploadOptions::default();
        let destination = open::destination(&step.destination, configuration, writing, upload)?;
        let options = CopyOptions {
            all: self.all,
            platform: self.platform.wanted(),
            format: self.format,
            preserve_digests: self.preserve_digests,
            ..CopyOptions::default()
        };
        let progress = Progress::new(self.progress);
        copy(&*source, &*destination, &options, &progress)
            .with_context(|| format!("can't copy {} to {}", step.source, step.destination))?;
        Ok(())
    }
}
