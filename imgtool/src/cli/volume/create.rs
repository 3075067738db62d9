//! `volume create`.

use std::io::Write as _;

use anyhow::Result;
use clap::Args;

use crate::bundle::options::Label;
use crate::cli::arguments::StoreArguments;
use crate::store::volumes::{VolumeName, Volumes};

/// Makes a volume and prints its name. It is fine if it is there already; then its labels stay.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img volume create --label owner=web data")]
pub struct Create {
    /// A note about the volume; may be repeated.
    #[arg(long, short = 'l', value_name = "NAME[=VALUE]")]
    label: Vec<Label>,

    #[command(flatten)]
    store: StoreArguments,

    /// The volume's name; one that nobody else has unless given.
    name: Option<VolumeName>,
}

impl Create {
    pub(super) fn run(self) -> Result<()> {
        let volumes = Volumes::open(self.store.open()?.layout().path())?;
        let volume = match &self.name {
            Some(name) => volumes.find_or_create(name, &self.label)?,
            None => volumes.create_anonymous(&self.label)?,
        };
        writeln!(std::io::stdout(), "{}", volume.name)?;
        Ok(())
    }
}
