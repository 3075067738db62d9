//! `untag`: takes names away from images of the store.

use anyhow::{Result, bail};
use clap::Args;

use super::arguments::{Connection, StoreArguments};

/// Takes names away from images of the store. The images stay, even without a name, until gc.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img untag registry.example.com/team/app:old")]
pub struct Untag {
    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    connection: Connection,

    /// The names.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

impl Untag {
    pub(super) fn run(self) -> Result<()> {
        let configuration = self.connection.configuration()?;
        let store = self.store.open()?;
        for name in &self.names {
            let image = store.find(name, &configuration)?;
            if !image.by_name {
                bail!("'{name}' is no name, but the beginning of a digest (see rm)");
            }
            store.remove_names(&image.names[..1])?;
        }
        Ok(())
    }
}
