//! `volume rm`.

use std::io::Write as _;

use anyhow::{Result, bail};
use clap::Args;

use crate::cli::arguments::StoreArguments;
use crate::store::volumes::{VolumeName, Volumes};

/// Removes volumes and what is in them. One that a bundle uses stays.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img volume rm data")]
pub struct Remove {
    /// It is fine if there is no such volume.
    #[arg(long, short)]
    force: bool,

    #[command(flatten)]
    store: StoreArguments,

    /// The volumes.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<VolumeName>,
}

impl Remove {
    pub(super) fn run(self) -> Result<()> {
        let store = self.store.open()?;
        let volumes = Volumes::open_to_remove(store.layout().path())?;
        let users = store.users_of_volumes()?;
        let mut found = Vec::new();
        for name in &self.names {
            if let Some([bundle, ..]) = users.get(name).map(Vec::as_slice) {
                bail!(
                    "volume {name} is used by the bundle {}: unbundle it first",
                    bundle.display()
                );
            }
            match volumes.find(name)? {
                Some(volume) => found.push(volume),
                None if self.force => {}
                None => bail!("no volume {name} (see volume ls)"),
            }
        }
        let mut output = std::io::stdout().lock();
        for volume in &found {
            // Named twice, it has gone already.
            if volumes.find(&volume.name)?.is_some() {
                volumes.remove(volume)?;
                writeln!(output, "{}", volume.name)?;
            }
        }
        Ok(())
    }
}
