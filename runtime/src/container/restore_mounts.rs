//! The root file system as CRIU wants it for a restore: a mount of its own that nothing is mounted
//! over, with a mount point for all that comes into it. It stands in a mount namespace that ends
//! with CRIU, so that nothing of it is ever left on the host.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, openat};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::error::{CallContext, ErrorContext, Result};
use crate::plan::{Action, MountSource, MountStep, Plan};
use crate::rootfs::{RootFd, Wanted, attach, clone_tree, file_type};
use crate::sys;

/// The runtime in a mount namespace of its own, for as long as it takes to start CRIU there.
pub(super) struct PrivateMounts {
    namespace: OwnedFd,
    root: OwnedFd,
    directory: OwnedFd,
}

impl PrivateMounts {
    pub(super) fn enter() -> Result<Self> {
        let hold = |path: &str, flags: OFlags| {
            openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty())
                .call(|| format!("open({path})"))
        };
        let before = PrivateMounts {
            namespace: hold("/proc/self/ns/mnt", OFlags::RDONLY)?,
            root: hold("/", OFlags::PATH | OFlags::DIRECTORY)?,
            directory: hold(".", OFlags::PATH | OFlags::DIRECTORY)?,
        };
        sys::clone::unshare(UnshareFlags::NEWNS).call(|| "unshare(CLONE_NEWNS)")?;
        let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        match mount_change("/", flags).call(|| "mount(\"/\", MS_SLAVE|MS_REC)") {
            Ok(()) => Ok(before),
            Err(error) => {
                before.leave()?;
                Err(error)
            }
        }
    }

    pub(super) fn leave(self) -> Result<()> {
        // It leads to the namespace's root: ours may be elsewhere (setns(2)).
        move_into_link_name_space(self.namespace.as_fd(), Some(LinkNameSpaceType::Mount))
            .call(|| "setns(own mount namespace)")?;
        rustix::process::fchdir(&self.root).call(|| "fchdir(own root)")?;
        rustix::process::chroot(".").call(|| "chroot(own root)")?;
        rustix::process::fchdir(&self.directory).call(|| "fchdir(own directory)")
    }
}

/// The rootfs with its mount points, and what of the host's is bound in it for the time being.
pub(super) struct Prepared {
    pub(super) root: RootFd,
    bound: Vec<OwnedFd>,
}

impl Prepared {
    /// Takes what is bound away again: that is for CRIU to do.
    pub(super) fn clear(self) -> Result<()> {
        for tree in self.bound.iter().rev() {
            let path = format!("/proc/self/fd/{}", tree.as_raw_fd());
            unmount(path.as_str(), UnmountFlags::DETACH).call(|| "umount2(mount point's mount)")?;
        }
        Ok(())
    }
}

/// Mounts the rootfs on `place`, and makes the mount points in it that `create` would make: CRIU
/// makes none, and the container's own may be gone with what they were in.
pub(super) fn prepare(plan: &Plan<'_>, rootfs: &str, place: &Path) -> Result<Prepared> {
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let source = openat(CWD, rootfs, directory, Mode::empty())
        .call(|| format!("open rootfs {rootfs}"))
        .at(|| "/root/path")?;
    let target = openat(CWD, place, directory, Mode::empty())
        .call(|| format!("open {}", place.display()))?;
    let tree = clone_tree(source.as_fd(), true)
        .call(|| format!("open_tree({rootfs}, OPEN_TREE_CLONE|AT_RECURSIVE)"))?;
    attach(tree.as_fd(), target.as_fd())
        .call(|| format!("move_mount(rootfs, {})", place.display()))?;
    let root = RootFd::of(tree);

    let mut bound = Vec::new();
    let mut covered: Vec<&str> = Vec::new();
    for step in &plan.steps {
        let Action::Mount(mount) = &step.action else {
            continue;
        };
        // What is in a file system of the container's own is in the images, mount points as well.
        if covered
            .iter()
            .any(|above| is_below(mount.destination, above))
        {
            continue;
        }
        match &mount.source {
            MountSource::Cgroups | MountSource::Remount => {}
            MountSource::Filesystem { .. } => {
                root.mount_point(mount.destination, Wanted::Directory)
                    .at(|| step.pointer.to_string())?;
                covered.push(mount.destination);
            }
            MountSource::Bind {
                path,
                recursive,
                links,
                ..
            } => {
                let nofollow = links.source_nofollow || links.copy_symlink;
                let tree = bind(&root, mount, path, *recursive, nofollow);
                bound.extend(tree.at(|| step.pointer.to_string())?);
            }
        }
    }
    Ok(Prepared { root, bound })
}

/// Binds a tree where it is going to be, so that the mount points in it can be made. A symbolic
/// link that is not followed needs none, and is not bound.
fn bind(
    root: &RootFd,
    mount: &MountStep<'_>,
    path: &str,
    recursive: bool,
    nofollow: bool,
) -> Result<Option<OwnedFd>> {
    let mut flags = OFlags::PATH | OFlags::CLOEXEC;
    flags.set(OFlags::NOFOLLOW, nofollow);
    let source = openat(CWD, path, flags, Mode::empty()).call(|| format!("open {path}"))?;
    let wanted = match file_type(&source).call(|| format!("fstat({path})"))? {
        FileType::Directory => Wanted::Directory,
        FileType::Symlink => return Ok(None),
        _ => Wanted::File,
    };
    let target = root.mount_point(mount.destination, wanted)?;
    let tree = clone_tree(source.as_fd(), recursive)
        .call(|| format!("open_tree({path}, OPEN_TREE_CLONE)"))?;
    attach(tree.as_fd(), target.as_fd())
        .call(|| format!("move_mount({path}, {:?})", mount.destination))?;
    Ok(Some(tree))
}

/// Whether a path is inside a directory, both absolute and without `..`.
fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory.trim_end_matches('/'))
        .is_some_and(|rest| rest.starts_with('/') && rest.len() > 1)
}

#[cfg(test)]
mod tests {
    use super::is_below;

    #[test]
    fn a_directory_is_not_below_its_namesake() {
        assert!(is_below("/dev/pts", "/dev"));
        assert!(is_below("/dev/pts", "/dev/"));
        assert!(is_below("/x", "/"));
        for (path, directory) in [("/dev", "/dev"), ("/device", "/dev"), ("/dev/", "/dev")] {
            assert!(!is_below(path, directory), "{path} in {directory}");
        }
    }
}
