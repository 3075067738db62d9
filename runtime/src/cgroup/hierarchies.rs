//! The host's cgroup hierarchies, found once.

use std::ffi::{CStr, CString};

use rustix::fs::{CWD, Mode, OFlags, openat, statfs};
use rustix::io::Errno;

use super::{files, tree};
use crate::error::{CallContext as _, Error, Result};
use crate::mountinfo::unescape;
use crate::sys::exec::spend;

/// Where cgroups are mounted on every usual host (systemd's `cgroup-util`, Docker's
/// cgroupfs-mount).
const USUAL_MOUNT_POINT: &str = "/sys/fs/cgroup";

/// Which kinds of hierarchy the host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One unified hierarchy with all controllers.
    V2,
    /// Separate hierarchies for the controllers.
    V1,
    /// As [`Layout::V1`], and beside them a unified hierarchy without controllers of use.
    Hybrid,
}

/// Which of the kernel's two interfaces a hierarchy has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// cgroup v1 (Documentation/admin-guide/cgroup-v1).
    V1,
    /// cgroup v2 (Documentation/admin-guide/cgroup-v2.rst).
    V2,
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Its interface.
    pub version: Version,
    /// As the second field of `/proc/PID/cgroup` has it: `cpu,cpuacct`, `name=systemd`, or empty
    /// for cgroup v2.
    pub name: String,
    /// The controllers that can be used in it.
    pub controllers: Vec<String>,
    /// Where it is mounted: an absolute path without symlinks.
    pub mount_point: String,
    /// The runtime's own cgroup in it, from `/`.
    pub own: String,
}

/// The host's hierarchies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchies {
    /// Which kinds there are.
    pub layout: Layout,
    /// All that are mounted, in the order of `/proc/self/cgroup`.
    pub list: Vec<Hierarchy>,
}

impl Hierarchies {
    /// Finds what is mounted, from `/proc/self/cgroup` and the directory of the usual mount
    /// points; mountinfo is read only for what is not at its usual place.
    ///
    /// Fails where no cgroup file system is mounted.
    pub fn detect() -> Result<Self> {
        let usual = match statfs(USUAL_MOUNT_POINT) {
            Ok(found) => found.f_type,
            Err(Errno::NOENT) => 0,
            Err(errno) => return Err(errno).call(|| format!("statfs({USUAL_MOUNT_POINT:?})")),
        };
        let membership = files::read_once("/proc/self/cgroup")?;
        if usual == files::CGROUP2_MAGIC {
            return unified(USUAL_MOUNT_POINT, &membership);
        }
        let hierarchies = named_in(&membership);
        let names = directories_of(&hierarchies)?;
        let (mut list, missing) = at_usual_places(hierarchies, &names);
        if !missing.is_empty() {
            let mountinfo = files::read_once("/proc/self/mountinfo")?;
            if let [only] = missing.as_slice()
                && list.is_empty()
                && only.name.is_empty()
                && let Some(mount_point) = mounted_at(only, &mountinfo)
            {
                return unified(&mount_point, &membership);
            }
            list.extend(missing.into_iter().filter_map(|hierarchy| {
                let mount_point = mounted_at(&hierarchy, &mountinfo)?;
                Some(Hierarchy {
                    mount_point,
                    ..hierarchy
                })
            }));
        }
        if let Some(v2) = list
            .iter()
            .position(|hierarchy| hierarchy.version == Version::V2)
        {
            let mount_point = &list[v2].mount_point;
            let found = statfs(mount_point.as_str())
                .call(|| format!("statfs({mount_point:?})"))?
                .f_type;
            if found != files::CGROUP2_MAGIC {
                list.remove(v2);
            }
        }
        if list.is_empty() {
            return Err(Error::new("no cgroup file system is mounted").hint(
                "mount cgroup2 at /sys/fs/cgroup, or the v1 controllers below it \
                 (the package cgroupfs-mount does that)",
            ));
        }
        let hybrid = list
            .iter()
            .any(|hierarchy| hierarchy.version == Version::V2);
        Ok(Hierarchies {
            layout: if hybrid { Layout::Hybrid } else { Layout::V1 },
            list,
        })
    }

    /// The hierarchies of a container without cgroups.
    pub fn none() -> Self {
        Hierarchies {
            layout: Layout::V2,
            list: Vec::new(),
        }
    }

    /// The hierarchy in which `controller` can be used.
    pub fn with_controller(&self, controller: &str) -> Option<&Hierarchy> {
        self.list
            .iter()
            .find(|hierarchy| hierarchy.controllers.iter().any(|c| c == controller))
    }

    /// The directory of the process' cgroup of version 2; none if it has ended, or is in none below
    /// what is mounted here.
    pub fn v2_cgroup_of(&self, pid: i32) -> Option<String> {
        let mut all = self.list.iter();
        let hierarchy = all.find(|hierarchy| hierarchy.version == Version::V2)?;
        let membership = files::read(&format!("/proc/{pid}/cgroup")).ok()?;
        let cgroup = membership
            .lines()
            .find_map(|line| line.strip_prefix("0::"))?;
        let outside = cgroup.starts_with("/..") || cgroup.ends_with(" (deleted)");
        (!outside).then(|| format!("{}{cgroup}", hierarchy.mount_point))
    }

    /// Whether `controller` can be used at all.
    pub fn has(&self, controller: &str) -> bool {
        self.with_controller(controller).is_some()
    }
}

/// The one hierarchy of a host that has only cgroup v2.
fn unified(mount_point: &str, membership: &str) -> Result<Hierarchies> {
    let own = membership
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .ok_or_else(|| Error::new("/proc/self/cgroup names no cgroup of version 2"))?;
    let controllers = files::read(&format!("{mount_point}/cgroup.controllers"))?;
    let hierarchy = Hierarchy {
        version: Version::V2,
        name: String::new(),
        controllers: controllers.split_whitespace().map(str::to_owned).collect(),
        mount_point: mount_point.to_owned(),
        own: own.to_owned(),
    };
    Ok(Hierarchies {
        layout: Layout::V2,
        list: vec![hierarchy],
    })
}

/// The hierarchies of `membership` (the text of `/proc/self/cgroup`, cgroups(7)) with their usual
/// mount points.
fn named_in(membership: &str) -> Vec<Hierarchy> {
    let hierarchies = membership.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (name, own) = (fields.next()?, fields.next()?);
        let directory = match name {
            "" => "unified",
            name => name.strip_prefix("name=").unwrap_or(name),
        };
        let real = !name.is_empty() && !name.starts_with("name=");
        Some(Hierarchy {
            version: if name.is_empty() {
                Version::V2
            } else {
                Version::V1
            },
            name: name.to_owned(),
            controllers: name
                .split(',')
                .filter(|_| real)
                .map(str::to_owned)
                .collect(),
            mount_point: format!("{USUAL_MOUNT_POINT}/{directory}"),
            own: own.to_owned(),
        })
    });
    hierarchies.collect()
}

/// Those whose usual mount point is among `names`, and those whose isn't.
///
/// systemd mounts `cpu,cpuacct` under that very name and makes symlinks for the single ones; a
/// mount point that is a symlink is not taken: paths below it would not be free of symlinks.
fn at_usual_places(
    hierarchies: Vec<Hierarchy>,
    names: &[CString],
) -> (Vec<Hierarchy>, Vec<Hierarchy>) {
    hierarchies.into_iter().partition(|hierarchy| {
        let mut names = names.iter();
        names.any(|name| is_usual_place_of(hierarchy, name))
    })
}

fn is_usual_place_of(hierarchy: &Hierarchy, name: &CStr) -> bool {
    let directory = hierarchy.mount_point.rsplit('/').next().unwrap_or_default();
    name.to_bytes() == directory.as_bytes()
}

/// The names of the directories in the usual place that are of these hierarchies; none if it isn't
/// there. Once all have been seen, the kernel isn't asked whether there are more.
fn directories_of(hierarchies: &[Hierarchy]) -> Result<Vec<CString>> {
    let path = USUAL_MOUNT_POINT;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = match openat(CWD, path, flags, Mode::empty()) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return Ok(Vec::new()),
        Err(errno) => return Err(errno).call(|| format!("open({path:?}, O_DIRECTORY)")),
    };
    let mut found = Vec::with_capacity(hierarchies.len());
    let listed = tree::each_sub_directory(&directory, |name| {
        if hierarchies.iter().any(|it| is_usual_place_of(it, name)) {
            found.push(name.to_owned());
        }
        found.len() < hierarchies.len()
    });
    spend([directory]);
    listed.call(|| format!("getdents64({path:?})"))?;
    Ok(found)
}

/// Where `mountinfo` (`proc_pid_mountinfo(5)`) has `hierarchy` mounted.
fn mounted_at(hierarchy: &Hierarchy, mountinfo: &str) -> Option<String> {
    mountinfo.lines().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mount_point = mount.split(' ').nth(4)?;
        let mut fields = file_system.split(' ');
        let (kind, options) = (fields.next()?, fields.nth(1)?);
        let matches = match hierarchy.version {
            Version::V2 => kind == "cgroup2",
            Version::V1 => {
                kind == "cgroup"
                    && hierarchy
                        .name
                        .split(',')
                        .all(|name| options.split(',').any(|o| o == name))
            }
        };
        matches.then(|| unescape(mount_point))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<CString> {
        list.iter()
            .map(|&name| CString::new(name).unwrap())
            .collect()
    }

    #[test]
    fn a_systemd_host_with_joined_controllers() {
        let (list, missing) = at_usual_places(
            named_in(
                "4:memory:/user.slice\n3:cpu,cpuacct:/\n1:name=systemd:/a:b\n0::/user.slice/x\n",
            ),
            &names(&["memory", "cpu,cpuacct", "systemd", "unified"]),
        );
        assert!(missing.is_empty());
        assert_eq!(list[1].mount_point, "/sys/fs/cgroup/cpu,cpuacct");
        assert_eq!(list[1].controllers, ["cpu", "cpuacct"]);
        assert_eq!(
            (list[2].mount_point.as_str(), list[2].own.as_str()),
            ("/sys/fs/cgroup/systemd", "/a:b")
        );
        assert!(list[2].controllers.is_empty() && list[3].controllers.is_empty());
        assert_eq!(list[3].version, Version::V2);
    }

    #[test]
    fn what_is_mounted_elsewhere_is_found_in_mountinfo() {
        let (list, missing) = at_usual_places(named_in("2:cpu,cpuacct:/\n1:name=x:/\n0::/\n"), &[]);
        assert!(list.is_empty());
        let mountinfo = "\
            31 23 0:28 / /a rw - tmpfs tmpfs rw,mode=755\n\
            32 31 0:29 / /a/both\\040here rw,relatime shared:9 - cgroup cgroup rw,cpuacct,cpu\n\
            33 31 0:30 / /two rw - cgroup2 none rw\n";
        let found: Vec<_> = missing.iter().map(|h| mounted_at(h, mountinfo)).collect();
        assert_eq!(
            found,
            [
                Some("/a/both here".to_owned()),
                None,
                Some("/two".to_owned())
            ]
        );
    }

    #[test]
    fn this_host_has_hierarchies() {
        let hierarchies = Hierarchies::detect().unwrap();
        assert!(hierarchies.has("memory") && hierarchies.has("pids"));
        let v2 = hierarchies
            .list
            .iter()
            .filter(|h| h.version == Version::V2)
            .count();
        match hierarchies.layout {
            Layout::V1 => assert_eq!(v2, 0),
            Layout::Hybrid => assert!(v2 == 1 && hierarchies.list.len() > 1),
            Layout::V2 => assert!(v2 == 1 && hierarchies.list.len() == 1),
        }
    }
}
