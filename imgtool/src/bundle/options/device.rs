//! `--device`: device nodes of the host's.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use super::mounts::destination;
use crate::bundle::runtime_config::RuntimeConfig;

/// Devices beside the few that every container has.
#[derive(Debug, Clone, Default, Args)]
pub struct DeviceOptions {
    /// A device of the host, or all in a directory; ACCESS is r, w and m (mknod), rwm unless given.
    /// May be repeated.
    #[arg(long, value_name = "HOST[:CONTAINER][:ACCESS]")]
    device: Vec<Device>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Device {
    host: PathBuf,
    container: String,
    access: String,
}

impl FromStr for Device {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let fields: Vec<&str> = text.split(':').collect();
        let (host, container, access) = match fields[..] {
            [host] => (host, host, "rwm"),
            // Docker takes what could be an access for one.
            [host, access] if is_access(access) => (host, host, access),
            [host, container] => (host, container, "rwm"),
            [host, container, access] => (host, container, access),
            _ => bail!("a device is HOST[:CONTAINER][:ACCESS], such as /dev/fuse:/dev/fuse:rw"),
        };
        if !host.starts_with('/') {
            bail!("'{host}' is not an absolute path");
        }
        if !is_access(access) {
            bail!("'{access}' is no access: r, w and m are, each once at most");
        }
        Ok(Device {
            host: host.into(),
            container: destination::absolute(container)?,
            access: access.to_owned(),
        })
    }
}

fn is_access(text: &str) -> bool {
    let once = |letter| text.matches(letter).count() <= 1;
    !text.is_empty() && text.chars().all(|c| "rwm".contains(c)) && "rwm".chars().all(once)
}

impl DeviceOptions {
    /// Writes the devices into config.json, and allows the container their use.
    pub(super) fn apply(&self, config: &mut RuntimeConfig) -> Result<()> {
        for device in &self.device {
            let of_device = || format!("--device {}", device.host.display());
            // Links are the host's own, /dev/cdrom for one.
            let found = fs::metadata(&device.host).with_context(of_device)?;
            if !found.is_dir() {
                let node =
                    Node::of(&found).with_context(|| format!("{}: not a device", of_device()))?;
                node.add(&device.container, &device.access, config);
                continue;
            }
            let mut nodes = Vec::new();
            find_in(&device.host, Path::new(&device.container), &mut nodes)
                .with_context(of_device)?;
            if nodes.is_empty() {
                bail!("{}: there is no device in it", of_device());
            }
            for (path, node) in nodes {
                node.add(&path, &device.access, config);
            }
        }
        Ok(())
    }
}

/// Gives a container all of the host's devices, and allows it every device that there is.
pub(super) fn add_all(config: &mut RuntimeConfig) -> Result<()> {
    let mut nodes = Vec::new();
    find_in(Path::new("/dev"), Path::new("/dev"), &mut nodes).context("look for devices")?;
    for (path, node) in nodes {
        config.linux.devices.push(node.describe(&path));
    }
    let rule = json!({ "allow": true, "access": "rwm" });
    set_rules(config, vec![rule]);
    Ok(())
}

/// What Docker allows every container: deny all, then null, zero, full, random, urandom, tty and
/// console; the runtime adds what it makes itself. /dev/fuse is denied by name.
pub(super) fn allow_usual(config: &mut RuntimeConfig) {
    let mut rules = vec![json!({ "allow": false, "access": "rwm" })];
    for (allow, major, minor) in [
        (true, 1, 5),
        (true, 1, 3),
        (true, 1, 9),
        (true, 1, 8),
        (true, 5, 0),
        (true, 5, 1),
        (false, 10, 229),
    ] {
        rules.push(json!({
            "allow": allow, "type": "c", "major": major, "minor": minor, "access": "rwm",
        }));
    }
    set_rules(config, rules);
}

fn set_rules(config: &mut RuntimeConfig, rules: Vec<Value>) {
    let resources = config.linux.resources.get_or_insert_with(|| json!({}));
    resources["devices"] = Value::Array(rules);
}

/// A device's node.
#[derive(Debug)]
struct Node {
    kind: &'static str,
    number: u64,
    mode: u32,
    uid: u32,
    gid: u32,
}

impl Node {
    fn of(found: &fs::Metadata) -> Option<Self> {
        let kind = match found.file_type() {
            kind if kind.is_char_device() => "c",
            kind if kind.is_block_device() => "b",
            _ => return None,
        };
        Some(Node {
            kind,
            number: found.rdev(),
            mode: found.mode() & 0o7777,
            uid: found.uid(),
            gid: found.gid(),
        })
    }

    fn describe(&self, path: &str) -> Value {
        json!({
            "path": path, "type": self.kind,
            "major": rustix::fs::major(self.number), "minor": rustix::fs::minor(self.number),
            "fileMode": self.mode, "uid": self.uid, "gid": self.gid,
        })
    }

    fn add(&self, path: &str, access: &str, config: &mut RuntimeConfig) {
        let same_path = |known: &Value| known["path"] == path;
        config.linux.devices.retain(|known| !same_path(known));
        config.linux.devices.push(self.describe(path));
        let resources = config.linux.resources.get_or_insert_with(|| json!({}));
        if let Some(rules) = resources["devices"].as_array_mut() {
            rules.push(json!({
                "allow": true, "type": self.kind,
                "major": rustix::fs::major(self.number), "minor": rustix::fs::minor(self.number),
                "access": access,
            }));
        }
    }
}

/// What a container has of its own in /dev: as of Docker and runc.
const OWN: [&str; 8] = [
    "pts",
    "shm",
    "fd",
    "mqueue",
    ".lxc",
    ".lxd-mounts",
    ".udev",
    "console",
];

/// Finds the devices in a directory and below it, links not followed, by name.
fn find_in(directory: &Path, container: &Path, nodes: &mut Vec<(String, Node)>) -> Result<()> {
    let context = || format!("read {}", directory.display());
    let mut entries: Vec<_> = fs::read_dir(directory)
        .with_context(context)?
        .collect::<Result<_, _>>()
        .with_context(context)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let path = container.join(&name);
        // One that goes away meanwhile was none.
        let Ok(found) = entry.metadata() else {
            continue;
        };
        if directory == Path::new("/dev") && OWN.iter().any(|own| name == *own) {
            continue;
        }
        if found.is_dir() {
            find_in(&entry.path(), &path, nodes)?;
        } else if let (Some(node), Some(path)) = (Node::of(&found), path.to_str()) {
            nodes.push((path.to_owned(), node));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{applied, refused};

    #[test]
    fn a_device_is_made_and_allowed() {
        let config = applied(&["--device=/dev/null:/dev/xnull:rw"]);
        let device = &config["linux"]["devices"][0];
        assert_eq!(device["path"], "/dev/xnull");
        assert_eq!((&device["major"], &device["minor"]), (&json!(1), &json!(3)));
        assert_eq!(device["fileMode"], 0o666);
        let rules = config["linux"]["resources"]["devices"].as_array().unwrap();
        assert_eq!(rules[0], json!({ "allow": false, "access": "rwm" }));
        let own = json!({ "allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw" });
        assert_eq!(rules.last().unwrap(), &own);
    }

    #[test]
    fn forms_of_a_device() {
        for (flag, path, access) in [
            ("/dev/zero", "/dev/zero", "rwm"),
            ("/dev/zero:r", "/dev/zero", "r"),
            ("/dev/zero:/dev/other", "/dev/other", "rwm"),
            ("/dev/zero:/dev/other:m", "/dev/other", "m"),
        ] {
            let config = applied(&["--device", flag]);
            assert_eq!(config["linux"]["devices"][0]["path"], path, "{flag}");
            let rules = config["linux"]["resources"]["devices"].as_array().unwrap();
            assert_eq!(rules.last().unwrap()["access"], access, "{flag}");
        }
        for (flag, reason) in [
            ("dev/zero", "absolute"),
            ("/dev/zero:/dev/x:rx", "'rx' is no access"),
            ("/dev/zero:/dev/x:rr", "each once"),
            ("/dev/zero:x", "'x'"),
            ("/dev/not-there", "/dev/not-there"),
            ("/etc/passwd", "not a device"),
            ("/etc", "no device in it"),
        ] {
            refused(&["--device", flag], reason);
        }
    }
}
