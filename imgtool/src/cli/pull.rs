//! `pull`: from a registry into the store.

use std::io::Write;

use anyhow::{Context, Result};
use clap::Args;

use super::arguments::{Access, Connection, MemoryArguments, PlatformArguments, StoreArguments};
use crate::copy::CopyOptions;
use crate::layer::limits::Limits;
use crate::layout::platform::WantedPlatform;
use crate::progress::{Progress, Style};
use crate::sys::signal;
use crate::transport::registry::RegistrySource;

/// Fetches an image from its registry into the store.
///
/// What was fetched before is not fetched again, and a pull that was broken off goes on where it
/// was. Prints the digest that the name leads to.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples: windlass-img pull registry.example.com/debian:12
          windlass-img pull --unpack registry.example.com/debian:12

The host in a name is the server that is asked, and nothing is put before the path (no 'library/').
A registry whose names begin with another host than its API answers at, as Docker Hub's do, takes a
rule in registries.conf; without it the names' host is asked, which has no such image:

  [[registry]]
  prefix = \"HOST-IN-NAMES\"
  location = \"HOST-OF-THE-API\"

Credentials are looked up for HOST-OF-THE-API then: log in there. What --creds, --username,
--registry-token and --cert-dir give goes to either host, never to a mirror on another one.")]
pub struct Pull {
    /// All images of an index, not the one for this machine.
    #[arg(long, short)]
    all: bool,

    /// Unpack the layers too, each while others still come: bundle then has nothing left to do.
    #[arg(long, conflicts_with = "all")]
    unpack: bool,

    /// How to show what is going on.
    #[arg(long, value_name = "STYLE", default_value = "auto")]
    progress: Style,

    /// Show nothing: --progress none.
    #[arg(long, short, conflicts_with = "progress")]
    quiet: bool,

    #[command(flatten)]
    platform: PlatformArguments,
    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    connection: Connection,

    #[command(flatten)]
    memory: MemoryArguments,

    /// HOST/NAME[:TAG][@DIGEST]; a short name where registries.conf says what it stands for.
    image: String,
}

impl Pull {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        self.memory.apply();
        let configuration = self.connection.configuration()?;
        let options = self.access.options(&self.connection)?;
        let name = self.image.strip_prefix("docker://").unwrap_or(&self.image);
        let name = configuration.resolve(name)?.with_default_tag();
        let platform = self.platform.wanted();
        let choice = CopyOptions {
            all: self.all,
            // The index's name leads to the image for this machine: to no other.
            keep_index: platform == WantedPlatform::default(),
            platform,
            ..CopyOptions::default()
        };
        let style = if self.quiet {
            Style::None
        } else {
            self.progress
        };
        let context = || format!("can't pull {name}");
        let source = RegistrySource::open(&name, &configuration, &options).with_context(context)?;
        let unpack = self.unpack.then(Limits::default);
        let top = self
            .store
            .open()?
            .pull(
                &source,
                &name.to_string(),
                &choice,
                &Progress::new(style),
                unpack,
            )
            .with_context(context)?;
        writeln!(std::io::stdout(), "{}", top.digest)?;
        Ok(())
    }
}
