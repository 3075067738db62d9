//! `--no-pivot`: the rootfs is moved onto `/`, where pivot_root(2) can't be (a ramdisk).
//!
//! The host's mounts stay beneath it, out of reach of every path. But the kernel lets whoever has a
//! user namespace of his own mount another procfs or sysfs as soon as a whole one, with nothing over
//! any part of it, is anywhere in the mount namespace (`mount_too_revealing` in fs/namespace.c):
//! that would undo the container's masks. So the host's own are taken off first.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags, mount, mount_change,
    move_mount, unmount,
};

use super::{RootFd, pivot};
use crate::error::{CallContext, Error, Result};
use crate::mountinfo::unescape;

/// Makes the rootfs `/`, in a mount namespace of its own.
///
/// # Errors
/// With the call.
pub fn move_root(root: &RootFd) -> Result<()> {
    let table =
        std::fs::read_to_string("/proc/self/mountinfo").call(|| "read(/proc/self/mountinfo)")?;
    let mounts: Vec<Mounted> = table.lines().filter_map(Mounted::parse).collect();
    let own = mount_id(&root.fd)?;
    for mounted in &mounts {
        if mounted.reveals && !mounted.is_below(own, &mounts) {
            take_off(&mounted.point)?;
        }
    }
    move_mount(
        root.as_fd(),
        "",
        CWD,
        "/",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .call(|| "move_mount(rootfs, \"/\")")?;
    pivot::change_root(root)
}

/// A line of mountinfo (proc_pid_mountinfo(5)).
struct Mounted {
    id: u64,
    parent: u64,
    point: String,
    /// It is a procfs or a sysfs.
    reveals: bool,
}

impl Mounted {
    fn parse(line: &str) -> Option<Self> {
        let (front, back) = line.split_once(" - ")?;
        let mut fields = front.split(' ');
        Some(Mounted {
            id: fields.next()?.parse().ok()?,
            parent: fields.next()?.parse().ok()?,
            point: unescape(fields.nth(2)?),
            reveals: matches!(back.split(' ').next(), Some("proc" | "sysfs")),
        })
    }

    fn is_below(&self, ancestor: u64, mounts: &[Mounted]) -> bool {
        let mut at = self;
        // A mount that is its own parent is the top; the count is for a table that is none.
        for _ in 0..mounts.len() {
            if at.id == ancestor {
                return true;
            }
            match mounts.iter().find(|mounted| mounted.id == at.parent) {
                Some(parent) if parent.id != at.id => at = parent,
                _ => return false,
            }
        }
        false
    }
}

fn mount_id(mount: &OwnedFd) -> Result<u64> {
    let found = statx(mount, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)
        .call(|| "statx(rootfs, STATX_MNT_ID)")?;
    Ok(found.stx_mnt_id)
}

/// Unmounts the mount there, without the host seeing it; one that may not be unmounted, in a user
/// namespace, is covered.
fn take_off(point: &str) -> Result<()> {
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    match mount_change(point, slave) {
        // It was below one that is off already.
        Err(Errno::NOENT | Errno::INVAL) => return Ok(()),
        result => result.call(|| format!("mount({point:?}, MS_SLAVE|MS_REC)"))?,
    }
    match unmount(point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        Err(Errno::INVAL | Errno::PERM) => mount(
            "tmpfs",
            point,
            "tmpfs",
            MountFlags::RDONLY,
            None::<&std::ffi::CStr>,
        )
        .call(|| format!("mount(tmpfs, {point:?})")),
        result => result.map_err(|errno| Error::call(format!("umount2({point:?})"), errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mounts_below_the_rootfs_are_told_from_the_hosts() {
        let table = "1 1 0:1 / / rw - ext4 /dev/vda rw\n\
            2 1 0:2 / /proc rw shared:3 - proc proc rw\n\
            3 1 0:1 /b /a\\040b\\134 rw - ext4 /dev/vda rw\n\
            4 3 0:4 / /a\\040b\\134/sys rw - sysfs sysfs rw";
        let mounts: Vec<Mounted> = table.lines().filter_map(Mounted::parse).collect();
        let reveals: Vec<bool> = mounts.iter().map(|mounted| mounted.reveals).collect();
        assert_eq!(reveals, [false, true, false, true]);
        assert_eq!(mounts[3].point, "/a b\\/sys");
        assert!(mounts[3].is_below(3, &mounts));
        assert!(!mounts[1].is_below(3, &mounts));
        assert!(!mounts[0].is_below(3, &mounts));
    }
}
