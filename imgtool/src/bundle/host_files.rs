//! `hosts`, `hostname` and `resolv.conf`: files of the bundle's directory that config.json binds
//! over the container's, so that what is written to them is none of its writable layer, and a hook
//! of the host can still change them.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::{Context, Result};

use super::create::BundleInMaking;
use super::runtime_config::{Mount, RuntimeConfig};

/// Names in the bundle's directory, and in the container's `/etc`.
pub(super) const NAMES: [&str; 3] = ["hosts", "hostname", "resolv.conf"];

/// Adds the mounts. Options that mount something at the same place win.
pub(super) fn add(config: &mut RuntimeConfig, making: &mut BundleInMaking<'_>) -> Result<()> {
    for name in NAMES {
        // Here already, so that mount points are made for files.
        making.directory.create_file(name)?;
        let source = making.path.join(name);
        let source = source.to_str().context("the bundle's path is not UTF-8")?;
        let destination = format!("/etc/{name}");
        let options = ["bind", "rprivate"];
        config
            .mounts
            .push(Mount::new(&destination, "bind", source, &options));
    }
    Ok(())
}

/// Writes the files as far as nobody has: what the container is called has been decided by now.
pub(super) fn write(config: &RuntimeConfig, making: &mut BundleInMaking<'_>) -> Result<()> {
    let mut hosts = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\n\
         ff00::\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
    );
    if !config.hostname.is_empty() {
        // Writing to a string can't fail.
        let _ = writeln!(hosts, "127.0.1.1\t{}", config.hostname);
    }
    let contents = [hosts, format!("{}\n", config.hostname), host_resolv_conf()?];
    for (name, content) in NAMES.into_iter().zip(contents) {
        let written = std::fs::metadata(making.path.join(name)).map_or(0, |file| file.len());
        if written == 0 {
            making
                .directory
                .replace_file(name)?
                .write_all(content.as_bytes())
                .with_context(|| format!("write {name}"))?;
        }
    }
    Ok(())
}

/// The host's resolv.conf; where that names only a resolver of the host's loopback, the file of
/// those that it asks itself (systemd-resolved(8)).
fn host_resolv_conf() -> Result<String> {
    let read = |path: &str| match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).with_context(|| format!("read {path}")),
    };
    let own = read("/etc/resolv.conf")?;
    let servers = own
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .map(str::trim);
    let (mut all, mut stub) = (0, 0);
    for server in servers {
        all += 1;
        stub += usize::from(server == "127.0.0.53");
    }
    if all > 0 && all == stub {
        let behind = read("/run/systemd/resolve/resolv.conf")?;
        if !behind.is_empty() {
            return Ok(behind);
        }
    }
    Ok(own)
}
