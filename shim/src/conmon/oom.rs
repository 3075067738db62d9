//! Being out of memory: the files that say that a container was, and the supervisor's own protection.

use std::fs::OpenOptions;
use std::path::Path;

use anyhow::{Context, Result};

use super::options::Options;

const OWN_SCORE: &str = "/proc/self/oom_score_adj";

/// Leaves an empty file `oom` where callers look for it: podman in the bundle, CRI-O in the directory
/// for what persists.
pub fn mark(options: &Options, bundle: Option<&Path>) -> Result<()> {
    let persistent = options.persist_dir.as_deref().map(Path::new);
    for directory in [persistent, bundle].into_iter().flatten() {
        let path = directory.join("oom");
        let mut file = OpenOptions::new();
        file.write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("Failed to write oom file {}", path.display()))?;
    }
    Ok(())
}

/// That the kernel spares this process when it looks for one to kill (proc_pid_oom_score_adj(5)).
/// Children that are there already aren't concerned.
#[derive(Debug)]
pub struct Spared {
    before: String,
}

impl Spared {
    /// Asks for it. Without the rights to it this process stays as killable as it was.
    pub fn ask() -> Self {
        let before = std::fs::read_to_string(OWN_SCORE).unwrap_or_default();
        let _ = std::fs::write(OWN_SCORE, "-1000");
        Spared { before }
    }
}

impl Drop for Spared {
    /// Back to what it was, for those that are started from now on.
    fn drop(&mut self) {
        let _ = std::fs::write(OWN_SCORE, &self.before);
    }
}
