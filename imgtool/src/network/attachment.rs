//! How a bundle's containers are to be connected, and how one of them is.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::cni::configuration::Configuration;
use super::cni::plugin::Endpoint;
use super::cni::plugin_path::PluginPath;
use super::cni::result::Attached;
use super::hosts::AddedHost;
use super::publish::PortMapping;
use super::resolver::Wishes;
use crate::boot::boot_id;

/// The interface in a container, as everywhere.
pub const INTERFACE: &str = "eth0";

/// What the hooks of a bundle have to know: `network.json` beside its config.json. Nothing that they
/// do depends on their environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Connection {
    /// The directory of [`super::networks::Networks`].
    pub networks: PathBuf,
    /// Where the plugins are.
    pub plugin_path: Vec<PathBuf>,
    /// The network, as it was described when the bundle was made.
    pub network: Value,
    /// Its published ports.
    pub ports: Vec<PortMapping>,
    /// The container's host name.
    pub hostname: String,
    /// The bundle's file that is /etc/hosts.
    pub hosts: PathBuf,
    /// What the caller adds to that.
    pub added_hosts: Vec<AddedHost>,
    /// The bundle's file that is /etc/resolv.conf.
    pub resolv_conf: PathBuf,
    /// What the caller says of name servers.
    pub resolver: Wishes,
}

/// A container that is attached, or that was begun to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attachment {
    /// Its id.
    pub container: String,
    /// Its first process.
    pub process: Process,
    /// What was asked for.
    pub connection: Connection,
    /// What the network's plugins have answered; null until they have.
    pub result: Value,
}

/// A process, whichever comes to have its number later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it began, in clock ticks since the boot (proc_pid_stat(5)).
    pub start_time: u64,
    /// Which boot (/proc/sys/kernel/random/boot_id).
    pub boot: String,
}

impl Process {
    /// The one that has this number now.
    pub fn now(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let stat = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        // The second field, in parentheses, may hold anything; the state is the third.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let mut fields = after_name.split_whitespace();
        if matches!(fields.next(), Some("Z" | "X")) {
            bail!("process {pid} has ended");
        }
        let start_time = fields
            .nth(18)
            .and_then(|field| field.parse().ok())
            .with_context(|| format!("{path} has no start time"))?;
        let boot = boot_id()?;
        Ok(Process {
            pid,
            start_time,
            boot,
        })
    }

    /// Whether it is still there.
    pub fn is_alive(&self) -> bool {
        Process::now(self.pid).is_ok_and(|now| now == *self)
    }

    /// Whether the machine was started anew since.
    pub fn is_of_another_boot(&self) -> bool {
        boot_id().is_ok_and(|boot| boot != self.boot)
    }
}

impl Connection {
    /// Reads it from a bundle.
    pub fn read(path: &Path) -> Result<Self> {
        let json = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&json).with_context(|| format!("{}", path.display()))
    }

    /// The network.
    pub fn configuration(&self) -> Result<Configuration> {
        Configuration::parse(&serde_json::to_vec(&self.network)?).context("the network")
    }

    /// Where its plugins are.
    pub fn plugin_path(&self) -> Result<PluginPath> {
        PluginPath::new(&self.plugin_path)
    }

    /// The arguments of the capabilities that we have (CNI's CONVENTIONS.md).
    pub fn capabilities(&self) -> Map<String, Value> {
        let mut capabilities = Map::new();
        if !self.ports.is_empty() {
            capabilities.insert("portMappings".to_owned(), json!(self.ports));
        }
        capabilities
    }
}

impl Attachment {
    /// The plugins' answer.
    pub fn attached(&self) -> Attached {
        Attached(self.result.clone())
    }

    /// The container, as plugins know it.
    pub fn endpoint(&self, namespace: Option<&Path>) -> Endpoint {
        Endpoint {
            container: self.container.clone(),
            namespace: namespace.map(|path| path.to_string_lossy().into_owned()),
            interface: INTERFACE.to_owned(),
        }
    }

    /// Whether both are in one network, so that they reach each other.
    pub fn shares_network(&self, other: &Attachment) -> bool {
        self.connection.network["name"] == other.connection.network["name"]
    }
}
