//! `referrers`: signatures, bills of materials and whatever else belongs to an image.

use std::io::Write;

use anyhow::{Context, Result, bail};
use clap::Args;

use super::arguments::{Access, Connection};
use crate::layout::document::Index;
use crate::registry::Repository;
use crate::sys::signal;
use crate::transport::Location;

/// Lists what in a repository says that it belongs to an image (signatures, bills of materials),
/// as an image index.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img referrers docker://registry.example.com/debian:12")]
pub struct Referrers {
    /// Only those of this type.
    #[arg(long, value_name = "TYPE")]
    artifact_type: Option<String>,

    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    connection: Connection,

    /// docker://NAME[:TAG|@DIGEST].
    image: Location,
}

impl Referrers {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        let Location::Registry(text) = &self.image else {
            bail!("{}: only docker:// has referrers", self.image);
        };
        let configuration = self.connection.configuration()?;
        let endpoint = configuration.destination(&configuration.resolve(text)?)?;
        let options = self.access.options(&self.connection)?;
        let repository = Repository::new(&endpoint, &options)?;
        let context = || format!("can't list the referrers of {}", self.image);
        let digest = repository
            .resolve(&endpoint.name.version)
            .with_context(context)?
            .with_context(|| format!("there is no {}", self.image))?;
        let mut index = Index::empty();
        index.manifests = repository
            .referrers(&digest, self.artifact_type.as_deref())
            .with_context(context)?;
        writeln!(
            std::io::stdout(),
            "{}",
            serde_json::to_string_pretty(&index)?
        )?;
        Ok(())
    }
}
