//! `volume inspect`.

use std::io::Write as _;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::{Value, json};

use crate::cli::arguments::StoreArguments;
use crate::store::volumes::{Users, Volume, VolumeName, Volumes};

/// Describes volumes: a JSON array, with Docker's keys and the bundles that use each.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img volume inspect data | jq -r '.[0].Mountpoint'")]
pub struct Inspect {
    #[command(flatten)]
    store: StoreArguments,

    /// The volumes.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<VolumeName>,
}

impl Inspect {
    pub(super) fn run(self) -> Result<()> {
        let store = self.store.open()?;
        let volumes = Volumes::open(store.layout().path())?;
        let users = store.users_of_volumes()?;
        let mut all = Vec::new();
        for name in &self.names {
            let volume = volumes.find(name)?;
            let volume = volume.with_context(|| format!("no volume {name} (see volume ls)"))?;
            let mut described = describe(&volume, &users);
            described["Size"] = volume.size()?.into();
            all.push(described);
        }
        writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&all)?)?;
        Ok(())
    }
}

/// A volume for programs.
pub(super) fn describe(volume: &Volume, users: &Users) -> Value {
    json!({
        "Name": volume.name,
        "Driver": "local",
        "Mountpoint": volume.data(),
        "CreatedAt": volume.record.created_at,
        "Labels": volume.record.labels,
        "Anonymous": volume.record.anonymous,
        "Bundles": users.get(&volume.name).map_or(&[][..], |bundles| bundles),
    })
}
