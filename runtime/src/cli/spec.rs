//! `windlass spec`

use std::fs::File;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::global::Global;
use super::log::Log;
use super::parse::Arguments;
use super::syntax::{Flag, Positionals, Verb};
use super::{ExitCode, to_json};
use crate::cgroup::{Hierarchies, Layout};
use crate::error::{CallContext, Error, Result};

/// What runc's `spec` writes, but for the hostname.
const DEFAULT_CONFIG: &str = include_str!("default_config.json");

pub(super) static VERB: Verb = Verb {
    name: "spec",
    summary: "write a config.json to start from",
    description: "\
It is written to the bundle's directory, and runs a shell with a terminal. What is
there already is not touched.",
    positionals: Positionals::NONE,
    flags: &[&BUNDLE, &ROOTLESS],
    enters_container: false,
    failure_status: 1,
    run,
};

static BUNDLE: Flag = Flag::path(
    "bundle",
    "dir",
    "where to write it; default: the current directory",
)
.or('b');
static ROOTLESS: Flag = Flag::switch(
    "rootless",
    "for a container that a user without root's rights runs",
);

fn run(arguments: &Arguments<'_>, _: &Global<'_>, _: &Log) -> Result<ExitCode> {
    let path = arguments
        .path(&BUNDLE)
        .unwrap_or(Path::new("."))
        .join("config.json");
    let mut file = match File::options().write(true).create_new(true).open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Error::new(format!(
                "File {} exists. Remove it first",
                path.display()
            )));
        }
        result => result.call(|| format!("open {}", path.display()))?,
    };
    let text = if arguments.switch(&ROOTLESS) {
        rootless_config()?
    } else {
        rootful_config()?
    };
    file.write_all(text.as_bytes())
        .call(|| format!("write {}", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// For root. A host with nothing but cgroup v2 gets a cgroup namespace too, as in runc.
fn rootful_config() -> Result<String> {
    if !has_only_cgroup_v2() {
        return Ok(DEFAULT_CONFIG.to_owned());
    }
    let mut config = default_config()?;
    add_namespace(&mut config, "cgroup");
    to_json(&config)
}

fn has_only_cgroup_v2() -> bool {
    Hierarchies::detect().is_ok_and(|hierarchies| hierarchies.layout == Layout::V2)
}

fn default_config() -> Result<Value> {
    serde_json::from_str(DEFAULT_CONFIG)
        .map_err(|error| Error::new(format!("default config.json: {error}")))
}

fn add_namespace(config: &mut Value, kind: &str) {
    if let Some(namespaces) = config["linux"]["namespaces"].as_array_mut() {
        namespaces.push(json!({"type": kind}));
    }
}

/// The same for a user without root's rights: one uid and one gid mapped to root's, the host's
/// network and /sys, no cgroups.
fn rootless_config() -> Result<String> {
    let mut config = default_config()?;
    if has_only_cgroup_v2() {
        add_namespace(&mut config, "cgroup");
    }
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    let linux = &mut config["linux"];
    if let Some(object) = linux.as_object_mut() {
        object.remove("resources");
    }
    linux["uidMappings"] = json!([{"containerID": 0, "hostID": uid, "size": 1}]);
    linux["gidMappings"] = json!([{"containerID": 0, "hostID": gid, "size": 1}]);
    if let Some(namespaces) = linux["namespaces"].as_array_mut() {
        namespaces.retain(|namespace| namespace["type"] != "network");
        namespaces.push(json!({"type": "user"}));
    }
    for mount in config["mounts"].as_array_mut().into_iter().flatten() {
        if mount["destination"] == "/sys" {
            // A sysfs belongs to a network namespace. The cgroups come on top of it, the container's
            // own alone: below a bound /sys the host's could be written (CVE-2023-25809).
            *mount = json!({
                "destination": "/sys",
                "type": "none",
                "source": "/sys",
                "options": ["rbind", "nosuid", "noexec", "nodev", "ro"],
            });
        } else if let Some(options) = mount.get_mut("options").and_then(Value::as_array_mut) {
            // Only one user and one group are mapped: nothing can be given to another.
            let is_owner = |text: &str| text.starts_with("gid=") || text.starts_with("uid=");
            options.retain(|option| !option.as_str().is_some_and(is_owner));
        }
    }
    to_json(&config)
}
