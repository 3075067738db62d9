//! A RUN's network.

use std::path::Path;

use anyhow::{Context, Result};

use crate::bundle::runtime_config::{Mount, RuntimeConfig};
use crate::network::hosts::AddedHost;
use crate::network::{Network, NetworkMode, NetworkOptions};
use crate::store::Store;

/// What a step is connected to.
#[derive(Debug)]
pub struct StepNetwork(Network);

impl StepNetwork {
    /// Finds out what is meant, and whether this host has what that needs.
    pub fn find(mode: &NetworkMode, added_hosts: &[AddedHost], store: &Store) -> Result<Self> {
        let mut add_host = added_hosts.to_vec();
        if *mode == NetworkMode::None {
            // From there, no way leads to the host.
            add_host.retain(|host| !host.is_gateway());
        }
        let options = NetworkOptions {
            network: Some(mode.clone()),
            add_host,
            ..NetworkOptions::default()
        };
        Ok(StepNetwork(Network::find(&options, store, false)?))
    }

    /// Says so in config.json; the files that it needs are written to `directory`.
    pub(super) fn configure(&self, config: &mut RuntimeConfig, directory: &Path) -> Result<()> {
        self.0.configure_step(config, directory)?;
        for name in ["hosts", "resolv.conf"] {
            let path = directory.join(name);
            let source = path.to_str().context("the store's path is not UTF-8")?;
            let target = format!("/etc/{name}");
            let mount = Mount::new(&target, "bind", source, &["bind", "ro"]);
            config.mounts.push(mount);
        }
        Ok(())
    }
}
