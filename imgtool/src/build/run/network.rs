//! A RUN's network.

use std::path::Path;

use anyhow::{Context, Result};

use super::config::HOSTNAME;
use crate::bundle::runtime_config::{Mount, RuntimeConfig};
use crate::network::{Network, NetworkMode, NetworkOptions};
use crate::store::Store;

/// What a step is connected to.
#[derive(Debug)]
pub enum StepNetwork {
    /// All that the host is.
    Host,
    /// Nothing.
    None,
    /// A network of containers.
    Own(Box<Network>),
}

impl StepNetwork {
    /// Finds out what is meant, and whether this host has what that needs.
    pub fn find(mode: &NetworkMode, store: &Store) -> Result<Self> {
        Ok(match mode {
            NetworkMode::Host => StepNetwork::Host,
            NetworkMode::None => StepNetwork::None,
            mode => {
                let options = NetworkOptions {
                    network: Some(mode.clone()),
                    ..NetworkOptions::default()
                };
                StepNetwork::Own(Box::new(Network::find(&options, store, false)?))
            }
        })
    }

    /// Says so in config.json; the files that it needs are written to `directory`.
    pub(super) fn configure(&self, config: &mut RuntimeConfig, directory: &Path) -> Result<()> {
        match self {
            StepNetwork::Own(network) => network.configure_step(config, directory)?,
            StepNetwork::None => copy_hosts_files(directory)?,
            StepNetwork::Host => {
                let namespaces = &mut config.linux.namespaces;
                namespaces.retain(|namespace| namespace.kind != "network");
                copy_hosts_files(directory)?;
            }
        }
        for name in FILES {
            let path = directory.join(name);
            let source = path.to_str().context("the store's path is not UTF-8")?;
            let target = format!("/etc/{name}");
            let mount = Mount::new(&target, "bind", source, &["bind", "ro"]);
            config.mounts.push(mount);
        }
        Ok(())
    }
}

const FILES: [&str; 2] = ["hosts", "resolv.conf"];

/// `hosts` and `resolv.conf`, as the host has them.
fn copy_hosts_files(directory: &Path) -> Result<()> {
    for name in FILES {
        let mut content = match std::fs::read_to_string(Path::new("/etc").join(name)) {
            Ok(content) => content,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("read /etc/{name}")),
        };
        if name == "hosts" {
            content.push_str("\n127.0.1.1\t");
            content.push_str(HOSTNAME);
            content.push('\n');
        }
        let path = directory.join(name);
        std::fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
