//! A file as a block device (`loop(4)`), for snapshotters whose layers are images of file systems.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use super::sys;

/// How many others may be faster at taking the device that the kernel has named as free.
const TRIES: u32 = 100;

/// A device that the kernel takes down when its last user closes it: first this, then the mount.
#[derive(Debug)]
pub struct LoopDevice {
    path: PathBuf,
    _device: OwnedFd,
}

impl LoopDevice {
    /// Of the device.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes a device of the file; `direct_io`: around the page cache.
pub fn attach(file: &Path, read_only: bool, direct_io: bool) -> Result<LoopDevice> {
    let access = if read_only {
        OFlags::RDONLY
    } else {
        OFlags::RDWR
    };
    let open = |path: &Path| {
        openat(CWD, path, access | OFlags::CLOEXEC, Mode::empty())
            .with_context(|| format!("open({})", path.display()))
    };
    let backing = open(file)?;
    let control = open(Path::new("/dev/loop-control"))?;
    for _ in 0..TRIES {
        let number = sys::free_loop_device(&control).context("ioctl(LOOP_CTL_GET_FREE)")?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = open(&path)?;
        match sys::configure_loop_device(&device, &backing, read_only, direct_io) {
            Ok(()) => {
                return Ok(LoopDevice {
                    path,
                    _device: device,
                });
            }
            Err(Errno::BUSY) => {}
            Err(errno) => {
                return Err(errno)
                    .with_context(|| format!("ioctl({}, LOOP_CONFIGURE)", path.display()));
            }
        }
    }
    bail!("{TRIES} times someone else took the loop device that was free")
}
