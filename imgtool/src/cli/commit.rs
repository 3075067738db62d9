//! `commit`: what a container wrote, into an image.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{ArgAction, Args};

use super::arguments::{ChangeArguments, CompressArguments, MemoryArguments, RuntimeArguments};
use crate::bundle::commit::{self, CommitOptions};
use crate::bundle::container_bundle::ContainerBundle;
use crate::bundle::pause::Paused;
use crate::date;
use crate::store::name::stored_name;
use crate::sys::signal;

/// Makes an image of a bundle: its image, with what the container wrote as a new layer.
///
/// Prints the image's digest. What is mounted into the container (volumes, binds, tmpfs, /etc/hosts) is
/// none of it. The image's configuration is changed by --change alone, whatever the bundle was made
/// with.
/// With SOURCE_DATE_EPOCH set, the same tree gives the same image.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: windlass-img commit --message 'with nginx' --change 'CMD [\"nginx\"]' /run/web localhost/web:2"
)]
pub struct Commit {
    /// Who made the change.
    #[arg(short, long, value_name = "NAME")]
    author: Option<String>,

    /// A note about the change.
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,

    #[command(flatten)]
    change: ChangeArguments,

    /// Whether to pause the container, if it runs, so that nothing changes meanwhile.
    #[arg(short, long, value_name = "BOOL", action = ArgAction::Set, default_value_t = true,
        default_missing_value = "true", num_args = 0..=1, require_equals = true)]
    pause: bool,

    #[command(flatten)]
    compress: CompressArguments,
    #[command(flatten)]
    runtime: RuntimeArguments,

    #[command(flatten)]
    memory: MemoryArguments,

    /// The bundle's directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// The new image's name.
    #[arg(value_name = "NAME", value_parser = checked_name)]
    name: String,
}

fn checked_name(text: &str) -> Result<String, String> {
    stored_name(text).map_err(|error| format!("{error:#}"))
}

impl Commit {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        self.memory.apply();
        let context = format!("can't commit {}", self.directory.display());
        let digest = self.commit().context(context)?;
        writeln!(std::io::stdout(), "{digest}")?;
        Ok(())
    }

    fn commit(self) -> Result<crate::layout::digest::Digest> {
        let options = CommitOptions {
            author: self.author,
            message: self.message,
            created: date::now_or_epoch()?,
            compression: self.compress.chosen(),
            latest_time: date::source_date_epoch()?,
        };
        let bundle = ContainerBundle::open(&self.directory)?;
        let store = bundle.store()?;
        let _paused = if self.pause {
            Paused::container_of(&bundle.path, &bundle.record, || self.runtime.runtime())?
        } else {
            None
        };
        commit::commit(&bundle, &store, &self.name, &options, |edit| {
            self.change.make(edit)
        })
    }
}
