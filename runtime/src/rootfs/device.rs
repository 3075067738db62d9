//! Device nodes and the links of /dev (config-linux.md, "Devices" and "Default Devices";
//! runtime-linux.md, "Dev symbolic links").

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, Uid};
use rustix::io::Errno;

use rustix::mount::{OpenTreeFlags, open_tree};

use super::{RootFd, Wanted, attach, split, stat_of};
use crate::error::{CallContext, Error, Result};
use crate::plan::DeviceStep;

/// Makes device nodes; remembers the last directory, which is nearly always /dev.
#[derive(Debug, Default)]
pub struct DeviceMaker {
    directory: Option<(String, OwnedFd)>,
}

impl DeviceMaker {
    /// Makes one node. The caller has set the umask to 0. Where that is not allowed, as in a user
    /// namespace that we have been started in, the host's own is bound, as in runc.
    ///
    /// # Errors
    /// With the path and the call.
    pub fn make(&mut self, root: &RootFd, step: &DeviceStep<'_>) -> Result<()> {
        if step.bind {
            return bind(root, step);
        }
        let (directory, name) = split(step.path)
            .ok_or_else(|| Error::new(format!("device path {:?} names no file", step.path)))?;
        let parent = self.directory(root, directory)?;
        let mode = Mode::from_raw_mode(step.mode);
        let mknod = || {
            format!(
                "mknodat({}, {:o}, {:#x})",
                step.path, step.mode, step.number
            )
        };
        match rustix::fs::mknodat(parent, name, step.kind, mode, step.number) {
            Ok(()) => {}
            Err(Errno::EXIST) if is_already(parent, name, step).call(mknod)? => {}
            Err(Errno::EXIST) => {
                return Err(Error::new(format!(
                    "{} is there already and is not the device asked for",
                    step.path
                ))
                .hint("mount a tmpfs on /dev, or remove the file from the rootfs"));
            }
            Err(Errno::PERM) if step.kind != FileType::Fifo => return bind(root, step),
            Err(errno) => return Err(Error::call(mknod(), errno)),
        }
        if step.uid != 0 || step.gid != 0 {
            rustix::fs::chownat(
                parent,
                name,
                Some(Uid::from_raw(step.uid)),
                Some(Gid::from_raw(step.gid)),
                AtFlags::SYMLINK_NOFOLLOW,
            )
            .call(|| format!("fchownat({}, {}, {})", step.path, step.uid, step.gid))?;
        }
        Ok(())
    }

    /// Makes `/dev/fd` and its kind, where nothing is there yet, and `/dev/ptmx` in any case.
    ///
    /// # Errors
    /// With the link and the call.
    pub fn link(&mut self, root: &RootFd) -> Result<()> {
        const LINKS: [(&str, &str); 5] = [
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
            ("core", "/proc/kcore"),
        ];
        let dev = self.directory(root, "/dev")?;
        for (name, target) in LINKS {
            match rustix::fs::symlinkat(target, dev, name) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(Error::call(format!("symlinkat(/dev/{name})"), errno)),
            }
        }
        match rustix::fs::symlinkat("pts/ptmx", dev, "ptmx") {
            Err(Errno::EXIST) => {
                rustix::fs::unlinkat(dev, "ptmx", AtFlags::empty())
                    .call(|| "unlinkat(/dev/ptmx)")?;
                rustix::fs::symlinkat("pts/ptmx", dev, "ptmx")
            }
            result => result,
        }
        .call(|| "symlinkat(/dev/ptmx)")
    }

    fn directory(&mut self, root: &RootFd, path: &str) -> Result<&OwnedFd> {
        let known = match self.directory.take() {
            Some((known, fd)) if known == path => (known, fd),
            _ => (path.to_owned(), root.directory(path)?),
        };
        Ok(&self.directory.insert(known).1)
    }
}

/// Binds the host's node of the same path, if it is the device asked for.
fn bind(root: &RootFd, step: &DeviceStep<'_>) -> Result<()> {
    let shown = || format!("open_tree({}, OPEN_TREE_CLONE)", step.path);
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let node = open_tree(rustix::fs::CWD, step.path, flags)
        .call(shown)
        .map_err(|error| error.hint("in a user namespace devices are the host's own"))?;
    let found = rustix::fs::fstat(&node).call(|| format!("fstat({})", step.path))?;
    if FileType::from_raw_mode(found.st_mode) != step.kind || found.st_rdev != step.number {
        return Err(Error::new(format!(
            "the host's {} is not the device asked for",
            step.path
        ))
        .hint("a user namespace can have no other: it may not make device nodes"));
    }
    let target = root.mount_point(step.path, Wanted::File)?;
    attach(node.as_fd(), target.as_fd()).call(|| format!("move_mount({})", step.path))
}

fn is_already(parent: impl AsFd, name: &str, step: &DeviceStep<'_>) -> Result<bool, Errno> {
    let found = stat_of(parent, name)?;
    let kind = FileType::from_raw_mode(found.st_mode);
    Ok(kind == step.kind && (kind == FileType::Fifo || found.st_rdev == step.number))
}
