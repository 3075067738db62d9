//! Which directory a bundle is, whatever it is called by now.

use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{CWD, Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::boot::boot_id;
use crate::sys::file_handle::FileHandle;

/// `TMPFS_MAGIC` and `RAMFS_MAGIC` of linux/magic.h: nothing on these outlives the machine's running.
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// Which directory a bundle is, whatever path leads to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundlePlace {
    /// Its file system (`f_fsid` of statfs(2)).
    file_system: u64,
    /// The boot that it can't outlive, if the file system is in memory.
    #[serde(default)]
    only_in_boot: Option<String>,
    /// Its handle there, where file systems and rights give one.
    #[serde(default)]
    handle: Option<Handle>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Handle {
    kind: i32,
    bytes: Vec<u8>,
}

impl BundlePlace {
    /// That of the directory at `path`.
    pub fn of(path: &Path) -> Result<Self> {
        let context = || format!("look at {}", path.display());
        let directory = open_directory(path).with_context(context)?;
        let kind = rustix::fs::fstatfs(&directory)
            .with_context(context)?
            .f_type;
        let only_in_boot = IN_MEMORY.contains(&kind).then(boot_id).transpose()?;
        let handle = FileHandle::of(&directory).ok().map(|handle| Handle {
            kind: handle.kind,
            bytes: handle.bytes,
        });
        Ok(BundlePlace {
            file_system: file_system_of(&directory).with_context(context)?,
            only_in_boot,
            handle,
        })
    }

    /// Looks for it where `path` leads as far as there is something.
    pub fn look(&self, path: &Path) -> Result<Found> {
        let of_path = || format!("look for {}", path.display());
        let above = path.ancestors().find(|path| path.is_dir());
        let above = open_directory(above.unwrap_or(Path::new("/"))).with_context(of_path)?;
        if file_system_of(&above).with_context(of_path)? != self.file_system {
            return Ok(match &self.only_in_boot {
                Some(only) if *only != boot_id()? => Found::Removed,
                _ => Found::NotMounted,
            });
        }
        let opened = self.handle.as_ref().and_then(|handle| {
            let handle = FileHandle {
                kind: handle.kind,
                bytes: handle.bytes.clone(),
            };
            handle.open_directory(&above).ok()
        });
        Ok(opened.map_or(Found::Removed, Found::There))
    }
}

/// What becomes of looking for a directory by its [`BundlePlace`].
#[derive(Debug)]
pub enum Found {
    /// It is there, whatever it is called.
    There(OwnedFd),
    /// It was removed, or nobody could tell.
    Removed,
    /// Its file system isn't mounted where it was.
    NotMounted,
}

fn file_system_of(directory: &OwnedFd) -> rustix::io::Result<u64> {
    Ok(rustix::fs::fstatvfs(directory)?.f_fsid)
}

fn open_directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
}
