//! Which control groups a process is in, and what their files say.
//!
//! The shim makes, changes and removes none: that is the runtime's work. It asks what a container
//! uses ([`file`]), and hears when one runs out of memory (`supervise/oom.rs`).

pub mod file;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Where cgroups are mounted on every usual host.
const USUAL_MOUNT_POINT: &str = "/sys/fs/cgroup";

/// The cgroups of a process, as directories of the mounted hierarchies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cgroups {
    /// All controllers are in one hierarchy, cgroup v2.
    Unified(PathBuf),
    /// Each controller (or set of joined ones) has a hierarchy of its own, cgroup v1, whether or
    /// not there is a version 2 without controllers beside them.
    Separate(Vec<Membership>),
}

/// A process' place in a hierarchy of cgroup v1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The controllers of the hierarchy, such as `["cpu", "cpuacct"]`.
    pub controllers: Vec<String>,
    /// The cgroup's directory.
    pub directory: PathBuf,
}

/// The hierarchies that are mounted. Who asks for the cgroups of several processes finds these out once:
/// a host with many containers has thousands of mounts.
#[derive(Debug)]
pub struct Hierarchies {
    /// Their lines of `/proc/self/mountinfo`.
    mountinfo: String,
}

impl Hierarchies {
    /// Those that are mounted now.
    pub fn mounted() -> Result<Self> {
        let path = "/proc/self/mountinfo";
        let mut mountinfo = read(path).with_context(|| format!("read({path})"))?;
        mountinfo = (mountinfo.lines().filter(|line| mount(line).is_some()))
            .flat_map(|line| [line, "\n"])
            .collect();
        Ok(Hierarchies { mountinfo })
    }

    /// The cgroups that process `pid` is in (`cgroups(7)`, `/proc/PID/cgroup`).
    ///
    /// Ask while the process is alive: one that has ended is in the root of each hierarchy of
    /// version 1. Fails where none is mounted, and if there is no such process.
    pub fn cgroups_of(&self, pid: i32) -> Result<Cgroups> {
        let path = format!("/proc/{pid}/cgroup");
        let membership = read(&path).with_context(|| format!("read({path})"))?;
        resolve(&membership, &mounts(&self.mountinfo))
            .with_context(|| format!("find the cgroups of process {pid}"))
    }
}

/// A file of the kernel's own, whose size nobody knows before: in few pieces.
fn read(path: &str) -> io::Result<String> {
    let mut text = String::with_capacity(4096);
    File::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}

impl Cgroups {
    /// [`Hierarchies::cgroups_of`], for who asks but once.
    pub fn of(pid: i32) -> Result<Self> {
        Hierarchies::mounted()?.cgroups_of(pid)
    }

    /// The directory in which `controller` has its files, whether it is used there or not.
    pub fn directory(&self, controller: &str) -> Option<&Path> {
        match self {
            Cgroups::Unified(directory) => Some(directory),
            Cgroups::Separate(memberships) => memberships
                .iter()
                .find(|membership| membership.controllers.iter().any(|c| c == controller))
                .map(|membership| membership.directory.as_path()),
        }
    }
}

/// Moves process `pid` into the cgroup `path`, in each hierarchy that has such a one. Fails if none
/// has.
pub fn join(path: &str, pid: u32) -> Result<()> {
    let below = Path::new(path.trim_start_matches('/'));
    if below.components().any(|part| part.as_os_str() == "..") {
        bail!("the cgroup {path:?} has \"..\" in it");
    }
    let mountinfo = "/proc/self/mountinfo";
    let mountinfo = fs::read_to_string(mountinfo).with_context(|| format!("read({mountinfo})"))?;
    let mounts = mounts(&mountinfo);
    let kind = if is_unified(&mounts) {
        "cgroup2"
    } else {
        "cgroup"
    };
    let mounts = mounts.iter().filter(|mount| mount.kind == kind);
    let directories = mounts.map(|mount| mount.point.join(below));
    let mut joined = false;
    for directory in directories.filter(|directory| directory.is_dir()) {
        let file = directory.join("cgroup.procs");
        fs::write(&file, pid.to_string())
            .with_context(|| format!("write({}, {pid})", file.display()))?;
        joined = true;
    }
    if !joined {
        bail!("there is no cgroup {path}");
    }
    Ok(())
}

/// A mounted hierarchy, from a line of mountinfo.
#[derive(Debug, PartialEq, Eq)]
struct Mount<'a> {
    /// `cgroup` or `cgroup2`.
    kind: &'a str,
    /// Which cgroup of the hierarchy is seen at the mount point: not its root where one container
    /// runs in another.
    root: &'a str,
    point: PathBuf,
    /// Of version 1: among them the controllers.
    options: &'a str,
}

/// The hierarchies among the mounts of `mountinfo` (`proc_pid_mountinfo(5)`). Where one is mounted
/// several times, that at the usual place comes first; of several on top of each other the last one,
/// which hides the others.
fn mounts(mountinfo: &str) -> Vec<Mount<'_>> {
    let mut found: Vec<Mount<'_>> = mountinfo.lines().rev().filter_map(mount).collect();
    found.sort_by_key(|mount| !mount.point.starts_with(USUAL_MOUNT_POINT));
    found
}

fn mount(line: &str) -> Option<Mount<'_>> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut file_system = file_system.split(' ');
    let (kind, options) = (file_system.next()?, file_system.nth(1)?);
    if kind != "cgroup" && kind != "cgroup2" {
        return None;
    }
    let mut fields = mount.split(' ').skip(3);
    Some(Mount {
        kind,
        root: fields.next()?,
        point: PathBuf::from(fields.next()?),
        options,
    })
}

/// Whether version 2 is what this system uses, as runc tells it: mounted at the usual place itself, or
/// alone. A hierarchy of version 1 may be there all the same, for net_cls, say. Where version 1 is at
/// the usual place, version 2 beside it has no controllers.
fn is_unified(mounts: &[Mount<'_>]) -> bool {
    let usual = |mount: &&Mount<'_>| mount.point == Path::new(USUAL_MOUNT_POINT);
    match mounts.iter().find(usual) {
        Some(mount) => mount.kind == "cgroup2",
        None => mounts.iter().all(|mount| mount.kind == "cgroup2"),
    }
}

fn resolve(membership: &str, mounts: &[Mount<'_>]) -> Result<Cgroups> {
    let mut unified = None;
    let mut separate = Vec::new();
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(names), Some(cgroup)) = (fields.next(), fields.next()) else {
            continue;
        };
        let controllers: Vec<&str> = names.split(',').collect();
        let found = mounts.iter().find(|mount| match names {
            "" => mount.kind == "cgroup2",
            _ => {
                mount.kind == "cgroup"
                    && (controllers.iter()).all(|name| mount.options.split(',').any(|o| o == *name))
            }
        });
        let Some(directory) = found.map(|mount| place(mount, cgroup)) else {
            continue;
        };
        if names.is_empty() {
            unified = Some(directory);
        } else if !names.starts_with("name=") {
            separate.push(Membership {
                controllers: controllers.iter().map(|&name| name.to_owned()).collect(),
                directory,
            });
        }
    }
    match unified {
        _ if !separate.is_empty() && !is_unified(mounts) => Ok(Cgroups::Separate(separate)),
        Some(directory) => Ok(Cgroups::Unified(directory)),
        None => bail!("no cgroup file system is mounted"),
    }
}

/// Where `cgroup` is seen below the mount point. A cgroup outside what is mounted there is the
/// mount point itself, as far as we can see.
fn place(mount: &Mount<'_>, cgroup: &str) -> PathBuf {
    let below = Path::new(cgroup)
        .strip_prefix(mount.root)
        .unwrap_or(Path::new(""));
    let outside = below.components().any(|part| part.as_os_str() == "..");
    if outside || below.as_os_str().is_empty() {
        return mount.point.clone();
    }
    mount.point.join(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEPARATE: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /mnt/memory rw,relatime shared:7 - cgroup cgroup rw,memory
36 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:7 - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn controllers_of_a_hybrid_host_are_found_at_their_usual_places() {
        let membership = "9:name=systemd:/s\n4:memory:/a:b/c\n3:cpu,cpuacct:/\n7:rdma:/\n0::/u\n";
        let cgroups = resolve(membership, &mounts(SEPARATE)).unwrap();
        let directory = |controller| cgroups.directory(controller).and_then(Path::to_str);
        assert_eq!(directory("memory"), Some("/sys/fs/cgroup/memory/a:b/c"));
        assert_eq!(directory("cpuacct"), Some("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(directory("rdma"), None, "not mounted");
        assert_eq!(directory("systemd"), None, "not a controller");
    }

    #[test]
    fn a_container_in_a_container_is_seen_below_what_is_mounted_there() {
        let unified = "30 1 0:25 /outer/it /sys/fs/cgroup rw - cgroup2 cgroup rw,nsdelegate\n";
        let of = |cgroup: &str| resolve(&format!("0::{cgroup}\n"), &mounts(unified)).unwrap();
        let at = |path: &str| Cgroups::Unified(PathBuf::from(path));
        assert_eq!(of("/outer/it/inner"), at("/sys/fs/cgroup/inner"));
        assert_eq!(of("/outer/it"), at("/sys/fs/cgroup"));
        assert_eq!(of("/../elsewhere"), at("/sys/fs/cgroup"));
    }

    #[test]
    fn of_mounts_on_top_of_each_other_the_last_is_seen() {
        let mountinfo = "\
54 50 0:32 /.. /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
99 98 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
";
        let cgroups = resolve("4:memory:/lane/one\n", &mounts(mountinfo)).unwrap();
        let directory = cgroups.directory("memory").and_then(Path::to_str);
        assert_eq!(directory, Some("/sys/fs/cgroup/memory/lane/one"));
    }

    #[test]
    fn one_hierarchy_of_version_1_beside_version_2_changes_nothing() {
        let mountinfo = "\
30 1 0:25 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw
31 1 0:40 / /sys/fs/cgroup/net_cls rw - cgroup cgroup rw,net_cls
";
        let cgroups = resolve("1:net_cls:/\n0::/pod/one\n", &mounts(mountinfo)).unwrap();
        let unified = Cgroups::Unified(PathBuf::from("/sys/fs/cgroup/pod/one"));
        assert_eq!(cgroups, unified);
    }

    #[test]
    fn a_host_without_cgroups_is_an_error() {
        let error = resolve("0::/\n", &[]).unwrap_err();
        assert_eq!(error.to_string(), "no cgroup file system is mounted");
    }

    #[test]
    fn a_process_moves_where_there_is_such_a_cgroup() {
        let own = i32::try_from(std::process::id()).unwrap();
        let cgroups = Cgroups::of(own).unwrap();
        let name = format!("shim-test-join-{own}");
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let root = mounts(&mountinfo)
            .into_iter()
            .find(|mount| match cgroups {
                Cgroups::Unified(_) => mount.kind == "cgroup2",
                Cgroups::Separate(_) => mount.options.split(',').any(|option| option == "pids"),
            })
            .unwrap();
        let directory = root.point.join(&name);
        fs::create_dir(&directory).unwrap();
        let mut sleeper = std::process::Command::new("sleep")
            .arg("600")
            .spawn()
            .unwrap();
        let joined = join(&format!("/{name}"), sleeper.id());
        let members = fs::read_to_string(directory.join("cgroup.procs")).unwrap();
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        fs::remove_dir(&directory).unwrap();
        joined.unwrap();
        assert_eq!(members.trim(), sleeper.id().to_string());
        assert!(join("/no/such/cgroup", std::process::id()).is_err());
        assert!(join("/../x", std::process::id()).is_err());
    }

    #[test]
    fn our_own_cgroups_exist() {
        let own = i32::try_from(std::process::id()).unwrap();
        let cgroups = Cgroups::of(own).unwrap();
        let directory = cgroups.directory("memory").unwrap();
        assert!(directory.join("cgroup.procs").exists(), "{directory:?}");
    }
}
