//! What a bundle's config.json can't ask for without root, taken out of it.
//!
//! The same changes that `umoci unpack --rootless` makes, so that runc and crun run it as they
//! run umoci's.

use std::path::Path;

use anyhow::{Context, Result};

use super::runtime_config::{Mount, RuntimeConfig};

const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Changes `config` into one that a user without privileges can run.
pub(super) fn convert(config: &mut RuntimeConfig) -> Result<()> {
    // setgroups(2) isn't allowed where the group mapping was made without privileges.
    config.process.user.additional_gids.clear();
    // Without its own network, since nobody could give it one.
    config
        .linux
        .namespaces
        .retain(|namespace| namespace.kind != "network");
    // Cgroups need delegation.
    config.linux.resources = None;
    // sysfs belongs to the network namespace, which isn't ours.
    config
        .mounts
        .retain(|mount| mount.destination != "/sys" && !mount.destination.starts_with("/sys/"));
    for mount in &mut config.mounts {
        mount
            .options
            .retain(|option| !option.starts_with("gid=") && !option.starts_with("uid="));
    }
    let options = ["rbind", "nosuid", "noexec", "nodev", "ro"];
    config
        .mounts
        .push(Mount::new("/sys", "bind", "/sys", &options));
    if Path::new(RESOLV_CONF).exists() {
        let mut options = locked_flags(RESOLV_CONF)?;
        options.extend(["rbind", "ro"]);
        config
            .mounts
            .push(Mount::new(RESOLV_CONF, "bind", RESOLV_CONF, &options));
    }
    Ok(())
}

/// The flags of the mount that holds `path`, which a user namespace can't take off
/// (`mount_namespaces(7)`, "Restrictions on mount namespaces").
fn locked_flags(path: &str) -> Result<Vec<&'static str>> {
    use rustix::fs::StatVfsMountFlags as Flags;
    let flags = rustix::fs::statvfs(path)
        .with_context(|| format!("statvfs {path}"))?
        .f_flag;
    let names = [
        (Flags::NODEV, "nodev"),
        (Flags::NOEXEC, "noexec"),
        (Flags::NOSUID, "nosuid"),
    ];
    Ok(names
        .into_iter()
        .filter(|(flag, _)| flags.contains(*flag))
        .map(|(_, name)| name)
        .collect())
}
