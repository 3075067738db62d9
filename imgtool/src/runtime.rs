//! The runtime that has a container, asked by its public command line.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::programs;

/// A runtime with runc's command line.
#[derive(Debug, Clone)]
pub struct Runtime {
    /// Its program.
    pub program: PathBuf,
    /// Its state directory, unless it is the default one.
    pub root: Option<PathBuf>,
}

impl Runtime {
    /// The caller's, or else windlass.
    pub fn find(program: Option<&Path>, root: Option<&Path>) -> Result<Self> {
        let program = program.unwrap_or(Path::new(programs::RUNTIME));
        Ok(Runtime {
            program: programs::find(program).context("--runtime")?,
            root: root.map(Path::to_owned),
        })
    }

    /// Has it do something; returns what it says of that. An error if it ends with another status
    /// than 0, with its own words.
    pub fn call(&self, arguments: &[&str]) -> Result<Vec<u8>> {
        let program = self.program.display();
        let mut command = Command::new(&self.program);
        if let Some(root) = &self.root {
            command.arg("--root").arg(root);
        }
        let output = command
            .args(arguments)
            .output()
            .with_context(|| format!("execute {program}"))?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            bail!("{program} {}: {}", arguments.join(" "), message.trim());
        }
        Ok(output.stdout)
    }
}
