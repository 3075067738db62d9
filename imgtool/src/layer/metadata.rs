//! Owner, extended attributes, mode and times of a file, set through its descriptor.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::ids::{IdMapping, ROOTLESS_XATTR, rootless_xattr};
use super::inode::Inode;
use super::path::ImagePath;
use super::tar::{Entry, Timestamp};
use crate::warnings::Warnings;

/// What a file is to look like on this host.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// User and group on the host; nothing for "the caller's, as made".
    pub owner: Option<(u32, u32)>,
    /// Permission, set-id and sticky bits.
    pub mode: u32,
    /// Access and modification time.
    pub times: (Timestamp, Timestamp),
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Metadata {
    /// An entry's metadata as it is to be on the host.
    pub fn of(entry: &mut Entry, mapping: &IdMapping, warnings: &mut Warnings) -> Result<Self> {
        let mut xattrs = std::mem::take(&mut entry.xattrs);
        xattrs.retain(|(name, _)| {
            let keep = !belongs_to_host(name);
            if !keep {
                let name = name.escape_ascii();
                warnings.add("xattr", || {
                    format!("{}: not setting attribute {name}", entry.path)
                });
            }
            keep
        });
        let owner = if mapping.rootless {
            if let Some(value) = rootless_xattr(entry.uid, entry.gid) {
                xattrs.push((ROOTLESS_XATTR.to_vec(), value));
            }
            None
        } else {
            Some(mapping.owner(entry.uid, entry.gid)?)
        };
        let times = (entry.atime.unwrap_or(entry.mtime), entry.mtime);
        Ok(Metadata {
            owner,
            mode: entry.mode,
            times,
            xattrs,
        })
    }

    /// The metadata that a file has on this host.
    pub fn of_existing(inode: &Inode) -> Result<Self> {
        let stat = inode.stat();
        let time = |seconds, nanoseconds| Timestamp {
            seconds,
            nanoseconds: u32::try_from(nanoseconds).unwrap_or(0),
        };
        let mut xattrs = inode.xattrs()?;
        xattrs.retain(|(name, _)| !belongs_to_host(name));
        Ok(Metadata {
            owner: Some((stat.st_uid, stat.st_gid)),
            mode: stat.st_mode & 0o7777,
            times: (
                time(stat.st_atime, stat.st_atime_nsec),
                time(stat.st_mtime, stat.st_mtime_nsec),
            ),
            xattrs,
        })
    }

    /// The metadata of a directory that no entry describes: root's, 0755, and the epoch, so that
    /// the same image always gives the same tree.
    pub fn of_implied_directory(mapping: &IdMapping) -> Result<Self> {
        let owner = if mapping.rootless {
            None
        } else {
            Some(mapping.owner(0, 0)?)
        };
        let epoch = Timestamp::default();
        Ok(Metadata {
            owner,
            mode: 0o755,
            times: (epoch, epoch),
            xattrs: Vec::new(),
        })
    }

    /// The owner, if it isn't the one that new files get anyway.
    pub fn owner_unlike(&self, own: Option<(u32, u32)>) -> Option<(Uid, Gid)> {
        let owner = self.owner?;
        (Some(owner) != own).then(|| (Uid::from_raw(owner.0), Gid::from_raw(owner.1)))
    }

    /// Sets all of it on an open file or directory. Order matters: chown(2) clears set-id bits
    /// and file capabilities, and a user attribute needs write permission.
    pub fn set(
        &self,
        file: BorrowedFd<'_>,
        path: &ImagePath,
        owner: Option<(Uid, Gid)>,
        warnings: &mut Warnings,
    ) -> Result<()> {
        if let Some((uid, gid)) = owner {
            rustix::fs::fchown(file, Some(uid), Some(gid))
                .with_context(|| chown_context(path, uid, gid))?;
        }
        for (name, value) in &self.xattrs {
            let result = rustix::fs::fsetxattr(file, &name[..], value, XattrFlags::empty());
            self.xattr_result(result, path, name, warnings)?;
        }
        rustix::fs::fchmod(file, Mode::from_raw_mode(self.mode))
            .with_context(|| format!("fchmod {path} to {:04o}", self.mode))?;
        rustix::fs::futimens(file, &self.timestamps()).with_context(|| format!("futimens {path}"))
    }

    /// Sets all of it on a FIFO, device or symbolic link, through an `O_PATH` descriptor: opening
    /// one properly could block or act. A symbolic link has no mode of its own.
    pub fn set_on_special(
        &self,
        file: BorrowedFd<'_>,
        path: &ImagePath,
        owner: Option<(Uid, Gid)>,
        is_symlink: bool,
        warnings: &mut Warnings,
    ) -> Result<()> {
        if let Some((uid, gid)) = owner {
            rustix::fs::chownat(file, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH)
                .with_context(|| chown_context(path, uid, gid))?;
        }
        // fsetxattr(2) and fchmod(2) don't take O_PATH descriptors; this magic link names the
        // very inode, which isn't followed further (proc_pid_fd(5)).
        let inode = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
        for (name, value) in &self.xattrs {
            let result = rustix::fs::setxattr(&*inode, &name[..], value, XattrFlags::empty());
            self.xattr_result(result, path, name, warnings)?;
        }
        if !is_symlink {
            rustix::fs::chmod(&*inode, Mode::from_raw_mode(self.mode))
                .with_context(|| format!("chmod {path} to {:04o}", self.mode))?;
        }
        rustix::fs::utimensat(file, "", &self.timestamps(), AtFlags::EMPTY_PATH)
            .with_context(|| format!("utimensat {path}"))
    }

    /// What utimensat(2) takes.
    pub fn timestamps(&self) -> Timestamps {
        let timespec = |time: Timestamp| Timespec {
            tv_sec: time.seconds,
            tv_nsec: i64::from(time.nanoseconds),
        };
        Timestamps {
            last_access: timespec(self.times.0),
            last_modification: timespec(self.times.1),
        }
    }

    /// A file system without extended attributes, or a user without the right to set one, loses
    /// attributes and says so, as umoci does; anything else is an error.
    fn xattr_result(
        &self,
        result: rustix::io::Result<()>,
        path: &ImagePath,
        name: &[u8],
        warnings: &mut Warnings,
    ) -> Result<()> {
        let name = name.escape_ascii();
        match result {
            Ok(()) => Ok(()),
            Err(Errno::NOTSUP) => {
                warnings.add("xattr-support", || {
                    format!("{path}: the file system can't hold attribute {name}")
                });
                Ok(())
            }
            Err(Errno::PERM | Errno::ACCESS) if self.owner.is_none() => {
                warnings.add("xattr-permission", || {
                    format!("{path}: not allowed to set attribute {name} (rootless)")
                });
                Ok(())
            }
            Err(errno) => Err(errno).with_context(|| format!("fsetxattr {path} {name}")),
        }
    }
}

fn chown_context(path: &ImagePath, uid: Uid, gid: Gid) -> String {
    let hint = if rustix::process::geteuid().is_root() {
        ""
    } else {
        " (not being root, use --rootless)"
    };
    format!("chown {path} to {}:{}{hint}", uid.as_raw(), gid.as_raw())
}

/// Whether an attribute is the host's: no image may set it on our files, and none of ours goes into
/// an image. Labels and integrity data of security
/// modules belong to the host; overlay's attributes would tell a later overlay mount of this tree
/// to look elsewhere (`redirect`, `metacopy`); the rootless owner is ours to write.
pub fn belongs_to_host(name: &[u8]) -> bool {
    const EXACT: [&[u8]; 8] = [
        b"security.selinux",
        b"security.apparmor",
        b"security.ima",
        b"security.evm",
        b"security.SMACK64",
        b"system.nfs4_acl",
        b"system.richacl",
        ROOTLESS_XATTR,
    ];
    const PREFIXES: [&[u8]; 3] = [b"trusted.overlay.", b"user.overlay.", b"security.SMACK64"];
    EXACT.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
