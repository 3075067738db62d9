//! Turns a config.json into the floor's list of system calls.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::step::{Cgroup, Plan, Step, Write};
use crate::hierarchies::Hierarchy;

const MS_RDONLY: u32 = 1;
const MS_REMOUNT: u32 = 32;
const MS_BIND: u32 = 4096;
const MS_REC: u32 = 16384;

/// What every runtime allows whatever the config says: to make device files, and to use the
/// default devices and pseudo-terminals.
const ALWAYS_ALLOWED: [&str; 10] = [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
];

/// The plan for the container `id` with this config.json, whose `root.path` is absolute.
pub fn plan(config: &Value, id: &str, hierarchies: &[Hierarchy]) -> Result<Plan> {
    let text = |pointer: &str| config.pointer(pointer).and_then(Value::as_str);
    let cgroups = hierarchies.iter().map(|hierarchy| Cgroup {
        path: hierarchy.parent().join(id),
        unified: hierarchy.unified,
    });
    let mut inside = Inside {
        steps: Vec::new(),
        id,
        hierarchies,
    };
    for mount in list(config, "/mounts") {
        inside.mount(mount)?;
    }
    inside.devices(config)?;
    inside.steps.push(Step::EnterRoot);
    inside.after_entering(config);
    Ok(Plan {
        namespaces: namespaces(config)?,
        cgroups: cgroups.collect(),
        limits: limits(config, id, hierarchies),
        rootfs: text("/root/path").context("root.path is missing")?.into(),
        steps: inside.steps,
        program: text("/process/args/0")
            .context("process.args is missing")?
            .into(),
    })
}

fn list<'config>(config: &'config Value, pointer: &str) -> &'config [Value] {
    config
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn strings<'config>(config: &'config Value, pointer: &str) -> Vec<&'config str> {
    list(config, pointer)
        .iter()
        .filter_map(Value::as_str)
        .collect()
}

/// `CLONE_NEW*` of clone(2) for the namespaces of config-linux.md, "Namespaces".
fn namespaces(config: &Value) -> Result<u64> {
    let mut flags = 0;
    for namespace in list(config, "/linux/namespaces") {
        let kind = namespace["type"].as_str().unwrap_or_default();
        flags |= match kind {
            "mount" => 0x0002_0000,
            "cgroup" => 0x0200_0000,
            "uts" => 0x0400_0000,
            "ipc" => 0x0800_0000,
            "pid" => 0x2000_0000,
            "network" => 0x4000_0000,
            _ => anyhow::bail!("the floor has no namespace of type {kind:?}"),
        };
    }
    Ok(flags)
}

/// What the config asks of the cgroup that is a plain write, in every hierarchy that has it.
fn limits(config: &Value, id: &str, hierarchies: &[Hierarchy]) -> Vec<Write> {
    let mut writes = Vec::new();
    for hierarchy in hierarchies {
        let cgroup = hierarchy.parent().join(id);
        let mut write = |file: &str, value: String| {
            writes.push(Write {
                path: cgroup.join(file),
                value,
            });
        };
        let number = |pointer: &str| {
            config
                .pointer(&format!("/linux/resources{pointer}"))
                .and_then(Value::as_i64)
                .filter(|value| *value != 0)
        };
        let (quota, period) = (number("/cpu/quota"), number("/cpu/period"));
        if hierarchy.unified {
            if !hierarchies.iter().all(|hierarchy| hierarchy.unified) {
                continue; // hybrid: the limits are in the v1 hierarchies
            }
            if let Some(limit) = number("/memory/limit") {
                write("memory.max", limit.to_string());
                if let Some(swap) = number("/memory/swap") {
                    // v1's figure counts memory and swap together, v2's swap alone.
                    write("memory.swap.max", (swap - limit).to_string());
                }
            }
            if let Some(quota) = quota {
                write("cpu.max", format!("{quota} {}", period.unwrap_or(100_000)));
            }
            if let Some(limit) = number("/pids/limit") {
                write("pids.max", limit.to_string());
            }
            continue;
        }
        if hierarchy.has("cpuset") {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let all = fs::read_to_string(hierarchy.mount.join(file)).unwrap_or_default();
                write(file, all.trim().to_owned());
            }
        }
        if hierarchy.has("memory") {
            if let Some(limit) = number("/memory/limit") {
                write("memory.limit_in_bytes", limit.to_string());
            }
            let swap = number("/memory/swap");
            let file = "memory.memsw.limit_in_bytes";
            if let Some(swap) = swap.filter(|_| hierarchy.mount.join(file).exists()) {
                write(file, swap.to_string());
            }
        }
        if hierarchy.has("cpu") {
            if let Some(shares) = number("/cpu/shares") {
                write("cpu.shares", shares.to_string());
            }
            if let Some(period) = period {
                write("cpu.cfs_period_us", period.to_string());
            }
            if let Some(quota) = quota {
                write("cpu.cfs_quota_us", quota.to_string());
            }
        }
        if let (true, Some(limit)) = (hierarchy.has("pids"), number("/pids/limit")) {
            write("pids.max", limit.to_string());
        }
        if hierarchy.has("devices") {
            for rule in list(config, "/linux/resources/devices") {
                let file = if rule["allow"] == true {
                    "devices.allow"
                } else {
                    "devices.deny"
                };
                write(file, device_rule(rule));
            }
            for rule in ALWAYS_ALLOWED {
                write("devices.allow", rule.to_owned());
            }
        }
    }
    writes
}

/// A device rule in the form of the v1 devices controller: `TYPE MAJOR:MINOR ACCESS`.
fn device_rule(rule: &Value) -> String {
    let kind = rule["type"].as_str().unwrap_or("a");
    let number = |name: &str| {
        rule[name]
            .as_i64()
            .map_or("*".into(), |number| number.to_string())
    };
    let access = rule["access"].as_str().unwrap_or("rwm");
    format!("{kind} {}:{} {access}", number("major"), number("minor"))
}

/// The steps of the container's first process, as they are put together.
struct Inside<'plan> {
    steps: Vec<Step>,
    id: &'plan str,
    hierarchies: &'plan [Hierarchy],
}

impl Inside<'_> {
    fn mount(&mut self, mount: &Value) -> Result<()> {
        let field = |name: &str| mount[name].as_str().unwrap_or_default().to_owned();
        let target = field("destination").trim_start_matches('/').to_owned();
        anyhow::ensure!(!target.is_empty(), "a mount without a destination: {mount}");
        let options = Options::read(&strings(mount, "/options"));
        if self.is_below_a_new_tmpfs(&target) {
            self.steps.push(Step::Mkdir(target.clone()));
        }
        if options.flags & MS_BIND != 0 {
            self.raw_mount(
                &field("source"),
                &target,
                "",
                options.flags & (MS_BIND | MS_REC),
                "",
            );
            let others = options.flags & !(MS_BIND | MS_REC);
            if others != 0 {
                self.raw_mount("", &target, "", MS_REMOUNT | MS_BIND | others, "");
            }
        } else if field("type") == "cgroup" {
            self.mount_cgroups(&target, options.flags);
        } else {
            let data = options.data.join(",");
            self.raw_mount(
                &field("source"),
                &target,
                &field("type"),
                options.flags,
                &data,
            );
        }
        if let Some(propagation) = options.propagation {
            self.raw_mount("", &target, "", propagation, "");
        }
        Ok(())
    }

    fn raw_mount(&mut self, source: &str, target: &str, kind: &str, flags: u32, data: &str) {
        self.steps.push(Step::Mount {
            source: source.into(),
            target: target.into(),
            kind: kind.into(),
            flags,
            data: data.into(),
        });
    }

    fn is_below_a_new_tmpfs(&self, path: &str) -> bool {
        self.steps.iter().any(|step| {
            matches!(step, Step::Mount { target, kind, .. }
                if kind == "tmpfs" && path.strip_prefix(target.as_str()).is_some_and(|rest| rest.starts_with('/')))
        })
    }

    /// v2: one mount. v1: a tmpfs with a bind mount of the container's own cgroup in every
    /// hierarchy. The tmpfs stays writable where the mount is read-only, as runc and crun leave it.
    fn mount_cgroups(&mut self, target: &str, flags: u32) {
        let v1: Vec<&Hierarchy> = self.hierarchies.iter().filter(|own| !own.unified).collect();
        if v1.is_empty() {
            return self.raw_mount("cgroup", target, "cgroup2", flags, "");
        }
        self.raw_mount("tmpfs", target, "tmpfs", flags & !MS_RDONLY, "mode=755");
        for hierarchy in v1 {
            let name = hierarchy
                .mount
                .file_name()
                .unwrap_or_default()
                .to_string_lossy();
            let below = format!("{target}/{name}");
            let own = hierarchy.parent().join(self.id);
            self.steps.push(Step::Mkdir(below.clone()));
            self.raw_mount(&own.to_string_lossy(), &below, "", MS_BIND, "");
            if flags != 0 {
                self.raw_mount("", &below, "", MS_REMOUNT | MS_BIND | flags, "");
            }
        }
    }

    /// The devices and links that config-linux.md, "Default Devices" and "Dev symbolic links",
    /// promises, and those of the config.
    fn devices(&mut self, config: &Value) -> Result<()> {
        let default = [
            ("null", 1, 3),
            ("zero", 1, 5),
            ("full", 1, 7),
            ("random", 1, 8),
            ("urandom", 1, 9),
            ("tty", 5, 0),
        ];
        for (name, major, minor) in default {
            let path = format!("dev/{name}");
            self.steps.push(Step::Device {
                path,
                mode: 0o666,
                major,
                minor,
            });
        }
        for device in list(config, "/linux/devices") {
            let number = |name: &str| -> Result<u32> {
                let number = device[name]
                    .as_u64()
                    .with_context(|| format!("{name}: {device}"))?;
                Ok(u32::try_from(number)?)
            };
            let path = device["path"]
                .as_str()
                .unwrap_or_default()
                .trim_start_matches('/');
            self.steps.push(Step::Device {
                path: path.into(),
                mode: number("fileMode")?,
                major: number("major")?,
                minor: number("minor")?,
            });
        }
        let links = [
            ("/proc/self/fd", "dev/fd"),
            ("/proc/self/fd/0", "dev/stdin"),
            ("/proc/self/fd/1", "dev/stdout"),
            ("/proc/self/fd/2", "dev/stderr"),
            ("pts/ptmx", "dev/ptmx"),
        ];
        for (target, path) in links {
            self.steps.push(Step::Symlink {
                target: target.into(),
                path: path.into(),
            });
        }
        Ok(())
    }

    /// What comes after `pivot_root`, where `/proc` is the container's.
    fn after_entering(&mut self, config: &Value) {
        if let Some(name) = config["hostname"].as_str() {
            self.steps.push(Step::Hostname(name.into()));
        }
        let sysctl = config.pointer("/linux/sysctl").and_then(Value::as_object);
        for (key, value) in sysctl.into_iter().flatten() {
            let path = PathBuf::from("/proc/sys").join(key.replace('.', "/"));
            let value = value.as_str().unwrap_or_default().to_owned();
            self.steps.push(Step::Write(Write { path, value }));
        }
        for path in strings(config, "/linux/readonlyPaths") {
            if Path::new(path).exists() {
                self.raw_mount(path, path, "", MS_BIND | MS_REC, "");
                self.raw_mount("", path, "", MS_REMOUNT | MS_BIND | MS_RDONLY, "");
            }
        }
        // One empty directory serves all masked directories; /dev/null serves the files.
        let mut empty_directory: Option<&str> = None;
        for path in strings(config, "/linux/maskedPaths") {
            match fs::metadata(path) {
                Err(_) => {}
                Ok(kind) if kind.is_dir() => {
                    if let Some(empty) = empty_directory {
                        self.raw_mount(empty, path, "", MS_BIND, "");
                    } else {
                        self.raw_mount("tmpfs", path, "tmpfs", MS_RDONLY, "");
                        empty_directory = Some(path);
                    }
                }
                Ok(_) => self.raw_mount("/dev/null", path, "", MS_BIND, ""),
            }
        }
        if config.pointer("/root/readonly") == Some(&Value::Bool(true)) {
            self.raw_mount("", "/", "", MS_REMOUNT | MS_BIND | MS_RDONLY, "");
        }
    }
}

/// Mount options (config.md, "Mounts"; mount(8)), sorted by how the kernel takes them.
struct Options<'config> {
    flags: u32,
    propagation: Option<u32>,
    data: Vec<&'config str>,
}

impl<'config> Options<'config> {
    fn read(options: &[&'config str]) -> Self {
        let mut read = Self {
            flags: 0,
            propagation: None,
            data: Vec::new(),
        };
        for option in options {
            match *option {
                "ro" => read.flags |= MS_RDONLY,
                "nosuid" => read.flags |= 2,
                "nodev" => read.flags |= 4,
                "noexec" => read.flags |= 8,
                "noatime" => read.flags |= 1024,
                "relatime" => read.flags |= 1 << 21,
                "strictatime" => read.flags |= 1 << 24,
                "bind" => read.flags |= MS_BIND,
                "rbind" => read.flags |= MS_BIND | MS_REC,
                "private" => read.propagation = Some(1 << 18),
                "rprivate" => read.propagation = Some(1 << 18 | MS_REC),
                "slave" => read.propagation = Some(1 << 19),
                "rslave" => read.propagation = Some(1 << 19 | MS_REC),
                "rw" => {}
                data => read.data.push(data),
            }
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::{Options, device_rule, namespaces, plan};
    use crate::floor::step::Step;
    use serde_json::json;

    #[test]
    fn namespaces_by_name() {
        let config = json!({"linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]}});
        assert_eq!(namespaces(&config).unwrap(), 0x2002_0000);
        let config = json!({"linux": {"namespaces": [{"type": "moon"}]}});
        assert!(namespaces(&config).is_err());
    }

    #[test]
    fn device_rules() {
        assert_eq!(
            device_rule(&json!({"allow": false, "access": "rwm"})),
            "a *:* rwm"
        );
        let null = json!({"type": "c", "major": 1, "minor": 3, "access": "rw"});
        assert_eq!(device_rule(&null), "c 1:3 rw");
    }

    #[test]
    fn options_by_kind() {
        let options = Options::read(&["ro", "rbind", "rprivate", "size=64k", "mode=755"]);
        assert_eq!(options.flags, 1 | 4096 | 16384);
        assert_eq!(options.propagation, Some(1 << 18 | 16384));
        assert_eq!(options.data, ["size=64k", "mode=755"]);
    }

    #[test]
    fn mount_point_below_a_new_tmpfs_is_made() {
        let config = json!({
            "root": {"path": "/r"},
            "process": {"args": ["/true"]},
            "mounts": [
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts"},
                {"destination": "/devices", "type": "proc", "source": "proc"}
            ]
        });
        let made: Vec<_> = plan(&config, "x", &[])
            .unwrap()
            .steps
            .into_iter()
            .filter(|step| matches!(step, Step::Mkdir(_)))
            .collect();
        assert_eq!(made, [Step::Mkdir("dev/pts".into())]);
    }
}
