//! `volume ls`.

use std::io::Write as _;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::inspect::describe;
use crate::cli::arguments::StoreArguments;
use crate::cli::table;
use crate::store::volumes::Volumes;

/// Lists the volumes and how many bundles use each.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img volume ls --json | jq -r '.[].Mountpoint'")]
pub struct List {
    /// A JSON array, for programs.
    #[arg(long)]
    json: bool,

    /// The volumes' names alone.
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,

    #[command(flatten)]
    store: StoreArguments,
}

impl List {
    pub(super) fn run(self) -> Result<()> {
        let store = self.store.open()?;
        let volumes = Volumes::open(store.layout().path())?;
        let users = store.users_of_volumes()?;
        let all = volumes.all()?;
        let mut output = std::io::stdout().lock();
        if self.quiet {
            for volume in &all {
                writeln!(output, "{}", volume.name)?;
            }
            return Ok(());
        }
        if self.json {
            let all: Vec<Value> = all.iter().map(|volume| describe(volume, &users)).collect();
            writeln!(output, "{}", serde_json::to_string_pretty(&all)?)?;
            return Ok(());
        }
        let mut rows = vec![["NAME", "CREATED", "BUNDLES"].map(str::to_owned)];
        for volume in &all {
            let age = table::age(&volume.record.created_at);
            let bundles = users.get(&volume.name).map_or(0, Vec::len);
            rows.push([volume.name.to_string(), age, bundles.to_string()]);
        }
        table::write(&mut output, &rows)?;
        Ok(())
    }
}
