//! A network in a bundle: what its config.json says of it, and the bundle's files that belong to it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::attachment::Connection;
use super::joined::Joined;
use super::{Kind, Namespace, Network, NetworkFile, RECORD, hook};
use crate::bundle::in_making::BundleInMaking;
use crate::bundle::runtime_config::{self, Mount, RuntimeConfig};

impl Network {
    /// Adds namespace and hooks to config.json, and fills the bundle's `hosts` and `resolv.conf`.
    /// After all other options: what the container is called has been decided by now.
    pub(crate) fn configure(
        &self,
        config: &mut RuntimeConfig,
        making: &mut BundleInMaking<'_>,
    ) -> Result<()> {
        set_namespace(config, self.namespace())?;
        let hosts = self.hosts(&config.hostname);
        let resolv_conf = self.resolv_conf();
        for (name, file) in [("hosts", hosts), ("resolv.conf", resolv_conf)] {
            match file {
                NetworkFile::Own(text) => {
                    making
                        .directory
                        .replace_file(name)?
                        .write_all(text.as_bytes())
                        .with_context(|| format!("write {name}"))?;
                }
                NetworkFile::Shared(path) => share(config, &making.path.join(name), &path)?,
            }
        }
        let bridge = match &self.kind {
            Kind::Bridge(bridge) => bridge,
            Kind::Joined(Joined {
                process: Some(process),
                ..
            }) => {
                config.hooks = Some(hook::hooks_of_joined(&program()?, process));
                return Ok(());
            }
            _ => return Ok(()),
        };
        let connection = Connection {
            networks: bridge.networks.path().to_owned(),
            plugin_path: bridge.plugins.directories().to_vec(),
            network: bridge.network.to_json(),
            ports: bridge.ports.clone(),
            hostname: config.hostname.clone(),
            hosts: making.path.join("hosts"),
            added_hosts: self.options.add_host.clone(),
            resolv_conf: making.path.join("resolv.conf"),
            resolver: self.options.resolver(),
        };
        let json = serde_json::to_vec_pretty(&connection)?;
        making.directory.write_whole(RECORD, &json)?;
        let record = making.path.join(RECORD);
        config.hooks = Some(hook::hooks(&program()?, &record, &connection.networks));
        Ok(())
    }
}

/// Ourselves, for the container's hooks.
fn program() -> Result<PathBuf> {
    let program = std::env::current_exe().context("find our own program")?;
    if !program.is_file() {
        bail!(
            "our own program is no longer at {}, where the container's hooks would look for it",
            program.display()
        );
    }
    utf8(&program)?;
    Ok(program)
}

fn set_namespace(config: &mut RuntimeConfig, wanted: Namespace) -> Result<()> {
    const KIND: &str = "network";
    let namespaces = &mut config.linux.namespaces;
    namespaces.retain(|namespace| namespace.kind != KIND);
    let path = match wanted {
        Namespace::Host => None,
        Namespace::New => {
            namespaces.push(runtime_config::Namespace {
                kind: KIND.to_owned(),
                path: None,
            });
            return Ok(());
        }
        Namespace::Path(path) => Some(utf8(&path)?.to_owned()),
    };
    if path.is_some() {
        let kind = KIND.to_owned();
        namespaces.push(runtime_config::Namespace { kind, path });
    }
    if namespaces.iter().any(|namespace| namespace.kind == "user") {
        bind_sysfs(&mut config.mounts);
    }
    Ok(())
}

/// sysfs shows a network namespace, so that only who owns that can mount it: not a user namespace
/// that the network is older than.
fn bind_sysfs(mounts: &mut [Mount]) {
    for mount in mounts.iter_mut().filter(|mount| mount.kind == "sysfs") {
        let options = ["rbind", "nosuid", "noexec", "nodev", "ro"];
        *mount = Mount::new(&mount.destination, "bind", "/sys", &options);
    }
}

/// Mounts another file where the bundle's own would be.
fn share(config: &mut RuntimeConfig, own: &Path, shared: &Path) -> Result<()> {
    for mount in &mut config.mounts {
        if Path::new(&mount.source) == own {
            utf8(shared)?.clone_into(&mut mount.source);
        }
    }
    Ok(())
}

fn utf8(path: &Path) -> Result<&str> {
    let text = path.to_str();
    text.with_context(|| format!("path {} is not UTF-8", path.display()))
}
