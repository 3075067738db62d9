//! Bundles: a config.json that any runtime takes, and a root file system that holds the probe.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::verdict::Stop;

/// The capabilities that Docker gives a container by default.
pub const DEFAULT_CAPABILITIES: &[&str] = &[
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

/// A bundle that a case may change as it likes before the runtime sees it.
#[derive(Debug)]
pub struct Bundle {
    /// The bundle's directory.
    pub directory: PathBuf,
    /// What [`Bundle::write`] makes config.json of.
    pub config: Value,
}

impl Bundle {
    /// Makes a bundle: the base config and a root file system with `probe` linked in.
    ///
    /// # Errors
    /// Those of making files.
    pub fn new(directory: PathBuf, probe: &Path, cgroups_path: &str) -> Result<Bundle, Stop> {
        let bundle = Bundle {
            directory,
            config: base_config(cgroups_path),
        };
        let root = bundle.rootfs();
        let builder = |mode| {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(mode);
            builder
        };
        for name in ["proc", "sys", "dev", "etc", "root", "var", "mnt"] {
            builder(0o755).create(root.join(name))?;
        }
        builder(0o777).create(root.join("tmp"))?;
        // The umask may have cut the mode; images have /tmp open to everyone.
        fs::set_permissions(
            root.join("tmp"),
            std::os::unix::fs::PermissionsExt::from_mode(0o1777),
        )?;
        fs::write(
            root.join("etc/passwd"),
            "root:x:0:0:root:/root:/probe\nprobe:x:1000:1000:probe:/tmp:/probe\n",
        )?;
        fs::write(root.join("etc/group"), "root:x:0:\nprobe:x:1000:\n")?;
        fs::write(root.join("etc/motd"), "conformance\n")?;
        if fs::hard_link(probe, root.join("probe")).is_err() {
            fs::copy(probe, root.join("probe"))?;
        }
        symlink("/probe", root.join("linked-probe"))?;
        Ok(bundle)
    }

    /// The root file system on the host.
    pub fn rootfs(&self) -> PathBuf {
        self.directory.join("rootfs")
    }

    /// Writes config.json.
    ///
    /// # Errors
    /// Those of writing the file.
    pub fn write(&self) -> Result<(), Stop> {
        let text = serde_json::to_string_pretty(&self.config)?;
        fs::write(self.directory.join("config.json"), text)?;
        Ok(())
    }

    /// Sets `process.args` to the probe's verb and its words.
    pub fn set_probe(&mut self, words: &[&str]) {
        let mut arguments = vec!["/probe", "probe"];
        arguments.extend_from_slice(words);
        self.config["process"]["args"] = json!(arguments);
    }

    /// Adds a mount behind the others.
    pub fn add_mount(&mut self, mount: Value) {
        push(&mut self.config["mounts"], mount);
    }

    /// Adds a namespace.
    pub fn add_namespace(&mut self, namespace: Value) {
        push(&mut self.config["linux"]["namespaces"], namespace);
    }

    /// Takes the namespace of this type out, so that the container shares the runtime's.
    pub fn drop_namespace(&mut self, kind: &str) {
        if let Some(namespaces) = self.config["linux"]["namespaces"].as_array_mut() {
            namespaces.retain(|namespace| namespace["type"] != kind);
        }
    }

    /// Takes the mount at this destination out.
    pub fn drop_mount(&mut self, destination: &str) {
        if let Some(mounts) = self.config["mounts"].as_array_mut() {
            mounts.retain(|mount| mount["destination"] != destination);
        }
    }

    /// Adds a hook that calls the probe outside or inside the container, and writes what it sees
    /// to `file`.
    pub fn add_hook(&mut self, kind: &str, program: &Path, file: &str, label: &str, rest: &[&str]) {
        let mut arguments = vec!["probe-hook", "probe", "hook", file, label];
        arguments.extend_from_slice(rest);
        let hook = json!({ "path": program, "args": arguments });
        push(&mut self.config["hooks"][kind], hook);
    }
}

/// Appends to a JSON array, which is made when it is not there.
pub fn push(array: &mut Value, value: Value) {
    if let Some(values) = array.as_array_mut() {
        values.push(value);
    } else {
        *array = json!([value]);
    }
}

/// What every case starts from: Docker's namespaces, mounts and capabilities, without seccomp and
/// masks, which cases add where they matter.
pub fn base_config(cgroups_path: &str) -> Value {
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": { "uid": 0, "gid": 0 },
            "args": ["/probe", "probe", "see"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/"],
            "cwd": "/",
            "capabilities": {
                "bounding": DEFAULT_CAPABILITIES,
                "effective": DEFAULT_CAPABILITIES,
                "permitted": DEFAULT_CAPABILITIES,
            },
        },
        "root": { "path": "rootfs" },
        "hostname": "conformance",
        "mounts": [
            {
                "destination": "/proc", "type": "proc", "source": "proc",
                "options": ["nosuid", "noexec", "nodev"],
            },
            {
                "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
            },
            {
                "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
            },
            {
                "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
                "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
            },
            {
                "destination": "/sys", "type": "sysfs", "source": "sysfs",
                "options": ["nosuid", "noexec", "nodev", "ro"],
            },
        ],
        "linux": {
            "cgroupsPath": cgroups_path,
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" },
                { "type": "uts" }, { "type": "mount" },
            ],
        },
    })
}
