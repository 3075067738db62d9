//! The init layer: empty files and directories for what every container mounts, where the image has
//! none. It lies between the image's layers and the writable layer, so that neither the image nor
//! what is committed of the container has them.

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, FileType, Mode, Timespec, Timestamps};
use rustix::io::Errno;

use super::runtime_config::Mount;
use crate::layer::path::ImagePath;
use crate::layer::rootfs::{Directory, RootFs};

/// Makes what is missing for mounts to be mounted on; `rootfs` is the overlay whose upper
/// directory becomes the init layer. What lies in another mount isn't ours to make.
pub(crate) fn make_mount_points(mounts: &[Mount], rootfs: &mut RootFs) -> Result<()> {
    let mut above: Vec<ImagePath> = Vec::new();
    for mount in mounts {
        let context = || format!("a mount point for {}", mount.destination);
        let path = ImagePath::parse(mount.destination.as_bytes()).with_context(context)?;
        if path.is_root() || above.iter().any(|covered| path.is_below(covered)) {
            continue;
        }
        let is_file = mount.is_bind()
            && std::fs::metadata(&mount.source).is_ok_and(|metadata| !metadata.is_dir());
        make_mount_point(rootfs, &path, is_file).with_context(context)?;
        above.push(path);
    }
    rootfs.forget();
    Ok(())
}

fn make_mount_point(rootfs: &mut RootFs, path: &ImagePath, is_file: bool) -> Result<()> {
    let Some((parent, name)) = path.split_last() else {
        return Ok(());
    };
    // What is in the way of a directory stays: the runtime says what it thinks of it.
    let mut existing = parent.clone();
    let nearest = loop {
        if let Some(directory) = rootfs.directory(&existing)? {
            break directory;
        }
        let Some((above, _)) = existing.split_last() else {
            return Ok(());
        };
        existing = above;
    };
    let whole = existing == parent;
    if whole && nearest.stat(name)?.is_some() {
        return Ok(());
    }
    let first_missing = path.components().nth(existing.components().count());
    if !whole
        && let Some(first) = first_missing
        && nearest.stat(first)?.is_some()
    {
        return Ok(());
    }
    // A new name changes the times of its directory, which are the image's.
    let times = times_of(&nearest)?;
    let reached = rootfs.make_directories(&parent)?;
    let mode = Mode::from_raw_mode(if is_file { 0o644 } else { 0o755 });
    if is_file {
        match reached.directory.make_node(name, FileType::RegularFile, 0) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).with_context(|| format!("mknodat {path}")),
        }
    } else {
        let made = reached.directory.make_directory(name);
        made.with_context(|| format!("mkdirat {path}"))?;
    }
    // The same in every container.
    let set = |directory: &Directory, name: &[u8], mode| {
        rustix::fs::chmodat(directory.fd(), name, mode, AtFlags::empty())
            .and_then(|()| {
                let epoch = Timespec {
                    tv_sec: 0,
                    tv_nsec: 0,
                };
                let times = Timestamps {
                    last_access: epoch,
                    last_modification: epoch,
                };
                rustix::fs::utimensat(directory.fd(), name, &times, AtFlags::SYMLINK_NOFOLLOW)
            })
            .with_context(|| format!("mode and times of {path}"))
    };
    set(&reached.directory, name, mode)?;
    for made in reached.made.iter().rev() {
        if let Some(directory) = rootfs.directory(made)? {
            set(&directory, b".", Mode::from_raw_mode(0o755))?;
        }
    }
    rustix::fs::futimens(nearest.readable()?, &times).context("futimens")
}

fn times_of(directory: &Directory) -> Result<Timestamps> {
    let stat = rustix::fs::fstat(directory.fd()).context("fstat")?;
    let time = |tv_sec, nanoseconds| Timespec {
        tv_sec,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or(0),
    };
    Ok(Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    })
}
