//! `diff`: what a container has changed.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;

use super::arguments::MemoryArguments;
use crate::bundle::container_bundle::ContainerBundle;
use crate::bundle::diff::{ChangeKind, changes};
use crate::layer::path::ImagePath;

/// Shows what a container has changed of its image, as docker diff does: A for what is new, C for what
/// was changed (or is a directory in which something was), D for what is gone.
///
/// What is mounted into the container is none of it.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img diff /run/web")]
pub struct Diff {
    /// A JSON object for programs: lists of paths by "added", "changed" and "deleted".
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    memory: MemoryArguments,

    /// The bundle's directory.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Diff {
    pub(super) fn run(self) -> Result<()> {
        self.memory.apply();
        let mut changes = ContainerBundle::open(&self.directory)
            .and_then(|bundle| changes(&bundle))
            .with_context(|| format!("can't compare bundle {}", self.directory.display()))?;
        let changes = changes.sorted();
        let mut output = std::io::stdout().lock();
        if self.json {
            let paths = |wanted: ChangeKind| -> Vec<String> {
                let wanted = changes.iter().filter(|(_, kind)| *kind == wanted);
                wanted.map(|(path, _)| text(path)).collect()
            };
            let shown = json!({
                "added": paths(ChangeKind::Added),
                "changed": paths(ChangeKind::Changed),
                "deleted": paths(ChangeKind::Deleted),
            });
            writeln!(output, "{}", serde_json::to_string_pretty(&shown)?)?;
            return Ok(());
        }
        for (path, kind) in changes {
            let letter = match kind {
                ChangeKind::Added => 'A',
                ChangeKind::Changed => 'C',
                ChangeKind::Deleted => 'D',
            };
            // Escaped: a container chooses its names, and this goes to a terminal.
            writeln!(output, "{letter} {path}")?;
        }
        Ok(())
    }
}

fn text(path: &ImagePath) -> String {
    format!("/{}", String::from_utf8_lossy(path.as_bytes()))
}
