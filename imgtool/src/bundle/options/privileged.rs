//! `--privileged`: a container that may do what its caller may.

use std::path::Path;

use anyhow::Result;

use super::device;
use crate::bundle::runtime_config::RuntimeConfig;

/// Takes away what keeps a container from the host's kernel, as Docker does: masks, read-only
/// /sys and cgroups, the limits on devices. Capabilities and seccomp are dealt with where they
/// are.
pub(super) fn apply(config: &mut RuntimeConfig) -> Result<()> {
    config.linux.masked_paths.clear();
    config.linux.readonly_paths.clear();
    for mount in &mut config.mounts {
        if matches!(mount.kind.as_str(), "sysfs" | "cgroup") {
            for option in &mut mount.options {
                if option == "ro" {
                    "rw".clone_into(option);
                }
            }
        }
    }
    // Docker's default for privileged containers: with cgroups v1 they see, and manage, the host's;
    // with v2 what they see is their own (moby, adaptContainerSettings).
    if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        let namespaces = &mut config.linux.namespaces;
        namespaces.retain(|namespace| namespace.kind != "cgroup");
    }
    device::add_all(config)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::tests::applied;

    #[test]
    fn nothing_is_kept_from_it() {
        let config = applied(&["--privileged"]);
        assert!(config["linux"].get("seccomp").is_none());
        assert_eq!(config["linux"]["maskedPaths"], serde_json::json!([]));
        assert_eq!(config["linux"]["readonlyPaths"], serde_json::json!([]));
        let rules = &config["linux"]["resources"]["devices"];
        assert_eq!(
            rules,
            &serde_json::json!([{ "allow": true, "access": "rwm" }])
        );
        let devices = config["linux"]["devices"].as_array().unwrap();
        assert!(devices.iter().any(|device| device["path"] == "/dev/null"));
        let pts = |path: &str| path.starts_with("/dev/pts/") || path == "/dev/console";
        assert!(
            !devices
                .iter()
                .any(|device| pts(device["path"].as_str().unwrap()))
        );
        let namespaces = config["linux"]["namespaces"].as_array().unwrap();
        let own_cgroups = namespaces
            .iter()
            .any(|namespace| namespace["type"] == "cgroup");
        let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        assert_eq!(own_cgroups, unified);
        for mount in config["mounts"].as_array().unwrap() {
            if mount["type"] == "sysfs" || mount["type"] == "cgroup" {
                let options = mount["options"].as_array().unwrap();
                assert!(options.contains(&"rw".into()) && !options.contains(&"ro".into()));
            }
        }
    }
}
