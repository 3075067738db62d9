//! Bind mounts: a copy of a tree that is there already, with flags, and owners, of its own.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, OFlags, ResolveFlags, StatVfsMountFlags, fstatfs, fstatvfs};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::guard::PROC_SUPER_MAGIC;
use super::mount::{put_in_place, set};
use super::{RootFd, Wanted, file_type, split};
use crate::error::{CallContext, Error, Result};
use crate::plan::{Links, MountSource, MountStep};
use crate::sys::exec::leave_to_exec;
use crate::sys::mount::Attributes;

/// Asks the runtime, which has the host's rights, for the tree of the mount that is being made:
/// opened in this mount namespace, with its owners mapped.
pub type FromRuntime<'r> = dyn FnMut() -> Result<OwnedFd> + 'r;

/// What a bind mount's step says of its source.
#[derive(Clone, Copy, Debug)]
pub struct Source<'s> {
    /// Its path, absolute.
    pub path: &'s str,
    /// With all mounts below it.
    pub recursive: bool,
    /// What to do with links.
    pub links: Links,
    /// It goes onto /proc.
    pub covers_proc: bool,
}

impl<'s> Source<'s> {
    /// That of a step; `None` for what is no bind mount.
    pub fn of(step: &'s MountStep<'_>) -> Option<Self> {
        match &step.source {
            MountSource::Bind {
                path,
                recursive,
                links,
                covers_proc,
            } => Some(Source {
                path,
                recursive: *recursive,
                links: *links,
                covers_proc: *covers_proc,
            }),
            _ => None,
        }
    }
}

/// Makes a bind mount.
///
/// # Errors
/// With the call.
pub fn mount(
    root: &RootFd,
    step: &MountStep<'_>,
    source: Source<'_>,
    from_runtime: &mut FromRuntime<'_>,
) -> Result<()> {
    if source.links.copy_symlink
        && let Some(link) = read_link(source.path)?
    {
        return copy_link(root, step.destination, &link);
    }
    let tree = open_source(step, source, from_runtime)?;
    set_flags(tree.as_fd(), step)?;
    attach(root, step, source, tree)
}

/// Puts a detached tree, the step's source with its flags, where the step says.
///
/// # Errors
/// With the call.
pub fn attach(
    root: &RootFd,
    step: &MountStep<'_>,
    source: Source<'_>,
    tree: OwnedFd,
) -> Result<()> {
    if source.covers_proc {
        check_procfs(&tree, step.destination)?;
    }
    let target = if source.links.destination_nofollow {
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        root.open_beneath(step.destination, flags, ResolveFlags::empty())
            .call(|| format!("openat2(rootfs, {:?}, O_NOFOLLOW)", step.destination))?
    } else {
        root.mount_point_for(step.destination, || {
            let kind = file_type(&tree).call(|| format!("fstat({:?})", source.path))?;
            Ok(match kind {
                FileType::Directory => Wanted::Directory,
                _ => Wanted::File,
            })
        })?
    };
    put_in_place(step, tree, target)
}

/// Opens the source here; where this process may not, in a user namespace, the runtime does.
fn open_source(
    step: &MountStep<'_>,
    source: Source<'_>,
    from_runtime: &mut FromRuntime<'_>,
) -> Result<OwnedFd> {
    if step.idmap.is_some() {
        return from_runtime();
    }
    match clone_of(source) {
        Err(Errno::ACCESS) => from_runtime(),
        result => result.call(|| open_tree_call(source)),
    }
}

/// A detached copy of the source, as the calling process finds it.
///
/// # Errors
/// open_tree(2)'s.
pub fn clone_of(source: Source<'_>) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    flags.set(OpenTreeFlags::AT_RECURSIVE, source.recursive);
    flags.set(
        OpenTreeFlags::AT_SYMLINK_NOFOLLOW,
        source.links.source_nofollow,
    );
    open_tree(rustix::fs::CWD, source.path, flags)
}

/// The call of [`clone_of`] in words.
pub fn open_tree_call(source: Source<'_>) -> String {
    format!("open_tree({:?}, OPEN_TREE_CLONE)", source.path)
}

/// What is bound onto /proc has to be a procfs: the masks of `maskedPaths`, and whoever looks into
/// the container, count on that.
fn check_procfs(tree: &OwnedFd, destination: &str) -> Result<()> {
    #[allow(clippy::useless_conversion)] // the field's type differs between architectures
    let magic = i64::from(fstatfs(tree).call(|| "fstatfs(source)")?.f_type);
    if magic == PROC_SUPER_MAGIC {
        return Ok(());
    }
    Err(Error::new(format!(
        "{destination:?} cannot be mounted because it is not of type proc"
    )))
}

/// Sets the flags that options name. In a user namespace the flags of the host's mounts are locked
/// (mount_namespaces(7)): those that no option clears by name are kept then, as runc does.
///
/// # Errors
/// With the call.
pub fn set_flags(tree: BorrowedFd<'_>, step: &MountStep<'_>) -> Result<()> {
    if step.attributes.is_empty() {
        return Ok(());
    }
    let Err(refusal) = set(tree, step.attributes, false) else {
        return Ok(());
    };
    if refusal.errno() != Some(Errno::PERM) {
        return Err(refusal);
    }
    let existing = flags_of(tree)?;
    let lockable = existing & LOCKABLE;
    if lockable & step.cleared_by_name != 0 {
        return Err(refusal.context("cannot clear locked flags"));
    }
    let atime = ATIME & (step.attributes.clear | step.attributes.set);
    if atime != 0 && step.attributes.set & ATIME != existing & ATIME {
        return Err(refusal.context("cannot change locked atime flags"));
    }
    let kept = Attributes {
        set: (step.attributes.set | lockable) & !ATIME,
        clear: step.attributes.clear & !lockable & !ATIME,
        propagation: 0,
    };
    set(tree, kept, false)
}

const ATIME: u64 = libc::MOUNT_ATTR__ATIME | libc::MOUNT_ATTR_NODIRATIME;
/// `MNT_LOCK_*` (include/linux/mount.h).
const LOCKABLE: u64 = libc::MOUNT_ATTR_RDONLY
    | libc::MOUNT_ATTR_NOSUID
    | libc::MOUNT_ATTR_NODEV
    | libc::MOUNT_ATTR_NOEXEC
    | ATIME;

/// The flags of a mount, `MOUNT_ATTR_*`.
fn flags_of(mount: BorrowedFd<'_>) -> Result<u64> {
    let flags = fstatvfs(mount).call(|| "fstatfs(source)")?.f_flag;
    let known = [
        (StatVfsMountFlags::RDONLY, libc::MOUNT_ATTR_RDONLY),
        (StatVfsMountFlags::NOSUID, libc::MOUNT_ATTR_NOSUID),
        (StatVfsMountFlags::NODEV, libc::MOUNT_ATTR_NODEV),
        (StatVfsMountFlags::NOEXEC, libc::MOUNT_ATTR_NOEXEC),
        (StatVfsMountFlags::NOATIME, libc::MOUNT_ATTR_NOATIME),
        (StatVfsMountFlags::NODIRATIME, libc::MOUNT_ATTR_NODIRATIME),
    ];
    let set = known.iter().filter(|(flag, _)| flags.contains(*flag));
    let bits = set.fold(0, |bits, (_, attribute)| bits | attribute);
    // statfs(2) shows strictatime as the absence of the other two.
    let relaxed = StatVfsMountFlags::NOATIME | StatVfsMountFlags::RELATIME;
    Ok(if flags.intersects(relaxed) {
        bits
    } else {
        bits | libc::MOUNT_ATTR_STRICTATIME
    })
}

/// What the source says, if it is a symbolic link.
fn read_link(path: &str) -> Result<Option<String>> {
    match rustix::fs::readlinkat(rustix::fs::CWD, path, Vec::new()) {
        Ok(link) => link
            .into_string()
            .map(Some)
            .map_err(|_| Error::new(format!("the link {path:?} is no UTF-8"))),
        Err(Errno::INVAL) => Ok(None),
        Err(errno) => Err(Error::call(format!("readlink({path:?})"), errno)),
    }
}

/// Makes the link anew inside. One that says the same may be there.
fn copy_link(root: &RootFd, destination: &str, link: &str) -> Result<()> {
    let (directory, name) = split(destination)
        .ok_or_else(|| Error::new(format!("{destination:?} names no file to link")))?;
    let parent = root.directory(if directory.is_empty() { "/" } else { directory })?;
    let made = match rustix::fs::symlinkat(link, &parent, name) {
        Err(Errno::EXIST) if says(&parent, name, link) => Ok(()),
        result => result,
    };
    leave_to_exec(parent);
    made.call(|| format!("symlinkat({link:?}, rootfs, {destination:?})"))
}

fn says(parent: &OwnedFd, name: &str, link: &str) -> bool {
    rustix::fs::readlinkat(parent, name, Vec::new())
        .is_ok_and(|there| there.as_bytes() == link.as_bytes())
}
