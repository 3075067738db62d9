//! The cgroup hierarchies of this machine, and the one cgroup in each that all containers of a
//! comparison live below.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The name of the cgroup, below the root of each hierarchy, that the containers of the comparison
/// that this process makes live in.
pub fn parent_name() -> String {
    format!("windlass-bench-{}", std::process::id())
}

/// One mounted cgroup hierarchy.
#[derive(Debug, Clone)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// Its controllers (v1), for example `cpu` or `name=systemd`; empty for the unified one.
    pub controllers: Vec<String>,
    /// Whether it is the unified (v2) hierarchy.
    pub unified: bool,
}

impl Hierarchy {
    /// The parent cgroup of all containers in this hierarchy.
    pub fn parent(&self) -> PathBuf {
        self.mount.join(parent_name())
    }

    /// Whether this is the v1 hierarchy of `controller`.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|own| own == controller)
    }
}

/// The hierarchies that are mounted, in the order of `/proc/self/mountinfo` (proc(5)).
pub fn mounted() -> Result<Vec<Hierarchy>> {
    let text = fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
    Ok(parse(&text))
}

fn parse(mountinfo: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mountinfo.lines() {
        let Some((mount, file_system)) = line.split_once(" - ") else {
            continue;
        };
        let mut mount = mount.split(' ').skip(3);
        let mut file_system = file_system.split(' ');
        let (Some("/"), Some(mount_point)) = (mount.next(), mount.next()) else {
            continue;
        };
        let (kind, options) = (file_system.next(), file_system.nth(1).unwrap_or_default());
        let hierarchy = match kind {
            Some("cgroup") => Hierarchy {
                mount: mount_point.into(),
                controllers: options
                    .split(',')
                    .filter(|option| !matches!(*option, "rw" | "ro" | "xattr" | "clone_children"))
                    .filter(|option| !option.starts_with("release_agent"))
                    .map(str::to_owned)
                    .collect(),
                unified: false,
            },
            Some("cgroup2") => Hierarchy {
                mount: mount_point.into(),
                controllers: Vec::new(),
                unified: true,
            },
            _ => continue,
        };
        let same = |other: &Hierarchy| {
            other.unified == hierarchy.unified && other.controllers == hierarchy.controllers
        };
        if !found.iter().any(same) {
            found.push(hierarchy);
        }
    }
    found
}

/// The parent cgroups of a comparison; removed when this is dropped.
#[derive(Debug)]
pub struct Parents {
    /// The hierarchies that they are in.
    pub hierarchies: Vec<Hierarchy>,
}

impl Parents {
    /// Makes the parent cgroup in every hierarchy, ready to have containers below it.
    pub fn make() -> Result<Self> {
        let parents = Self {
            hierarchies: mounted()?,
        };
        for hierarchy in &parents.hierarchies {
            let parent = hierarchy.parent();
            make_directory(&parent)?;
            if hierarchy.has("cpuset") {
                // A v1 cpuset takes processes only once it has processors and memory nodes.
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    let all = fs::read_to_string(hierarchy.mount.join(file))
                        .with_context(|| format!("read {file}"))?;
                    write(&parent.join(file), all.trim())?;
                }
            }
            if parents.unified_only() {
                delegate_controllers(&hierarchy.mount, &parent)?;
            }
        }
        Ok(parents)
    }

    /// Whether this machine has only the unified hierarchy.
    pub fn unified_only(&self) -> bool {
        self.hierarchies.iter().all(|hierarchy| hierarchy.unified)
    }
}

impl Drop for Parents {
    fn drop(&mut self) {
        for hierarchy in &self.hierarchies {
            remove_tree(&hierarchy.parent());
        }
    }
}

/// What the unified hierarchy's root offers is switched on below it and below our parent, as
/// every runtime would have to (cgroup-v2.rst, "Enabling and Disabling").
fn delegate_controllers(root: &Path, parent: &Path) -> Result<()> {
    let offered = fs::read_to_string(root.join("cgroup.controllers"))
        .context("read cgroup.controllers of the unified hierarchy")?;
    for controller in offered.split_whitespace() {
        for directory in [root, parent] {
            // Some can't be switched on here (cpu with real-time processes about, for example);
            // then no contestant has it.
            let _ = fs::write(
                directory.join("cgroup.subtree_control"),
                format!("+{controller}"),
            );
        }
    }
    Ok(())
}

fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("make the cgroup {}", path.display()))
}

fn write(path: &Path, value: &str) -> Result<()> {
    fs::write(path, value).with_context(|| format!("write {value:?} to {}", path.display()))
}

/// Removes a cgroup and those below it, as far as they are empty.
fn remove_tree(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(path);
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn hybrid_machine() {
        let found = parse(
            "30 20 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
             31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n\
             32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
             33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n\
             34 20 0:27 /x /elsewhere rw - cgroup cgroup rw,cpu,cpuacct\n",
        );
        let seen: Vec<_> = found
            .iter()
            .map(|hierarchy| (hierarchy.controllers.join("+"), hierarchy.unified))
            .collect();
        let expected = [("cpu+cpuacct", false), ("name=systemd", false), ("", true)]
            .map(|(a, b)| (a.into(), b));
        assert_eq!(seen, expected);
        assert!(found[0].has("cpuacct"));
    }
}
