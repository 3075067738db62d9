//! `list-tags`: what a repository holds.

use std::io::Write;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;

use super::arguments::{Access, Connection};
use crate::registry::Repository;
use crate::sys::signal;
use crate::transport::Location;

/// Lists the tags of a repository, as a JSON object.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img list-tags docker://registry.example.com/debian")]
pub struct ListTags {
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    connection: Connection,

    /// docker://NAME without tag or digest.
    repository: Location,
}

impl ListTags {
    pub(super) fn run(self) -> Result<()> {
        signal::note_requests_to_stop();
        let Location::Registry(text) = &self.repository else {
            bail!(
                "{}: only docker:// has repositories of tags",
                self.repository
            );
        };
        let configuration = self.connection.configuration()?;
        let name = configuration.resolve(text)?;
        if name.version.tag.is_some() || name.version.digest.is_some() {
            bail!(
                "{}: a repository is named without tag and digest",
                self.repository
            );
        }
        let options = self.access.options(&self.connection)?;
        let endpoint = configuration.destination(&name)?;
        let tags = Repository::new(&endpoint, &options)?
            .tags()
            .with_context(|| format!("can't list the tags of {}", self.repository))?;
        let shown = json!({ "Repository": name.without_version(), "Tags": tags });
        writeln!(
            std::io::stdout(),
            "{}",
            serde_json::to_string_pretty(&shown)?
        )?;
        Ok(())
    }
}
