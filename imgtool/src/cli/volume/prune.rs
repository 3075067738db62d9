//! `volume prune`.

use std::io::Write as _;

use anyhow::Result;
use clap::Args;

use crate::cli::arguments::StoreArguments;
use crate::store::volumes::Volumes;

/// Removes volumes that no bundle uses and that nobody has named.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img volume prune --all")]
pub struct Prune {
    /// Volumes with names too.
    #[arg(long, short)]
    all: bool,

    #[command(flatten)]
    store: StoreArguments,
}

impl Prune {
    pub(super) fn run(self) -> Result<()> {
        let store = self.store.open()?;
        let volumes = Volumes::open_to_remove(store.layout().path())?;
        let users = store.users_of_volumes()?;
        let mut output = std::io::stdout().lock();
        for volume in volumes.all()? {
            if users.contains_key(&volume.name) || !(self.all || volume.record.anonymous) {
                continue;
            }
            volumes.remove(&volume)?;
            writeln!(output, "{}", volume.name)?;
        }
        Ok(())
    }
}
