//! A file of a tree on disk, held by its descriptor: whatever happens to its name meanwhile, all
//! that is read of it is of one file.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::path::ImagePath;
use super::rootfs::Directory;

/// A file, whatever its type; a symbolic link is itself.
#[derive(Debug)]
pub struct Inode {
    path: ImagePath,
    fd: OwnedFd,
    stat: Stat,
    /// The mode to give back: without root's rights, an owner may have to give himself the
    /// permission to read what is his.
    locked: Option<Mode>,
}

/// Names and values of extended attributes, by name.
pub type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

impl Inode {
    /// Opens the file `name` of `parent`, without acting on it: a FIFO or device isn't touched.
    pub fn open(parent: &Directory, name: &[u8]) -> Result<Self> {
        let inode = Inode::find(parent, name)?;
        inode.with_context(|| format!("openat {}: {}", path_of(parent, name), Errno::NOENT))
    }

    /// The same; nothing if it isn't there.
    pub fn find(parent: &Directory, name: &[u8]) -> Result<Option<Self>> {
        let path = path_of(parent, name);
        let fd = match parent.open(name, OFlags::PATH, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno).with_context(|| format!("openat {path}")),
        };
        let stat = rustix::fs::fstat(&fd).with_context(|| format!("fstat {path}"))?;
        let mut inode = Inode {
            path,
            fd,
            stat,
            locked: None,
        };
        inode.unlock()?;
        Ok(Some(inode))
    }

    /// The directory that it is: this very one, whatever has its name by now.
    pub fn directory(&self) -> Result<Directory> {
        let fd = self.fd.try_clone();
        let fd = fd.with_context(|| format!("dup {}", self.path))?;
        Ok(Directory::of(self.path.clone(), fd))
    }

    /// What is known of it; its mode is the one that it had when it was opened.
    pub fn stat(&self) -> &Stat {
        &self.stat
    }

    /// What it is.
    pub fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }

    /// Its data, for a regular file.
    pub fn data(&self) -> Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::open(self.by_descriptor(), flags, Mode::empty())
            .with_context(|| format!("open {}", self.path))?;
        Ok(file.into())
    }

    /// The target of a symbolic link.
    pub fn link_target(&self) -> Result<Vec<u8>> {
        rustix::fs::readlinkat(&self.fd, "", Vec::new())
            .map(std::ffi::CString::into_bytes)
            .with_context(|| format!("readlinkat {}", self.path))
    }

    /// Its extended attributes, as far as we may see them; none where the file system has none.
    pub fn xattrs(&self) -> Result<Xattrs> {
        let inode = self.by_descriptor();
        let context = || format!("listxattr {}", self.path);
        let mut names = vec![0; 1024];
        let length = loop {
            match rustix::fs::listxattr(&*inode, &mut names[..]) {
                Ok(length) => break length,
                Err(Errno::RANGE) => names.resize(names.len() * 8, 0),
                Err(Errno::NOTSUP) => return Ok(Vec::new()),
                Err(errno) => return Err(errno).with_context(context),
            }
        };
        let mut xattrs = Vec::new();
        for name in names[..length].split(|&byte| byte == 0) {
            if name.is_empty() {
                continue;
            }
            if let Some(value) = self.xattr(name)? {
                xattrs.push((name.to_vec(), value));
            }
        }
        xattrs.sort();
        Ok(xattrs)
    }

    /// One extended attribute; nothing if it isn't there, or not for us to see.
    pub fn xattr(&self, name: &[u8]) -> Result<Option<Vec<u8>>> {
        let inode = self.by_descriptor();
        let mut value = vec![0; 256];
        loop {
            match rustix::fs::getxattr(&*inode, name, &mut value[..]) {
                Ok(length) => {
                    value.truncate(length);
                    return Ok(Some(value));
                }
                // A value has 64 KiB at most (linux/limits.h).
                Err(Errno::RANGE) => value.resize(64 << 10, 0),
                Err(Errno::NODATA | Errno::NOTSUP) => return Ok(None),
                Err(errno) => {
                    let name = name.escape_ascii();
                    return Err(errno).with_context(|| format!("getxattr {} {name}", self.path));
                }
            }
        }
    }

    /// A magic link to the very inode: getxattr(2) and chmod(2) don't take `O_PATH` descriptors,
    /// and following this one goes no further (proc_pid_fd(5)).
    fn by_descriptor(&self) -> String {
        format!("/proc/self/fd/{}", self.fd.as_fd().as_raw_fd())
    }

    /// Takes the permission to read, and to search a directory, until this is dropped.
    fn unlock(&mut self) -> Result<()> {
        let needed = match self.kind() {
            FileType::Directory => 0o500,
            FileType::RegularFile => 0o400,
            _ => return Ok(()),
        };
        if self.stat.st_mode & needed == needed {
            return Ok(());
        }
        let own = rustix::process::geteuid();
        if own.is_root() || self.stat.st_uid != own.as_raw() {
            return Ok(());
        }
        let mode = self.stat.st_mode & 0o7777;
        rustix::fs::chmod(self.by_descriptor(), Mode::from_raw_mode(mode | needed))
            .with_context(|| format!("chmod {} to read it", self.path))?;
        self.locked = Some(Mode::from_raw_mode(mode));
        Ok(())
    }
}

fn path_of(parent: &Directory, name: &[u8]) -> ImagePath {
    match name {
        b"." => parent.path().clone(),
        name => parent.path().join(name),
    }
}

impl Drop for Inode {
    fn drop(&mut self) {
        if let Some(mode) = self.locked
            && let Err(errno) = rustix::fs::chmod(self.by_descriptor(), mode)
        {
            let (path, mode) = (&self.path, mode.as_raw_mode());
            crate::warnings::warn(|| {
                format!("can't give {path} its mode {mode:04o} back: {errno}")
            });
        }
    }
}
