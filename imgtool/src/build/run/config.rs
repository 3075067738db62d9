//! A RUN's config.json: what Docker's default container may (its capabilities, its seccomp profile),
//! and nothing of the image but its environment, user and working directory.

use anyhow::Result;
use serde_json::{Value, json};

use super::mounts::Prepared;
use super::network::StepNetwork;
use crate::build::configuration::PATH;
use crate::bundle::options::default_config;
use crate::bundle::runtime_config::{ProcessUser, RuntimeConfig};
use crate::bundle::user;
use crate::layer::rootfs::RootFs;

/// What a RUN runs.
#[derive(Debug, Clone)]
pub struct Command {
    /// The program and its arguments.
    pub arguments: Vec<String>,
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// Where.
    pub directory: String,
    /// As whom, as the image says it.
    pub user: String,
}

impl Command {
    /// For messages.
    pub fn shown(&self) -> String {
        let text = self.arguments.join(" ");
        let line = text.lines().next().unwrap_or_default().to_owned();
        if line.len() < text.len() {
            return format!("{line} …");
        }
        line
    }
}

pub(super) const HOSTNAME: &str = "windlass-build";

/// Makes it, but for the root's path; users are looked up in `root`.
pub(super) fn make(
    command: &Command,
    prepared: &Prepared,
    network: &StepNetwork,
    root: &RootFs,
) -> Result<RuntimeConfig> {
    let mut config = default_config()?;
    HOSTNAME.clone_into(&mut config.hostname);
    let user = user::resolve(&command.user, Some(root))?;
    let process = &mut config.process;
    process.args.clone_from(&command.arguments);
    process.cwd.clone_from(&command.directory);
    process.env.clone_from(&command.environment);
    process.env.extend(prepared.environment.iter().cloned());
    set_default(&mut process.env, &format!("PATH={PATH}"));
    let home = user.home.as_deref().unwrap_or("/");
    set_default(&mut process.env, &format!("HOME={home}"));
    if user.uid != 0 {
        process.capabilities["effective"] = json!([]);
        process.capabilities["permitted"] = json!([]);
    }
    process.user = ProcessUser {
        uid: user.uid,
        gid: user.gid,
        additional_gids: with_own_group(user.gid, user.additional_gids),
    };
    config.linux.resources = Some(json!({ "devices": devices() }));
    // A step sees no cgroups.
    config.mounts.retain(|mount| mount.kind != "cgroup");
    network.configure(&mut config, &prepared.directory)?;
    config.mounts.extend(prepared.mounts.iter().cloned());
    Ok(config)
}

/// A process is in its own group by this list too, as under Docker: set-group-ID programs that it runs
/// replace the other one (CVE-2022-36109).
fn with_own_group(own: u32, mut others: Vec<u32>) -> Vec<u32> {
    others.retain(|&gid| gid != own);
    others.insert(0, own);
    others
}

/// Sets `NAME=value` unless the name is set.
fn set_default(environment: &mut Vec<String>, variable: &str) {
    let name = variable.split('=').next().unwrap_or_default();
    let is_set = |known: &String| known.split('=').next() == Some(name);
    if !environment.iter().any(is_set) {
        environment.push(variable.to_owned());
    }
}

/// All nodes may be made (an image may hold them), the usual ones used; runc's default.
fn devices() -> Value {
    json!([
        { "allow": false, "access": "rwm" },
        { "allow": true, "type": "c", "access": "m" },
        { "allow": true, "type": "b", "access": "m" },
        { "allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm" },
        { "allow": true, "type": "c", "major": 1, "minor": 5, "access": "rwm" },
        { "allow": true, "type": "c", "major": 1, "minor": 7, "access": "rwm" },
        { "allow": true, "type": "c", "major": 1, "minor": 8, "access": "rwm" },
        { "allow": true, "type": "c", "major": 1, "minor": 9, "access": "rwm" },
        { "allow": true, "type": "c", "major": 5, "minor": 0, "access": "rwm" },
        { "allow": true, "type": "c", "major": 5, "minor": 2, "access": "rwm" },
        { "allow": true, "type": "c", "major": 136, "access": "rwm" },
    ])
}
