//! The bundles: config.json as ctr writes it, and a root file system with this program in it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::bundle;

/// This program's path in the container.
const PROGRAM: &str = "/program";

/// Where all bundles are, and what they share.
#[derive(Debug)]
pub struct Place {
    /// A directory of our own.
    pub directory: PathBuf,
}

/// One container's bundle.
#[derive(Debug)]
pub struct Bundle {
    /// The container's id.
    pub id: String,
    /// The directory that holds config.json.
    pub directory: PathBuf,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// The container's process, as config.json has it.
    pub process: Value,
}

/// What the container is to do.
#[derive(Debug, Clone, Copy)]
pub enum Task {
    /// Write so many bytes of the pattern to each stream, and end at once.
    Write(usize),
    /// Write so many bytes of the first stream's pattern to a terminal, and end at once.
    WriteToTerminal(usize),
    /// Write so many bytes of lines of 100 bytes to standard output.
    Lines(usize),
    /// Nothing, until it is killed.
    Idle,
    /// End at once.
    End,
}

impl Task {
    /// The command line.
    pub fn arguments(self) -> Vec<String> {
        let (verb, size) = match self {
            Task::Write(size) => ("container-writes", size),
            Task::WriteToTerminal(size) => ("container-writes-to-terminal", size),
            Task::Lines(size) => ("container-writes-lines", size),
            Task::Idle => return vec![bundle::SLEEP.into()],
            Task::End => return vec![bundle::TRUE.into()],
        };
        vec![PROGRAM.into(), verb.into(), size.to_string()]
    }
}

impl Place {
    /// Makes the root file system below `directory`.
    pub fn make(directory: &Path) -> Result<Self> {
        let rootfs = directory.join("rootfs");
        bundle::make_rootfs(&rootfs, &[bundle::config("containerd-ctr")?])?;
        let program = std::env::current_exe().context("our own program")?;
        fs::copy(program, rootfs.join(PROGRAM.trim_start_matches('/')))?;
        Ok(Place {
            directory: directory.to_owned(),
        })
    }

    /// Writes the bundle of a container; `pod` is its pod's sandbox.
    pub fn bundle(
        &self,
        id: &str,
        task: Task,
        terminal: bool,
        pod: Option<&str>,
    ) -> Result<Bundle> {
        let mut config = bundle::config("containerd-ctr")?;
        config["root"] = json!({"path": self.directory.join("rootfs"), "readonly": true});
        config["process"]["terminal"] = json!(terminal);
        config["process"]["args"] = json!(task.arguments());
        config["linux"]["cgroupsPath"] = json!(format!("/windlass-shim-bench/{id}"));
        if let Some(pod) = pod {
            config["annotations"]["io.kubernetes.cri.sandbox-id"] = json!(pod);
        }
        // Making and ending a network namespace waits for the whole kernel.
        if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
            namespaces.retain(|namespace| namespace["type"] != "network");
        }
        let directory = bundle::write(self.directory.join("bundles").join(id), &config)?;
        Ok(Bundle {
            id: id.to_owned(),
            directory,
            terminal,
            process: config["process"].clone(),
        })
    }
}

impl Bundle {
    /// A file with the process of an exec that does `task`.
    pub fn process_file(&self, task: Task) -> Result<PathBuf> {
        let path = self.directory.join("process.json");
        let mut process = self.process.clone();
        process["args"] = json!(task.arguments());
        fs::write(&path, process.to_string())?;
        Ok(path)
    }

    /// Removes it.
    pub fn remove(&self) -> Result<()> {
        fs::remove_dir_all(&self.directory)
            .with_context(|| format!("remove {}", self.directory.display()))
    }
}
