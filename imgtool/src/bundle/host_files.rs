//! `hosts`, `hostname` and `resolv.conf`: files of the bundle's directory that config.json binds
//! over the container's, so that what is written to them is none of its writable layer, and a hook
//! of the host can still change them.

use std::io::Write as _;

use anyhow::{Context, Result};

use rustix::fs::Mode;

use super::in_making::BundleInMaking;
use super::runtime_config::{Mount, RuntimeConfig};

/// Names in the bundle's directory, and in the container's `/etc`.
pub(super) const NAMES: [&str; 3] = ["hosts", "hostname", "resolv.conf"];

/// Adds the mounts. Options that mount something at the same place win.
pub(super) fn add(config: &mut RuntimeConfig, making: &mut BundleInMaking<'_>) -> Result<()> {
    for name in NAMES {
        // Here already, so that mount points are made for files.
        let file = making.directory.create_file(name)?;
        // Whoever the container's processes are, they read it: the caller's umask is not about that.
        rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644))
            .with_context(|| format!("fchmod {name}"))?;
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

/// Writes `hostname`: what the container is called has been decided by now. The other two are the
/// network's.
pub(super) fn write_hostname(
    config: &RuntimeConfig,
    making: &mut BundleInMaking<'_>,
) -> Result<()> {
    let hostname = format!("{}\n", config.hostname);
    making
        .directory
        .replace_file("hostname")?
        .write_all(hostname.as_bytes())
        .context("write hostname")
}
