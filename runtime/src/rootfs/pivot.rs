//! Making the rootfs `/`.

use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::process::{chdir, chroot, fchdir, pivot_root};

use super::RootFd;
use crate::error::{CallContext, Result};
use crate::sys::exec::leave_to_exec;

/// pivot_root(2) onto the rootfs, stacking the old root on it, and unmounting that: no directory
/// has to exist for it, and no path is used (pivot_root(2), NOTES). `shared` says that the old
/// root's mounts may still propagate to the host.
///
/// # Errors
/// With the call.
pub fn pivot(root: &RootFd, shared: bool) -> Result<()> {
    if shared {
        return pivot_from_shared(root);
    }
    fchdir(root.as_fd()).call(|| "fchdir(rootfs)")?;
    pivot_root(".", ".").call(|| "pivot_root(\".\", \".\")")?;
    unmount(".", UnmountFlags::DETACH).call(|| "umount2(old root, MNT_DETACH)")
}

/// The same, but unmounting the old root must not unmount the host's: its mounts are made slaves,
/// and they alone, which takes a descriptor to tell them from the new root's.
fn pivot_from_shared(root: &RootFd) -> Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = open("/", flags, Mode::empty()).call(|| "open(/)")?;
    fchdir(root.as_fd()).call(|| "fchdir(rootfs)")?;
    pivot_root(".", ".").call(|| "pivot_root(\".\", \".\")")?;
    fchdir(&old).call(|| "fchdir(old root)")?;
    leave_to_exec(old);
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change(".", slave).call(|| "mount(\".\", MS_SLAVE|MS_REC)")?;
    unmount(".", UnmountFlags::DETACH).call(|| "umount2(old root, MNT_DETACH)")?;
    chdir("/").call(|| "chdir(/)")
}

/// chroot(2) into the rootfs: for a container without a mount namespace.
///
/// # Errors
/// With the call.
pub fn change_root(root: &RootFd) -> Result<()> {
    fchdir(root.as_fd()).call(|| "fchdir(rootfs)")?;
    chroot(".").call(|| "chroot(rootfs)")?;
    chdir("/").call(|| "chdir(/)")
}
