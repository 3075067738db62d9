//! The bundles of a comparison: a root file system with two tiny programs, and config.json as
//! engines write it, put in order for it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::hierarchies::parent_name;
use crate::scenario::Network;
use crate::tiny_elf;

/// The configs that come with the program: `bench/configs/`.
pub const CONFIGS: [(&str, &str); 5] = [
    ("runc-spec", include_str!("../configs/runc-spec.json")),
    ("docker", include_str!("../configs/docker.json")),
    (
        "docker-hardened",
        include_str!("../configs/docker-hardened.json"),
    ),
    (
        "containerd-ctr",
        include_str!("../configs/containerd-ctr.json"),
    ),
    ("podman", include_str!("../configs/podman.json")),
];

/// The program that ends at once, as a path in the container.
pub const TRUE: &str = "/true";
/// The program that never ends by itself, as a path in the container.
pub const SLEEP: &str = "/sleep";

/// The config of this name, or in the file of this path.
pub fn config(name: &str) -> Result<Value> {
    let known = CONFIGS.iter().find(|(known, _)| *known == name);
    let text = match known {
        Some((_, text)) => (*text).to_owned(),
        None if Path::new(name).is_file() => fs::read_to_string(name)?,
        None => {
            let names: Vec<_> = CONFIGS.iter().map(|(name, _)| *name).collect();
            bail!(
                "no config {name:?}: give a file, or one of {}",
                names.join(", ")
            );
        }
    };
    serde_json::from_str(&text).with_context(|| format!("the config {name}"))
}

/// Makes a root file system with the tiny programs and an empty directory for every mount of
/// `configs`.
pub fn make_rootfs(rootfs: &Path, configs: &[Value]) -> Result<()> {
    fs::create_dir_all(rootfs)?;
    for (path, bytes) in [
        (TRUE, tiny_elf::exit_zero()),
        (SLEEP, tiny_elf::sleep_forever()),
    ] {
        let path = rootfs.join(path.trim_start_matches('/'));
        fs::write(&path, bytes)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    let mounts = configs
        .iter()
        .filter_map(|config| config["mounts"].as_array())
        .flatten();
    for destination in mounts.filter_map(|mount| mount["destination"].as_str()) {
        let first = destination
            .trim_start_matches('/')
            .split('/')
            .next()
            .unwrap_or_default();
        fs::create_dir_all(rootfs.join(first))?;
    }
    Ok(())
}

/// A container's place in a comparison.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The root file system.
    pub rootfs: &'a Path,
    /// The container's id, also the name of its cgroup.
    pub id: &'a str,
    /// Its network.
    pub network: Network,
    /// Its program.
    pub program: &'a str,
}

/// Puts an engine's config in order: without the engine's hooks and its own mounts (`@STATE@`),
/// without terminal, with our root file system, program, cgroup and network.
pub fn adjust(mut config: Value, place: Place<'_>) -> Result<Value> {
    let object = config
        .as_object_mut()
        .context("the config is no JSON object")?;
    object.remove("hooks");
    if let Some(mounts) = config["mounts"].as_array_mut() {
        mounts.retain(|mount| !is_bind_of_the_engine(mount));
    }
    config["root"]["path"] = json!(place.rootfs);
    config["process"]["terminal"] = json!(false);
    config["process"]["args"] = json!([place.program]);
    config["linux"]["cgroupsPath"] = json!(format!("/{}/{}", parent_name(), place.id));
    let namespaces = config["linux"]["namespaces"]
        .as_array_mut()
        .context("no linux.namespaces")?;
    namespaces.retain(|namespace| namespace["type"] != "network");
    match place.network {
        Network::New => namespaces.push(json!({"type": "network"})),
        Network::Host => {
            // A runtime must refuse to change the host's network by a container's sysctl.
            if let Some(sysctl) = config["linux"]["sysctl"].as_object_mut() {
                sysctl.retain(|key, _| !key.starts_with("net."));
            }
        }
    }
    Ok(config)
}

/// Of its own state, which is not here, or of a file of its host's, which may be.
fn is_bind_of_the_engine(mount: &Value) -> bool {
    let source = mount["source"].as_str().unwrap_or_default();
    let options = mount["options"].as_array().map_or(&[][..], Vec::as_slice);
    let is_bind = options
        .iter()
        .any(|option| option == "bind" || option == "rbind");
    is_bind && !Path::new(source).is_dir()
}

/// Writes a bundle: `config.json` in a new directory. Its root is elsewhere.
pub fn write(directory: PathBuf, config: &Value) -> Result<PathBuf> {
    fs::create_dir_all(&directory)?;
    fs::write(directory.join("config.json"), serde_json::to_vec(config)?)?;
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::{CONFIGS, Place, adjust, config};
    use crate::scenario::Network;
    use std::path::Path;

    #[test]
    fn every_config_is_put_in_order() {
        for (name, _) in CONFIGS {
            for network in [Network::New, Network::Host] {
                let place = Place {
                    rootfs: Path::new("/r"),
                    id: "c",
                    network,
                    program: "/true",
                };
                let adjusted = adjust(config(name).unwrap(), place).unwrap();
                assert!(!adjusted.to_string().contains("@STATE@"), "{name}");
                assert_eq!(adjusted["process"]["args"][0], "/true", "{name}");
                assert!(adjusted["hooks"].is_null(), "{name}");
                let namespaces = adjusted["linux"]["namespaces"].as_array().unwrap();
                let own = namespaces
                    .iter()
                    .any(|namespace| namespace["type"] == "network");
                assert_eq!(own, network == Network::New, "{name}");
            }
        }
    }

    #[test]
    fn unknown_config_is_refused_by_name() {
        let error = config("nonesuch").unwrap_err().to_string();
        assert!(
            error.contains("nonesuch") && error.contains("docker-hardened"),
            "{error}"
        );
    }
}
