//! Holds a container still while its root file system is read.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::container_record::ContainerRecord;
use super::remove::user_of;
use crate::runtime::Runtime;
use crate::warnings;

/// A container that we paused. It goes on when this is dropped.
#[derive(Debug)]
pub struct Paused {
    runtime: Runtime,
    id: String,
}

/// What a runtime's `list --format json` says of a container.
#[derive(Deserialize)]
struct Listed {
    id: String,
    status: String,
    bundle: std::path::PathBuf,
}

impl Paused {
    /// Pauses the container that runs in the bundle at `path`; nothing if none does, or if it is
    /// paused already.
    pub fn container_of(
        path: &Path,
        record: &ContainerRecord,
        runtime: impl FnOnce() -> Result<Runtime>,
    ) -> Result<Option<Self>> {
        let Some(process) = user_of(path, record)? else {
            return Ok(None);
        };
        let runtime = runtime()?;
        let program = runtime.program.display();
        let answer = runtime.call(&["list", "--format", "json"])?;
        // `null` for none.
        let listed: Option<Vec<Listed>> = serde_json::from_slice(&answer)
            .with_context(|| format!("{program} list: its answer"))?;
        let is_ours = |listed: &Listed| {
            std::fs::canonicalize(&listed.bundle).is_ok_and(|bundle| bundle == path)
        };
        let mut listed = listed.unwrap_or_default().into_iter();
        let Some(container) = listed.find(is_ours) else {
            bail!(
                "process {process} runs in it, but {program} knows no container of it to pause: \
                 say by --runtime and --runtime-root who does, or --pause=false"
            );
        };
        if container.status != "running" {
            return Ok(None);
        }
        runtime.call(&["pause", &container.id])?;
        Ok(Some(Paused {
            runtime,
            id: container.id,
        }))
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        if let Err(error) = self.runtime.call(&["resume", &self.id]) {
            let id = &self.id;
            warnings::warn(|| format!("container {id} is still paused: {error:#}"));
        }
    }
}
