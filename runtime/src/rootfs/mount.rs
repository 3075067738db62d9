//! Mounting one entry of `mounts`, by descriptors from end to end: a new file system by
//! mount(2) onto the working directory or, where that can't say it all, by fsopen(2); a bind mount
//! by open_tree(2) ([`super::bind`]), put in place by move_mount(2).

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{OFlags, ResolveFlags, XattrFlags, setxattr};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, open_tree,
};

use super::bind::{self, FromRuntime};
use super::{RootFd, Wanted, attach, copy_up};
use crate::error::{CallContext, Error, ErrorContext, Result};
use crate::plan::{MountSource, MountStep};
use crate::sys::exec::leave_to_exec;
use crate::sys::mount::{Attributes, mount_setattr, open_tree_attr};

/// Mounts everything but the cgroups, which [`super::cgroups`] puts together.
///
/// # Errors
/// In runc's words, `error mounting "SOURCE" to rootfs at "DESTINATION"`, with the call.
pub fn mount(
    root: &RootFd,
    step: &MountStep<'_>,
    from_runtime: &mut FromRuntime<'_>,
) -> Result<()> {
    let done = match &step.source {
        MountSource::Filesystem {
            kind,
            source,
            options,
        } => mount_filesystem(root, step, kind, source, options),
        MountSource::Bind { .. } => bind::Source::of(step).map_or(Ok(()), |source| {
            bind::mount(root, step, source, from_runtime)
        }),
        MountSource::Remount => change_existing(root, step),
        MountSource::Cgroups => Ok(()),
    };
    done.context(|| {
        let source = match &step.source {
            MountSource::Filesystem { source, .. } => source,
            MountSource::Bind { path, .. } => path.as_str(),
            MountSource::Cgroups | MountSource::Remount => step.destination,
        };
        format!(
            "error mounting {source:?} to rootfs at {:?}",
            step.destination
        )
    })
}

fn mount_filesystem(
    root: &RootFd,
    step: &MountStep<'_>,
    kind: &str,
    source: &str,
    options: &[(&str, Option<&str>)],
) -> Result<()> {
    let (target, made) = filesystem_target(root, step.destination, kind)?;
    // A tmpfs without a mode takes over the one of the directory that it covers.
    let mode = match kind {
        "tmpfs" if !made && !options.iter().any(|(name, _)| *name == "mode") => {
            let mode = rustix::fs::fstat(&target)
                .call(|| "fstat(mount point)")?
                .st_mode;
            Some(format!("{:o}", mode & 0o7777))
        }
        _ => None,
    };
    let options = options
        .iter()
        .map(|(name, value)| (*name, *value))
        .chain(mode.as_deref().map(|mode| ("mode", Some(mode))));
    let attributes = step.attributes.set;
    // What is done to the mount after its birth takes a descriptor of it.
    let finished = !step.copy_up
        && step.label.is_none()
        && step.recursive.is_empty()
        && step.propagation.is_empty();
    if finished && mount_here(&target, kind, source, options.clone(), attributes) {
        leave_to_exec(target);
        if kind == "tmpfs" {
            root.mounted_empty(step.destination);
        }
        return Ok(());
    }
    let mount = new_filesystem(kind, Some(source), options, attributes)?;
    if step.copy_up {
        copy_up::copy(target.as_fd(), mount.as_fd())?;
    }
    if let Some(label) = step.label {
        label_root(&mount, label)?;
    }
    put_in_place(step, mount, target)
}

/// Writes the SELinux context of a mount's root directory. By way of the working directory, as the
/// descriptor of a mount is none to write extended attributes with.
fn label_root(mount: &OwnedFd, context: &str) -> Result<()> {
    rustix::process::fchdir(mount).call(|| "fchdir(mount)")?;
    let (name, flags) = ("security.selinux", XattrFlags::empty());
    setxattr(".", name, context.as_bytes(), flags)
        .call(|| format!("setxattr(mount, {name:?}, {context:?})"))
}

/// Puts a new file system that is mounted nowhere yet where the step says.
///
/// # Errors
/// With the call.
pub fn place_filesystem(root: &RootFd, step: &MountStep<'_>, mount: OwnedFd) -> Result<()> {
    let target = root.mount_point(step.destination, Wanted::Directory)?;
    put_in_place(step, mount, target)
}

/// Mounts a new file system in two calls: fchdir(2) to where it goes, and mount(2) onto `.`, which is
/// that very directory whatever has its name by then. `false` where mount(2) can't say all of it, and
/// where the kernel has refused: the calls of [`new_filesystem`] then say why.
fn mount_here<'a>(
    target: &OwnedFd,
    kind: &str,
    source: &str,
    mut options: impl Iterator<Item = (&'a str, Option<&'a str>)>,
    attributes: u64,
) -> bool {
    let mut data = String::new();
    let one_by_one = options.any(|(name, value)| {
        if !data.is_empty() {
            data.push(',');
        }
        data.push_str(name);
        if let Some(value) = value {
            data.push('=');
            data.push_str(value);
        }
        name.contains([',', '=']) || value.is_some_and(|value| value.contains(','))
    });
    let (Some(flags), Ok(data), false) =
        (flags_of_mount(attributes), CString::new(data), one_by_one)
    else {
        return false;
    };
    data.count_bytes() < MOST_DATA
        && rustix::process::fchdir(target).is_ok()
        && rustix::mount::mount(source, ".", kind, flags, data.as_c_str()).is_ok()
}

/// mount(2) reads one page of options, and takes no notice of what has no room in it.
const MOST_DATA: usize = 4095;

/// `MOUNT_ATTR_*` as mount(2) has them; `None` if it lacks one.
fn flags_of_mount(attributes: u64) -> Option<MountFlags> {
    const NAMES: [(u64, MountFlags); 8] = [
        (libc::MOUNT_ATTR_RDONLY, MountFlags::RDONLY),
        (libc::MOUNT_ATTR_NOSUID, MountFlags::NOSUID),
        (libc::MOUNT_ATTR_NODEV, MountFlags::NODEV),
        (libc::MOUNT_ATTR_NOEXEC, MountFlags::NOEXEC),
        (libc::MOUNT_ATTR_NOATIME, MountFlags::NOATIME),
        (libc::MOUNT_ATTR_STRICTATIME, MountFlags::STRICTATIME),
        (libc::MOUNT_ATTR_NODIRATIME, MountFlags::NODIRATIME),
        (
            libc::MOUNT_ATTR_NOSYMFOLLOW,
            MountFlags::from_bits_retain(256), // MS_NOSYMFOLLOW (Linux 5.10)
        ),
    ];
    let mut rest = attributes;
    let mut flags = MountFlags::empty();
    for (attribute, flag) in NAMES {
        if rest & attribute != 0 {
            flags |= flag;
            rest &= !attribute;
        }
    }
    (rest == 0).then_some(flags)
}

/// A new file system, mounted nowhere yet. `source` is what mountinfo shows, `attributes` are
/// `MOUNT_ATTR_*`.
///
/// # Errors
/// The call, with what the file system itself had to say about it.
pub fn new_filesystem<'a>(
    kind: &str,
    source: Option<&str>,
    options: impl Iterator<Item = (&'a str, Option<&'a str>)>,
    attributes: u64,
) -> Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC).call(|| format!("fsopen({kind:?})"))?;
    let configured = |result: Result<(), Errno>, what: &dyn Fn() -> String| {
        result.map_err(|errno| {
            let error = Error::call(what(), errno);
            match kernel_message(context.as_fd()) {
                Some(message) => error.hint(format!("the kernel says: {message}")),
                None => error,
            }
        })
    };
    if let Some(source) = source {
        configured(fsconfig_set_string(&context, "source", source), &|| {
            format!("fsconfig({kind}, \"source\", {source:?})")
        })?;
    }
    for (name, value) in options {
        match value {
            Some(value) => configured(fsconfig_set_string(&context, name, value), &|| {
                format!("fsconfig({kind}, {name:?}, {value:?})")
            })?,
            None => configured(fsconfig_set_flag(&context, name), &|| {
                format!("fsconfig({kind}, {name:?})")
            })?,
        }
    }
    configured(fsconfig_create(&context), &|| {
        format!("fsconfig({kind}, FSCONFIG_CMD_CREATE)")
    })?;
    // The bits are the same in both; rustix's type lacks only the newest of them.
    let attributes = u32::try_from(attributes).map_or(MountAttrFlags::empty(), |bits| {
        MountAttrFlags::from_bits_retain(bits)
    });
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .call(|| format!("fsmount({kind}, {attributes:?})"))?;
    leave_to_exec(context);
    Ok(mount)
}

/// The last error that the file system left in its context's log (fsopen(2)).
fn kernel_message(context: BorrowedFd<'_>) -> Option<String> {
    let mut last = None;
    let mut buffer = [0_u8; 1024];
    while let Ok(length @ 1..) = rustix::io::read(context, &mut buffer) {
        last = Some(String::from_utf8_lossy(&buffer[..length]).trim().to_owned());
    }
    last.map(|message| message.trim_start_matches("e ").to_owned())
}

/// The directory for a new file system, and whether it had to be made. procfs and sysfs go on real
/// directories only: a link there would put the masks of `maskedPaths` elsewhere
/// (CVE-2019-19921, CVE-2023-27561).
fn filesystem_target(root: &RootFd, destination: &str, kind: &str) -> Result<(OwnedFd, bool)> {
    let resolve = match kind {
        "proc" | "sysfs" => ResolveFlags::NO_SYMLINKS,
        _ => ResolveFlags::empty(),
    };
    if resolve.is_empty() {
        if let Some(target) = root.make_beside(destination) {
            return Ok((target, true));
        }
        return match root.existing_mount_point(destination)? {
            Some(target) => Ok((target, false)),
            None => Ok((root.make(destination, Wanted::Directory)?, true)),
        };
    }
    match root.open_beneath(destination, OFlags::PATH | OFlags::DIRECTORY, resolve) {
        Ok(target) => Ok((target, false)),
        Err(Errno::NOENT) => Ok((root.make(destination, Wanted::Directory)?, true)),
        Err(Errno::LOOP | Errno::NOTDIR) => Err(Error::new(format!(
            "filesystem {kind:?} must be mounted on ordinary directory"
        ))),
        Err(errno) => Err(Error::call(
            format!("openat2(rootfs, {destination:?})"),
            errno,
        )),
    }
}

fn change_existing(root: &RootFd, step: &MountStep<'_>) -> Result<()> {
    let existing = root
        .resolve(step.destination)
        .call(|| format!("openat2(rootfs, {:?})", step.destination))?;
    if !step.attributes.is_empty() {
        set(existing.as_fd(), step.attributes, false)?;
    }
    set_recursive(existing.as_fd(), step)?;
    propagate(existing.as_fd(), step)?;
    leave_to_exec(existing);
    Ok(())
}

/// Sets what holds for the mounts below as well, moves the mount to its place, and sets how it
/// propagates from there.
pub(super) fn put_in_place(step: &MountStep<'_>, mount: OwnedFd, target: OwnedFd) -> Result<()> {
    set_recursive(mount.as_fd(), step)?;
    attach(mount.as_fd(), target.as_fd()).call(|| format!("move_mount({:?})", step.destination))?;
    propagate(mount.as_fd(), step)?;
    leave_to_exec(mount);
    leave_to_exec(target);
    Ok(())
}

/// Sets what the step asks for the mount and all below it (`rro`, …).
///
/// # Errors
/// mount_setattr(2)'s.
pub fn set_recursive(mount: BorrowedFd<'_>, step: &MountStep<'_>) -> Result<()> {
    if step.recursive.is_empty() {
        return Ok(());
    }
    set(mount, step.recursive, true)
}

/// Sets how the mount propagates, once it is in its place.
///
/// # Errors
/// mount_setattr(2)'s.
pub fn propagate(mount: BorrowedFd<'_>, step: &MountStep<'_>) -> Result<()> {
    step.propagation
        .iter()
        .try_for_each(|flags| set_propagation(mount, *flags))
}

/// Changes the propagation of a mount: `MS_*`, with `MS_REC` for those below it too.
///
/// # Errors
/// mount_setattr(2)'s.
pub fn set_propagation(mount: BorrowedFd<'_>, flags: u64) -> Result<()> {
    let attributes = Attributes {
        propagation: flags & !libc::MS_REC,
        ..Attributes::default()
    };
    set(mount, attributes, flags & libc::MS_REC != 0)
}

/// A read-only copy of the mount that a path stands in, rooted there and mounted nowhere.
///
/// # Errors
/// open_tree(2)'s and mount_setattr(2)'s.
pub fn readonly_clone(at: BorrowedFd<'_>, path: &str, flags: OpenTreeFlags) -> Result<OwnedFd> {
    let flags = flags | OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let readonly = Attributes {
        set: libc::MOUNT_ATTR_RDONLY,
        ..Attributes::default()
    };
    if let Ok(tree) = open_tree_attr(at, path, flags, readonly) {
        return Ok(tree);
    }
    let tree = open_tree(at, path, flags).call(|| format!("open_tree({path:?}, {flags:?})"))?;
    make_readonly(tree.as_fd(), flags.contains(OpenTreeFlags::AT_RECURSIVE))?;
    Ok(tree)
}

/// Makes a mount read-only.
///
/// # Errors
/// mount_setattr(2)'s.
pub fn make_readonly(mount: BorrowedFd<'_>, recursive: bool) -> Result<()> {
    let attributes = Attributes {
        set: libc::MOUNT_ATTR_RDONLY,
        ..Attributes::default()
    };
    set(mount, attributes, recursive)
}

pub(super) fn set(mount: BorrowedFd<'_>, attributes: Attributes, recursive: bool) -> Result<()> {
    mount_setattr(mount, attributes, recursive).call(|| {
        format!(
            "mount_setattr(set {:#x}, clear {:#x}, propagation {:#x}{})",
            attributes.set,
            attributes.clear,
            attributes.propagation,
            if recursive { ", AT_RECURSIVE" } else { "" }
        )
    })
}
