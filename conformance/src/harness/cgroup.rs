//! Reading a container's cgroups from the host's side, wherever the runtime has put it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::probe::Mount;
use crate::verdict::Stop;

/// Where the cgroup v2 tree is mounted.
pub fn unified_mount() -> Option<PathBuf> {
    super::mounts()
        .iter()
        .find(|mount| mount.kind == "cgroup2")
        .map(|mount| (&mount.point).into())
}

/// The directory of the process's cgroup in the hierarchy of a v1 controller, or with the empty
/// name in the v2 tree.
///
/// # Errors
/// No such process, or the controller isn't mounted.
pub fn directory(pid: i32, controller: &str) -> Result<PathBuf, Stop> {
    let lines = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let wanted = |line: &&str| {
        let mut fields = line.splitn(3, ':');
        let (number, names) = (fields.next(), fields.next().unwrap_or_default());
        if controller.is_empty() {
            number == Some("0") && names.is_empty()
        } else {
            names.split(',').any(|name| name == controller)
        }
    };
    let path = lines
        .lines()
        .find(wanted)
        .and_then(|line| line.splitn(3, ':').nth(2));
    let mounts = super::mounts();
    let mount = mounts.iter().find(|mount| {
        if controller.is_empty() {
            mount.kind == "cgroup2"
        } else {
            mount.kind == "cgroup"
                && mount
                    .super_options
                    .iter()
                    .any(|option| option == controller)
        }
    });
    match (path, mount) {
        (Some(path), Some(mount)) => Ok(below(mount, path)),
        _ => Err(Stop::Broken(format!(
            "process {pid} has no cgroup with controller {controller:?}"
        ))),
    }
}

fn below(mount: &Mount, path: &str) -> PathBuf {
    let inside = path
        .strip_prefix(mount.root.trim_end_matches('/'))
        .unwrap_or(path);
    Path::new(&mount.point).join(inside.trim_start_matches('/'))
}

/// One file of a process's cgroup, without the last newline.
///
/// # Errors
/// As [`directory`], and that of reading.
pub fn value(pid: i32, controller: &str, file: &str) -> Result<String, Stop> {
    let path = directory(pid, controller)?.join(file);
    let text = fs::read_to_string(&path)
        .map_err(|error| Stop::Broken(format!("{}: {error}", path.display())))?;
    Ok(text.trim_end().to_owned())
}

/// The directories named `name` at the top of every mounted hierarchy.
pub fn left_behind(name: &str) -> Vec<PathBuf> {
    super::mounts()
        .iter()
        .filter(|mount| mount.kind == "cgroup" || mount.kind == "cgroup2")
        .map(|mount| Path::new(&mount.point).join(name))
        .filter(|path| path.exists())
        .collect()
}

/// Removes an empty tree of cgroups, deepest first; what holds a process stays.
pub fn remove(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(directory);
}
