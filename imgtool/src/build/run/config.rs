//! A RUN's config.json: what Docker's default container may (its capabilities, its seccomp profile),
//! and nothing of the image but its environment, user and working directory.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::mounts::Prepared;
use crate::build::configuration::PATH;
use crate::build::dockerfile::mount::Network;
use crate::bundle::options::default_seccomp_filter;
use crate::bundle::runtime_config::Mount;
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

/// Docker's default capabilities (moby's `oci/caps`), which package managers count on.
const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];
const HOSTNAME: &str = "windlass-build";

/// A config.json in the making.
#[derive(Debug)]
pub struct Config {
    pub(super) mounts: Vec<Mount>,
    rest: Value,
}

impl Config {
    pub(super) fn set_root(&mut self, root: &Path) {
        self.rest["root"] = json!({ "path": root.to_string_lossy() });
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>> {
        let mut config = self.rest.clone();
        config["mounts"] = serde_json::to_value(&self.mounts)?;
        Ok(serde_json::to_vec(&config)?)
    }
}

/// Makes it; users are looked up in `root`.
pub(super) fn make(
    command: &Command,
    prepared: &Prepared,
    network: Network,
    root: &RootFs,
) -> Result<Config> {
    let user = user::resolve(&command.user, Some(root))?;
    let mut environment = command.environment.clone();
    environment.extend(prepared.environment.iter().cloned());
    set_default(&mut environment, &format!("PATH={PATH}"));
    let home = user.home.as_deref().unwrap_or("/");
    set_default(&mut environment, &format!("HOME={home}"));
    let mut mounts = standard_mounts();
    mounts.extend(network_files(prepared)?);
    mounts.extend(prepared.mounts.iter().cloned());
    let mut namespaces = vec!["pid", "ipc", "uts", "mount"];
    if network == Network::None {
        namespaces.push("network");
    }
    let namespaces: Vec<Value> = namespaces
        .into_iter()
        .map(|kind| json!({ "type": kind }))
        .collect();
    let rest = json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": user.uid, "gid": user.gid, "additionalGids": user.additional_gids },
            "args": command.arguments,
            "env": environment,
            "cwd": command.directory,
            "capabilities": {
                "bounding": CAPABILITIES,
                "effective": if user.uid == 0 { &CAPABILITIES[..] } else { &[] },
                "permitted": if user.uid == 0 { &CAPABILITIES[..] } else { &[] },
            },
        },
        "hostname": HOSTNAME,
        "linux": {
            "seccomp": default_seccomp_filter(&CAPABILITIES).context("default seccomp profile")?,
            "resources": { "devices": devices() },
            "namespaces": namespaces,
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
                "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
                "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
            ],
            "readonlyPaths": [
                "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
            ],
        },
    });
    Ok(Config { mounts, rest })
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

fn standard_mounts() -> Vec<Mount> {
    let dev = ["nosuid", "strictatime", "mode=755", "size=65536k"];
    let pts = [
        "nosuid",
        "noexec",
        "newinstance",
        "ptmxmode=0666",
        "mode=0620",
        "gid=5",
    ];
    let shm = ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"];
    let plain = ["nosuid", "noexec", "nodev"];
    vec![
        Mount::new("/proc", "proc", "proc", &plain),
        Mount::new("/dev", "tmpfs", "tmpfs", &dev),
        Mount::new("/dev/pts", "devpts", "devpts", &pts),
        Mount::new("/dev/shm", "tmpfs", "shm", &shm),
        Mount::new("/dev/mqueue", "mqueue", "mqueue", &plain),
        Mount::new(
            "/sys",
            "sysfs",
            "sysfs",
            &["nosuid", "noexec", "nodev", "ro"],
        ),
    ]
}

/// `hosts` and `resolv.conf`, as the host has them.
fn network_files(prepared: &Prepared) -> Result<Vec<Mount>> {
    let mut mounts = Vec::new();
    for name in ["hosts", "resolv.conf"] {
        let mut content = match std::fs::read_to_string(Path::new("/etc").join(name)) {
            Ok(content) => content,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("read /etc/{name}")),
        };
        if name == "hosts" {
            content.push_str("\n127.0.1.1\t");
            content.push_str(HOSTNAME);
            content.push('\n');
        }
        let path = prepared.directory.join(name);
        std::fs::write(&path, content).with_context(|| format!("write {}", path.display()))?;
        let source = path.to_str().context("the store's path is not UTF-8")?;
        mounts.push(Mount::new(
            &format!("/etc/{name}"),
            "bind",
            source,
            &["bind", "ro"],
        ));
    }
    Ok(mounts)
}
