//! `--sysctl`: settings of the kernel for the container's namespaces.

use std::str::FromStr;

use anyhow::{Result, bail};
use clap::Args;

use crate::bundle::runtime_config::RuntimeConfig;

/// Settings of the kernel.
#[derive(Debug, Clone, Default, Args)]
pub struct SysctlOptions {
    /// A setting of the container's namespaces, such as net.ipv4.ip_forward=1; may be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    sysctl: Vec<Sysctl>,
}

/// What belongs to an ipc namespace; of `net.` and `fs.mqueue.` all does (namespaces(7)).
const OF_IPC: [&str; 8] = [
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.shm_rmid_forced",
];

/// What Docker sets in every network namespace of its own: the container's network is its own, so
/// anybody in it may listen on low ports and send pings.
const OF_OWN_NETWORK: [(&str, &str); 2] = [
    ("net.ipv4.ip_unprivileged_port_start", "0"),
    ("net.ipv4.ping_group_range", "0 2147483647"),
];

#[derive(Debug, Clone, PartialEq, Eq)]
struct Sysctl {
    name: String,
    value: String,
}

impl FromStr for Sysctl {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some((name, value)) = text.split_once('=') else {
            bail!("a setting is NAME=VALUE, such as net.ipv4.ip_forward=1");
        };
        let known =
            OF_IPC.contains(&name) || ["net.", "fs.mqueue."].iter().any(|of| name.starts_with(of));
        if !known || name.split('.').any(|part| part.is_empty() || part == "..") {
            bail!(
                "not a setting of a namespace, so it would be the whole host's; net.*, fs.mqueue.* and {} are",
                OF_IPC.join(", ")
            );
        }
        Ok(Sysctl {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }
}

impl SysctlOptions {
    /// Writes the settings into config.json.
    pub(super) fn apply(&self, config: &mut RuntimeConfig) {
        for Sysctl { name, value } in &self.sysctl {
            config.linux.sysctl.insert(name.clone(), value.clone());
        }
    }
}

/// Adds Docker's own settings to a container whose network namespace is new.
pub(super) fn open_own_network(config: &mut RuntimeConfig) {
    for (name, value) in OF_OWN_NETWORK {
        let setting = config.linux.sysctl.entry(name.to_owned());
        setting.or_insert_with(|| value.to_owned());
    }
}

/// Refuses to change the settings of the host's own network.
pub(super) fn spare_host_network(config: &RuntimeConfig) -> Result<()> {
    let mut names = config.linux.sysctl.keys();
    match names.find(|name| name.starts_with("net.")) {
        Some(name) => bail!("--sysctl {name}: it would be the host's, whose network it is"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{applied, refused};

    #[test]
    fn settings_of_namespaces() {
        let config = applied(&[
            "--sysctl=net.ipv4.ip_forward=1",
            "--sysctl=kernel.sem=1 2 3 4",
        ]);
        assert_eq!(config["linux"]["sysctl"]["net.ipv4.ip_forward"], "1");
        assert_eq!(config["linux"]["sysctl"]["kernel.sem"], "1 2 3 4");
        for bad in [
            "kernel.panic=1",
            "vm.swappiness=1",
            "net..x=1",
            "net.ipv4",
            "=1",
            "netx=1",
        ] {
            refused(&["--sysctl", bad], "--sysctl");
        }
    }
}
