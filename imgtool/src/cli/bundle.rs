//! `bundle`: from an image of the store to a container's bundle.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use super::arguments::{ApplyArguments, Connection, StoreArguments};
use crate::bundle::create::{self, BundleRequest};
use crate::bundle::options::BundleOptions;
use crate::network::{Network, NetworkOptions};
use crate::sys::signal;

/// Makes a bundle for a container, out of an image of the store.
///
/// DIR/rootfs is an overlay of the image's layers, which are unpacked once and shared by all
/// containers, and of DIR/upper, where this container writes. After a reboot, mount mounts it again;
/// unbundle removes it. DIR must not exist, or be an empty directory; if anything fails, nothing is
/// left of it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples: windlass-img pull debian:13 && windlass-img bundle debian:13 /run/web && \
        windlass run --bundle /run/web web\n          \
        windlass-img bundle --read-only --tmpfs /run --memory 512m --cpus 1.5 --volume data:/srv \
        --env LANG=C debian:13 /run/job -- ls -l /srv"
)]
pub struct Bundle {
    /// Unpack the image into DIR/rootfs instead of mounting its layers: slower and larger, and
    /// works without root (with --rootless) and on any file system.
    #[arg(long)]
    flat: bool,

    #[command(flatten)]
    network: NetworkOptions,
    #[command(flatten, next_help_heading = "Unpacking")]
    apply: ApplyArguments,
    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    connection: Connection,

    /// The image: a name, or the beginning of its digest.
    #[arg(value_name = "IMAGE")]
    image: String,

    /// The bundle's directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    // Its COMMAND comes last on the command line.
    #[command(flatten)]
    options: BundleOptions,
}

impl Bundle {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        let context = format!("can't make a bundle of {}", self.image.escape_debug());
        let store = self.store.open()?;
        let image = store.find(&self.image, &self.connection.configuration()?)?;
        let apply = self.apply.options()?;
        let network = Network::find(&self.network, &store, apply.mapping.rootless)
            .with_context(|| context.clone())?;
        let request = BundleRequest {
            flat: self.flat,
            apply,
            options: self.options,
            network,
        };
        create::create(&store, &image, &self.directory, &request).context(context)?;
        let mut output = std::io::stdout().lock();
        for port in request.network.chosen_ports() {
            writeln!(output, "{port}")?;
        }
        Ok(())
    }
}
