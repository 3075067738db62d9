//! `maskedPaths` and `readonlyPaths` (config-linux.md).

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::mount::{make_readonly, new_filesystem, readonly_clone};
use super::{RootFd, attach, clone_tree};
use crate::error::{CallContext, Error, ErrorContext, Result};
use crate::spec::is_root;
use crate::sys::exec::leave_to_exec;

/// What engines mask and the kernel has as files, where it has them. A wrong guess costs a few calls.
const USUALLY_FILES: [&str; 7] = [
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/timer_list",
    "/proc/timer_stats",
];

/// Masks paths; all masked directories share one empty read-only tmpfs.
#[derive(Debug, Default)]
pub struct Masker {
    empty_directory: Option<OwnedFd>,
}

impl Masker {
    /// Makes a path unreadable: a directory becomes an empty one, anything else /dev/null. What
    /// isn't there needs no mask. To be done while the host's /dev is still in reach: the one in
    /// the container can be changed by others (CVE-2025-31133). `label` is the SELinux context of the
    /// empty directory.
    ///
    /// # Errors
    /// With the path and the call.
    pub fn mask(&mut self, root: &RootFd, path: &str, label: Option<&str>) -> Result<()> {
        if USUALLY_FILES.contains(&path) {
            match mask_file(root, path) {
                // A directory after all: no file can be mounted there.
                Err(error) if error.errno() == Some(Errno::INVAL) => {}
                result => return result,
            }
        }
        let as_directory = OFlags::PATH | OFlags::DIRECTORY;
        match root.open_beneath(path, as_directory, ResolveFlags::empty()) {
            Ok(target) => self.mask_directory(target, path, label),
            Err(Errno::NOENT) => Ok(()),
            // No directory; what else may be wrong is found again there.
            Err(_) => mask_file(root, path),
        }
    }

    fn mask_directory(&mut self, target: OwnedFd, path: &str, label: Option<&str>) -> Result<()> {
        let masked = if let Some(first) = &self.empty_directory {
            clone_tree(first.as_fd(), false).call(|| "open_tree(tmpfs, OPEN_TREE_CLONE)")?
        } else {
            let options = label.map(|label| ("context", Some(label))).into_iter();
            new_filesystem("tmpfs", None, options, libc::MOUNT_ATTR_RDONLY)?
        };
        attach(masked.as_fd(), target.as_fd()).call(|| format!("mask {path:?}: move_mount"))?;
        leave_to_exec(target);
        match self.empty_directory {
            Some(_) => leave_to_exec(masked),
            // Attached, it belongs to this mount namespace, so later masks can be cloned from it.
            None => self.empty_directory = Some(masked),
        }
        Ok(())
    }
}

fn mask_file(root: &RootFd, path: &str) -> Result<()> {
    let Some(target) = existing(root, path)? else {
        return Ok(());
    };
    let null = open_tree(
        rustix::fs::CWD,
        "/dev/null",
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC,
    )
    .call(|| "open_tree(/dev/null, OPEN_TREE_CLONE)")?;
    attach(null.as_fd(), target.as_fd()).call(|| format!("mask {path:?}: move_mount"))?;
    leave_to_exec(null);
    leave_to_exec(target);
    Ok(())
}

/// Makes a path, and what is mounted below it, read-only. What isn't there is passed over. Of the root
/// itself only its own mount, as runc does: a copy on top of it would be of no effect.
///
/// # Errors
/// With the path and the call.
pub fn make_path_readonly(root: &RootFd, path: &str) -> Result<()> {
    if is_root(path) {
        return make_readonly(root.as_fd(), false).context(|| format!("readonly {path:?}"));
    }
    let Some(target) = existing(root, path)? else {
        return Ok(());
    };
    let all_of_it = OpenTreeFlags::AT_EMPTY_PATH | OpenTreeFlags::AT_RECURSIVE;
    let tree =
        readonly_clone(target.as_fd(), "", all_of_it).context(|| format!("readonly {path:?}"))?;
    attach(tree.as_fd(), target.as_fd()).call(|| format!("readonly {path:?}: move_mount"))?;
    leave_to_exec(tree);
    leave_to_exec(target);
    Ok(())
}

fn existing(root: &RootFd, path: &str) -> Result<Option<OwnedFd>> {
    match root.resolve(path) {
        Ok(target) => Ok(Some(target)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(Error::call(format!("openat2(rootfs, {path:?})"), errno)),
    }
}
