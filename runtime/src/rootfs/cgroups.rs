//! The mount of type `cgroup` (config-linux.md, "Cgroup ownership" and the default file systems):
//! the container's own part of every hierarchy.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::mount::{new_filesystem, propagate, set_recursive};
use super::{RootFd, Wanted, attach};
use crate::cgroup::{Hierarchies, Layout, Place, Placement};
use crate::error::{CallContext, Error, ErrorContext, Result};
use crate::plan::MountStep;
use crate::sys::exec::leave_to_exec;
use crate::sys::mount::{Attributes, mount_setattr};

/// Mounts the cgroups at the step's destination: on cgroup v2 the container's own subtree if it has
/// a cgroup namespace of its own (`own_namespace`), else all, as runc and crun do; on v1 a tmpfs with
/// one mount a hierarchy, and links for the names of controllers that share one.
///
/// # Errors
/// With the destination and the call.
pub fn mount(
    root: &RootFd,
    step: &MountStep<'_>,
    placement: &Placement,
    own_namespace: bool,
) -> Result<()> {
    let target = root.mount_point(step.destination, Wanted::Directory)?;
    let mounted = match &placement.places[..] {
        [unified] if unified.hierarchy.is_empty() => {
            let tree = if own_namespace {
                clone_of(&unified.path)
            } else {
                tree_of_v2().and_then(|path| clone_of(&path))
            };
            tree.and_then(|tree| mount_unified(&target, step, &tree))
        }
        [] => mount_of_others(&target, step, own_namespace),
        places => mount_hierarchies(&target, step, places),
    };
    leave_to_exec(target);
    mounted.context(|| {
        format!(
            "error mounting \"cgroup\" to rootfs at {:?}",
            step.destination
        )
    })
}

/// For a container that has no cgroups of its own.
fn mount_of_others(target: &OwnedFd, step: &MountStep<'_>, own_namespace: bool) -> Result<()> {
    let Ok(path) = tree_of_v2() else {
        return mount_hierarchies(target, step, &[]);
    };
    let new = if own_namespace {
        // Its root is wherever we are; in the first namespace this would change the host's options.
        new_filesystem("cgroup2", Some("cgroup2"), std::iter::empty(), 0)
    } else {
        clone_of(&path)
    };
    let tree = new.or_else(|_| clone_of(&path))?;
    mount_unified(target, step, &tree)
}

/// Where the host's only hierarchy is, of version 2.
fn tree_of_v2() -> Result<String> {
    let hierarchies = Hierarchies::detect()?;
    match &hierarchies.list[..] {
        [unified] if hierarchies.layout == Layout::V2 => Ok(unified.mount_point.clone()),
        _ => Err(Error::new("this host has more than cgroup v2")),
    }
}

fn mount_unified(target: &OwnedFd, step: &MountStep<'_>, tree: &OwnedFd) -> Result<()> {
    // The superblock is the host's: only the flags of this mount may change.
    set(tree.as_fd(), step.attributes, true)?;
    set_recursive(tree.as_fd(), step)?;
    attach(tree.as_fd(), target.as_fd()).call(|| format!("move_mount({:?})", step.destination))?;
    propagate(tree.as_fd(), step)
}

fn mount_hierarchies(target: &OwnedFd, step: &MountStep<'_>, places: &[Place]) -> Result<()> {
    let label = step.label.map(|label| ("context", Some(label)));
    let options = [("mode", Some("755"))].into_iter().chain(label);
    let tmpfs = new_filesystem("tmpfs", Some("tmpfs"), options, 0)?;
    attach(tmpfs.as_fd(), target.as_fd())
        .call(|| format!("move_mount(tmpfs, {:?})", step.destination))?;
    // A name in a tmpfs that is nobody else's is as good as a descriptor of it.
    rustix::process::fchdir(&tmpfs).call(|| "fchdir(tmpfs)")?;
    for place in places {
        let name = directory_name(&place.hierarchy);
        rustix::fs::mkdir(name, rustix::fs::Mode::from_raw_mode(0o755))
            .call(|| format!("mkdir({name})"))?;
        rustix::mount::mount_bind(&place.path, name)
            .call(|| format!("mount({:?}, {name:?}, MS_BIND)", place.path))?;
        if name.contains(',') {
            for controller in name.split(',') {
                match rustix::fs::symlinkat(name, &tmpfs, controller) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => {
                        return Err(Error::call(format!("symlinkat({controller})"), errno));
                    }
                }
            }
        }
    }
    set(tmpfs.as_fd(), step.attributes, true)?;
    set_recursive(tmpfs.as_fd(), step)?;
    propagate(tmpfs.as_fd(), step)?;
    leave_to_exec(tmpfs);
    Ok(())
}

/// The cgroup as a mount: it shows its own subtree and nothing above it.
fn clone_of(path: &str) -> Result<OwnedFd> {
    open_tree(
        rustix::fs::CWD,
        path,
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
    )
    .call(|| format!("open_tree({path:?}, OPEN_TREE_CLONE)"))
}

/// As systemd names the mount points: `name=systemd` is `systemd`, cgroup v2 beside v1 is
/// `unified`.
pub(crate) fn directory_name(hierarchy: &str) -> &str {
    match hierarchy {
        "" => "unified",
        other => other.strip_prefix("name=").unwrap_or(other),
    }
}

fn set(mount: std::os::fd::BorrowedFd<'_>, attributes: Attributes, recursive: bool) -> Result<()> {
    if attributes.is_empty() {
        return Ok(());
    }
    mount_setattr(mount, attributes, recursive)
        .call(|| format!("mount_setattr(set {:#x})", attributes.set))
}
