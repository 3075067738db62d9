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
        for (name, file) in self.files(&config.hostname) {
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
        if let Some(connection) = self.connect(config, making.path)? {
            let json = serde_json::to_vec_pretty(&connection)?;
            making.directory.write_whole(RECORD, &json)?;
        }
        Ok(())
    }

    /// The same for a step of a build, all of whose files are in `directory` and go with it.
    pub(crate) fn configure_step(
        &self,
        config: &mut RuntimeConfig,
        directory: &Path,
    ) -> Result<()> {
        let write = |name: &str, content: &[u8]| {
            let path = directory.join(name);
            std::fs::write(&path, content).with_context(|| format!("write {}", path.display()))
        };
        for (name, file) in self.files(&config.hostname) {
            match file {
                NetworkFile::Own(text) => write(name, text.as_bytes())?,
                NetworkFile::Shared(_) => bail!("a step shares no other container's network"),
            }
        }
        if let Some(connection) = self.connect(config, directory)? {
            write(RECORD, &serde_json::to_vec(&connection)?)?;
        }
        Ok(())
    }

    /// The files of /etc that belong to it.
    fn files(&self, hostname: &str) -> [(&'static str, NetworkFile); 2] {
        let (hosts, resolv_conf) = (self.hosts(hostname), self.resolv_conf());
        [("hosts", hosts), ("resolv.conf", resolv_conf)]
    }

    /// Adds namespace and hooks; what the hooks have to know, which is to be in `directory`.
    fn connect(&self, config: &mut RuntimeConfig, directory: &Path) -> Result<Option<Connection>> {
        set_namespace(config, self.namespace())?;
        let bridge = match &self.kind {
            Kind::Bridge(bridge) => bridge,
            Kind::Joined(Joined {
                process: Some(process),
                ..
            }) => {
                config.hooks = Some(hook::hooks_of_joined(&program()?, process));
                return Ok(None);
            }
            _ => return Ok(None),
        };
        let connection = Connection {
            networks: bridge.networks.path().to_owned(),
            plugin_path: bridge.plugins.directories().to_vec(),
            network: bridge.network.to_json(),
            ports: bridge.ports.clone(),
            hostname: config.hostname.clone(),
            hosts: directory.join("hosts"),
            added_hosts: self.options.add_host.clone(),
            resolv_conf: directory.join("resolv.conf"),
            resolver: self.options.resolver(),
        };
        let record = directory.join(RECORD);
        config.hooks = Some(hook::hooks(&program()?, &record, &connection.networks));
        Ok(Some(connection))
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
