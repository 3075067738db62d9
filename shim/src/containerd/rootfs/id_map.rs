//! Mounts that show the owners of files as a user namespace's users (`MOUNT_ATTR_IDMAP`, Linux
//! 5.12), so that layers need no copy with other owners for a container in a user namespace.

use std::fmt::Write as _;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::{Target, sys};

/// A user namespace with the given mappings, each `CONTAINER:HOST:SIZE`, separated by commas.
pub fn user_namespace(uids: &str, gids: &str) -> Result<OwnedFd> {
    let (uids, gids) = (lines(uids)?, lines(gids)?);
    let process = sys::Idle::in_user_namespace().context("unshare(CLONE_NEWUSER)")?;
    let of_process = |file: &str| format!("/proc/{}/{file}", process.pid());
    for (file, map) in [("uid_map", uids), ("gid_map", gids)] {
        let path = of_process(file);
        fs::write(&path, &map).with_context(|| format!("write({path}, {map:?})"))?;
    }
    let path = of_process("ns/user");
    openat(CWD, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .with_context(|| format!("open({path})"))
}

/// As `/proc/PID/uid_map` takes it.
fn lines(mappings: &str) -> Result<String> {
    let mut lines = String::new();
    for mapping in mappings.split(',') {
        let numbers: Result<Vec<u32>, _> = mapping.split(':').map(str::parse).collect();
        let Ok([container, host, size]) = numbers.as_deref() else {
            bail!("a mapping of ids is CONTAINER:HOST:SIZE, not {mapping:?}");
        };
        let _ = writeln!(lines, "{container} {host} {size}");
    }
    Ok(lines)
}

/// Covers what is mounted at `target` with itself, its owners mapped.
pub fn shift(target: &Target<'_>, namespace: &OwnedFd) -> Result<()> {
    let mounted = target.mounted()?;
    let copy = shifted_copy(&mounted.path(), namespace, false)?;
    attach(&copy, &mounted.path())
}

/// A detached copy of the mount at `source`, and of those below it, with the owners mapped.
pub fn shifted_copy(source: &Path, namespace: &OwnedFd, read_only: bool) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, source, flags)
        .with_context(|| format!("open_tree({}, OPEN_TREE_CLONE)", source.display()))?;
    sys::map_owners(tree.as_fd(), namespace.as_fd(), read_only).with_context(|| {
        format!(
            "mount_setattr({}, MOUNT_ATTR_IDMAP), which needs Linux 5.12 and a file system that \
             can do it",
            source.display()
        )
    })?;
    Ok(tree)
}

/// Mounts a detached copy.
pub fn attach(tree: &OwnedFd, target: &Path) -> Result<()> {
    move_mount(
        tree,
        "",
        CWD,
        target,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS,
    )
    .with_context(|| format!("move_mount({})", target.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_written_as_the_kernel_takes_them() {
        assert_eq!(lines("0:100000:65536").unwrap(), "0 100000 65536\n");
        assert_eq!(lines("0:1:2,5:6:7").unwrap(), "0 1 2\n5 6 7\n");
        for wrong in ["", "0:1", "0:1:2:3", "a:1:2", "0:-1:2"] {
            let error = lines(wrong).unwrap_err().to_string();
            assert!(error.contains("CONTAINER:HOST:SIZE"), "{error}");
        }
    }
}
