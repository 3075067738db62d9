//! The root file system of a container, mounted on its bundle's `rootfs` from what containerd's
//! snapshotter has prepared: an overlay of the image's layers, a bind mount, any other file system
//! (`core/mount` in containerd's repository). Undone when the container is deleted, or when one of
//! the mounts fails.

mod apart;
mod fuse;
mod id_map;
mod loop_device;
mod options;
mod overlay;
mod sys;

use std::ffi::CString;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount_change, mount_remount, unmount};

pub use self::apart::Mounting;
use self::options::Options;
use super::messages::task::Mount;

/// The kernel copies one page of a file system's options.
const PAGE: usize = 4096;
/// What a type begins with that a helper mounts, and the helper.
const HELPERS: [(&str, &str); 2] = [("fuse.", "mount.fuse"), ("fuse3.", "mount.fuse3")];

/// Whether a program is to be run for one of `mounts`, which takes the time that it takes.
pub fn need_helper(mounts: &[Mount]) -> bool {
    let needs = |mount: &Mount| {
        HELPERS
            .iter()
            .any(|(kind, _)| mount.r#type.starts_with(kind))
    };
    mounts.iter().any(needs)
}

/// Mounts `mounts`, one after the other, on `rootfs`, which is made if need be. Without any mounts,
/// does nothing: the bundle has its root already.
///
/// Each comes after the one whose directories it is mounted on, as containerd has them. If one fails,
/// all are unmounted.
pub fn mount(mounts: &[Mount], rootfs: &Path) -> Result<()> {
    if mounts.is_empty() {
        return Ok(());
    }
    let made = fs::DirBuilder::new().mode(0o711).create(rootfs);
    if let Err(error) = made
        && error.kind() != ErrorKind::AlreadyExists
    {
        return Err(error).with_context(|| format!("mkdir({})", rootfs.display()));
    }
    for one in mounts {
        if let Err(error) = mount_one(one, rootfs) {
            let error = error.context(format!("mount {} on {}", describe(one), rootfs.display()));
            return Err(match unmount_all(rootfs) {
                Ok(()) => error,
                Err(trouble) => anyhow!("{error:#}; and then: {trouble:#}"),
            });
        }
    }
    Ok(())
}

/// What is mounted, in a few words.
fn describe(mount: &Mount) -> String {
    let kind = match mount.r#type.as_str() {
        "" => "without a type",
        kind => kind,
    };
    let target = match mount.target.as_str() {
        "" => String::new(),
        target => format!(" (at {target:?})"),
    };
    format!("{kind} {:?}{target}", mount.source)
}

/// Unmounts all that is mounted on `rootfs` or below it. Not an error if nothing is, or if there is
/// no `rootfs`.
pub fn unmount_all(rootfs: &Path) -> Result<()> {
    // What is mounted below the root goes with it.
    while unmount_once(rootfs)? {}
    Ok(())
}

/// Whether there was something mounted on `path`. What is in use, or has mounts below it, is taken
/// out of the tree at once and goes when its last user does: a root that can't be unmounted would
/// keep its container from being deleted.
fn unmount_once(path: &Path) -> Result<bool> {
    let call = |flags| unmount(path, UnmountFlags::NOFOLLOW | flags);
    let result = match call(UnmountFlags::empty()) {
        Err(Errno::BUSY) => call(UnmountFlags::DETACH),
        result => result,
    };
    match result {
        Ok(()) => Ok(true),
        // Not a mount point; not there at all.
        Err(Errno::INVAL | Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno).with_context(|| format!("umount2({})", path.display())),
    }
}

/// A place to mount on. Nobody turns it into another by renaming or linking in the meantime.
#[derive(Debug)]
struct Target<'a> {
    rootfs: &'a Path,
    /// The place as it was asked for, relative to `rootfs`.
    below: &'a str,
    fd: OwnedFd,
}

impl<'a> Target<'a> {
    /// `below`, a path inside of `rootfs`: no link in there leads out of it.
    fn open(rootfs: &'a Path, below: &'a str) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let root = openat(CWD, rootfs, flags | OFlags::DIRECTORY, Mode::empty())
            .with_context(|| format!("open({})", rootfs.display()))?;
        let below = below.trim_start_matches('/');
        let fd = if below.is_empty() {
            root
        } else {
            openat2(&root, below, flags, Mode::empty(), ResolveFlags::IN_ROOT)
                .with_context(|| format!("openat2({below:?}, RESOLVE_IN_ROOT)"))?
        };
        Ok(Target { rootfs, below, fd })
    }

    /// What is seen at the place now: a descriptor does not show what was mounted over it later.
    fn mounted(&self) -> Result<Self> {
        Target::open(self.rootfs, self.below)
    }

    /// The kernel's link to the descriptor, for calls that take a path; good as long as this lives.
    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.fd.as_raw_fd()))
    }
}

fn mount_one(mount: &Mount, rootfs: &Path) -> Result<()> {
    let target = Target::open(rootfs, &mount.target)?;
    for (prefix, helper) in HELPERS {
        if let Some(kind) = mount.r#type.strip_prefix(prefix) {
            return fuse::mount(helper, kind, mount, &target);
        }
    }
    let options = Options::parse(&mount.options)?;
    let ids = match (options.uid_map, options.gid_map) {
        (Some(uids), Some(gids)) => Some(id_map::user_namespace(uids, gids)?),
        (None, None) => None,
        _ => bail!("the options uidmap and gidmap are of use only together"),
    };
    if mount.r#type == "overlay" {
        overlay::mount(&mount.source, &options, ids.as_ref(), &target)?;
    } else {
        mount_file_system(mount, &options, &target)?;
        if let Some(ids) = &ids {
            id_map::shift(&target, ids)?;
        }
    }
    if let Some(propagation) = options.propagation {
        mount_change(target.mounted()?.path(), propagation)
            .with_context(|| format!("mount({propagation:?})"))?;
    }
    Ok(())
}

/// One call of mount(2), and for a bind mount with flags the second one that sets them.
fn mount_file_system(mount: &Mount, options: &Options<'_>, target: &Target<'_>) -> Result<()> {
    let flags = options.flags;
    let file = Path::new(&mount.source);
    let device = if options.loop_device {
        let read_only = flags.contains(MountFlags::RDONLY);
        Some(loop_device::attach(file, read_only, options.direct_io)?)
    } else {
        None
    };
    let source = device.as_ref().map_or(file, |device| device.path());
    call_mount(source, &target.path(), &mount.r#type, flags, &options.data)?;
    let bind = MountFlags::BIND | MountFlags::REC;
    if flags.contains(MountFlags::BIND) && !bind.contains(flags) {
        // A bind mount takes its flags only from a second call (mount(2), "Remounting").
        let flags = flags - MountFlags::REC;
        mount_remount(target.mounted()?.path(), flags, "")
            .with_context(|| format!("mount({flags:?} | MS_REMOUNT)"))?;
    }
    Ok(())
}

/// mount(2), of whose data the kernel takes no more than a page.
fn call_mount(
    source: &Path,
    target: &Path,
    kind: &str,
    flags: MountFlags,
    data: &[&str],
) -> Result<()> {
    let data = data.join(",");
    if data.len() >= PAGE {
        bail!(
            "{} bytes of options, of which the kernel takes {}",
            data.len(),
            PAGE - 1
        );
    }
    let data = CString::new(data).context("an option with a NUL byte")?;
    rustix::mount::mount(source, target, kind, flags, data.as_c_str()).with_context(|| {
        let source = source.display();
        format!("mount(\"{source}\", type {kind:?}, {flags:?}, data {data:?})")
    })
}

#[cfg(test)]
mod tests;
