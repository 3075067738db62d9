//! What this host can do, found once.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::need::Need;
use crate::probe::CAPABILITIES;

/// The host's abilities, as far as cases depend on them.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Host {
    /// `uname -r`.
    pub kernel: String,
    /// Controllers that are mounted as cgroup v1.
    pub cgroup_v1: BTreeSet<String>,
    /// Controllers of the cgroup v2 tree.
    pub cgroup_v2: BTreeSet<String>,
    /// Kinds of namespaces.
    pub namespaces: BTreeSet<String>,
    /// Our permitted capabilities.
    pub capabilities: BTreeSet<String>,
    /// Capabilities that the kernel knows and that are not in our bounding set.
    pub out_of_reach: BTreeSet<String>,
    /// Actions of seccomp filters.
    pub seccomp_actions: BTreeSet<String>,
    /// First line of `RUNTIME --version`.
    pub runtime_version: String,
    /// Optional verbs that the runtime has.
    pub verbs: BTreeSet<String>,
}

impl Host {
    /// Looks at this host and at the runtime.
    pub fn find(runtime: &Path) -> Host {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let permitted = capability_set(&status, "CapPrm:");
        let bounding = capability_set(&status, "CapBnd:");
        let last: usize = fs::read_to_string("/proc/sys/kernel/cap_last_cap")
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .unwrap_or(CAPABILITIES.len() - 1);
        let known = CAPABILITIES
            .iter()
            .take(last + 1)
            .map(|&name| name.to_owned());
        Host {
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            cgroup_v1: cgroup_v1_controllers(),
            cgroup_v2: super::cgroup::unified_mount()
                .and_then(|mount| fs::read_to_string(mount.join("cgroup.controllers")).ok())
                .map(|text| text.split_whitespace().map(str::to_owned).collect())
                .unwrap_or_default(),
            namespaces: fs::read_dir("/proc/self/ns")
                .map(|entries| {
                    entries
                        .flatten()
                        .map(|entry| entry.file_name().to_string_lossy().into_owned())
                        .collect()
                })
                .unwrap_or_default(),
            capabilities: permitted,
            out_of_reach: known.filter(|name| !bounding.contains(name)).collect(),
            seccomp_actions: fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail")
                .map(|text| text.split_whitespace().map(str::to_owned).collect())
                .unwrap_or_default(),
            runtime_version: version(runtime),
            verbs: ["features"]
                .into_iter()
                .filter(|verb| succeeds(runtime, verb))
                .map(str::to_owned)
                .collect(),
        }
    }

    /// Why a case with this need makes no sense here; none when it does.
    pub fn lacks(&self, need: Need) -> Option<String> {
        let (there, what) = match need {
            Need::CgroupV1(name) => (
                self.cgroup_v1.contains(name),
                format!("a cgroup v1 controller {name}"),
            ),
            Need::CgroupV2(name) => (
                self.cgroup_v2.contains(name),
                format!("a cgroup v2 controller {name}"),
            ),
            Need::Namespace(kind) => (
                self.namespaces.contains(kind),
                format!("a kernel with {kind} namespaces"),
            ),
            Need::CapabilityOutOfReach => (
                !self.out_of_reach.is_empty(),
                "a capability that is not in the caller's bounding set".to_owned(),
            ),
            Need::SeccompAction(name) => (
                self.seccomp_actions.contains(name),
                format!("seccomp filters with {name}"),
            ),
            Need::AppArmor => (
                fs::read("/sys/module/apparmor/parameters/enabled")
                    .is_ok_and(|enabled| enabled.starts_with(b"Y")),
                "a host with AppArmor".to_owned(),
            ),
            Need::File(path) => (Path::new(path).exists(), format!("a kernel with {path}")),
            Need::Verb(verb) => (
                self.verbs.contains(verb),
                format!("a runtime with the optional verb {verb}"),
            ),
        };
        (!there).then(|| format!("needs {what}"))
    }
}

fn capability_set(status: &str, field: &str) -> BTreeSet<String> {
    let bits = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|value| u64::from_str_radix(value.trim(), 16).ok())
        .unwrap_or(0);
    CAPABILITIES
        .iter()
        .enumerate()
        .filter(|(number, _)| bits >> number & 1 == 1)
        .map(|(_, &name)| name.to_owned())
        .collect()
}

fn cgroup_v1_controllers() -> BTreeSet<String> {
    super::mounts()
        .iter()
        .filter(|mount| mount.kind == "cgroup")
        .flat_map(|mount| &mount.super_options)
        .filter(|option| {
            !["rw", "ro", "xattr", "noprefix", "clone_children"].contains(&option.as_str())
        })
        .cloned()
        .collect()
}

/// How long the runtime may take to say something of itself.
const PATIENCE: Duration = Duration::from_secs(5);

fn version(runtime: &Path) -> String {
    said(runtime, "--version")
        .and_then(|text| text.lines().next().map(str::to_owned))
        .unwrap_or_default()
}

fn succeeds(runtime: &Path, verb: &str) -> bool {
    said(runtime, verb).is_some()
}

/// What the runtime prints when it is called with one word; none when it fails or hangs.
fn said(runtime: &Path, word: &str) -> Option<String> {
    let mut command = Command::new(runtime);
    command
        .arg(word)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    // A pipe holds 64 KiB, which is more than any runtime says here.
    let ended = super::wait_for(&mut child, PATIENCE);
    if !matches!(ended, Ok(Some(_))) {
        let _ = child.kill();
        let _ = child.wait();
        return None;
    }
    let output = child.wait_with_output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
