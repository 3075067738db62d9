//! `--network container:ID`: the network, and the files that belong to it, of another container.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::attachment::Process;
use super::networks::Networks;
use crate::runtime::Runtime;

/// What is shared with another container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Its network namespace.
    pub namespace: PathBuf,
    /// Whose namespace that is, where its path is that of a process, whose number may come to be
    /// another's.
    pub process: Option<Process>,
    /// Its host name.
    pub hostname: Option<String>,
    /// The files that are its /etc/hosts and /etc/resolv.conf, if they are mounted into it.
    pub hosts: Option<PathBuf>,
    /// See there.
    pub resolv_conf: Option<PathBuf>,
}

#[derive(Deserialize)]
struct State {
    status: String,
    #[serde(default)]
    pid: u32,
    bundle: PathBuf,
}

/// What we look for in its config.json.
#[derive(Deserialize)]
struct Config {
    hostname: Option<String>,
    #[serde(default)]
    mounts: Vec<Mount>,
}

#[derive(Deserialize)]
struct Mount {
    destination: PathBuf,
    source: Option<PathBuf>,
    #[serde(default)]
    options: Vec<String>,
}

/// Looks at the container as its runtime knows it.
pub fn join(container: &str, runtime: &Runtime, networks: &Networks) -> Result<Joined> {
    let state = state(container, runtime)?;
    if !matches!(state.status.as_str(), "created" | "running" | "paused") || state.pid == 0 {
        bail!(
            "container {container} is {}: it has no network to share",
            state.status
        );
    }
    // The one that is held can't come to be another's, unlike that of a process's number.
    let held = match networks.attachment(container)? {
        Some(attachment) if attachment.process.pid == state.pid => networks.namespace(container),
        _ => None,
    };
    let path = state.bundle.join("config.json");
    let config: Config = std::fs::read(&path)
        .map_err(anyhow::Error::from)
        .and_then(|json| Ok(serde_json::from_slice(&json)?))
        .with_context(|| format!("read {} of container {container}", path.display()))?;
    let source_of = |destination: &str| {
        let mut binds = config.mounts.iter().filter(|mount| {
            mount.destination == Path::new(destination)
                && mount
                    .options
                    .iter()
                    .any(|option| matches!(option.as_str(), "bind" | "rbind"))
        });
        let source = binds.next_back()?.source.as_ref()?;
        Some(state.bundle.join(source))
    };
    let process = match held {
        Some(_) => None,
        None => Some(Process::now(state.pid)?),
    };
    Ok(Joined {
        namespace: held.unwrap_or_else(|| format!("/proc/{}/ns/net", state.pid).into()),
        process,
        hosts: source_of("/etc/hosts"),
        resolv_conf: source_of("/etc/resolv.conf"),
        hostname: config.hostname,
    })
}

fn state(container: &str, runtime: &Runtime) -> Result<State> {
    if container.is_empty() || container.starts_with('-') {
        bail!("'{container}' is no container's id");
    }
    let answer = runtime.call(&["state", container])?;
    serde_json::from_slice(&answer).with_context(|| {
        let program = runtime.program.display();
        format!("{program} state {container}: its answer")
    })
}
