//! A process that outlives a killed build as long as it takes to end its container, and to remove
//! what the build had on disk.
//!
//! It holds one end of a pipe whose other end only the build has: when that is closed, the build has
//! ended, and if it ended well there is nothing to do any more.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::build::steps::layer::{remove_tree, unmount_step};

/// The hidden verb that is the guard.
pub const VERB: &str = "build-guard";

/// A guard at work.
#[derive(Debug)]
pub struct Guard(Child);

impl Guard {
    /// Starts one for the build that works in `work`.
    pub fn start(shim: &Path, work: &Path) -> Result<Self> {
        let program = std::env::current_exe().context("find our own program")?;
        let child = Command::new(program)
            .arg(VERB)
            .arg(shim)
            .arg(work)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // Not the terminal's: its ^C is for the build.
            .process_group(0)
            .spawn()
            .context("execute our own program as the build's guard")?;
        Ok(Guard(child))
    }

    /// All is in order: it goes.
    pub fn dismiss(mut self) -> Result<()> {
        if let Some(mut pipe) = self.0.stdin.take() {
            pipe.write_all(b"x").context("dismiss the build's guard")?;
        }
        self.0.wait().context("wait for the build's guard")?;
        Ok(())
    }
}

/// What the guard does: waits for the build's end, and clears up unless it was dismissed.
pub fn watch(shim: &Path, work: &Path) -> Result<()> {
    let mut said = [0; 1];
    if io::stdin().read(&mut said).context("read from the build")? == 1 {
        return Ok(());
    }
    let private = private_directory(work);
    for name in containers(&state_directory(&private)) {
        remove_container(shim, &private, &name)?;
    }
    for entry in std::fs::read_dir(work).context("read the build's directory")? {
        let entry = entry.context("read the build's directory")?;
        unmount_step(&entry.path())?;
    }
    rustix::mount::unmount(&private, rustix::mount::UnmountFlags::DETACH)
        .with_context(|| format!("umount {}", private.display()))?;
    remove_tree(work)
}

/// Where a build that works in `work` has its tmpfs.
pub fn private_directory(work: &Path) -> PathBuf {
    work.join("private")
}

/// Where the shim keeps its records.
pub fn state_directory(private: &Path) -> PathBuf {
    private.join("state")
}

/// Ends a container, and removes what shim and runtime have of it.
pub fn remove_container(shim: &Path, private: &Path, id: &str) -> Result<()> {
    let output = Command::new(shim)
        .arg("--state")
        .arg(state_directory(private))
        .args(["rm", "--force", id])
        .stdin(Stdio::null())
        .process_group(0)
        .output()
        .with_context(|| format!("execute {}", shim.display()))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("can't end container {id}: {}", complaint.trim());
    }
    Ok(())
}

fn containers(state: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(state).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("windlass-build-"))
        .collect()
}
