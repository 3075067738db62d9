//! The bundle's directory while it is being made: it becomes a bundle, or nothing is left of it.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, Dir, Gid, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::lock::BundleLock;
use crate::layer::rootfs::RootFs;
use crate::overlay::unmount_from;

/// A bundle in the making. Dropped without [`BundleDirectory::complete`], it removes all that it
/// made.
#[derive(Debug)]
pub struct BundleDirectory {
    path: PathBuf,
    directory: OwnedFd,
    /// Directories that we made for it, outermost first.
    made: Vec<PathBuf>,
    /// What the directory was like that the caller made.
    before: Stat,
    /// Whoever makes something in it or removes it is alone.
    _lock: BundleLock,
    /// Files that we made in it.
    files: Vec<String>,
    /// Its `rootfs` is a mount.
    is_mounted: bool,
    /// It is itself the root file system: all that is in it is ours.
    is_rootfs: bool,
    completed: bool,
}

pub(super) const ROOTFS: &str = "rootfs";
pub(super) const CONFIG: &str = "config.json";
pub(super) const UNFINISHED_CONFIG: &str = ".config.json.unfinished";

impl BundleDirectory {
    /// Makes the directory, with its parents; one that is there has to be empty.
    pub fn create(path: &Path) -> Result<Self> {
        let mut made = Vec::new();
        let result = make_with_parents(path, &mut made).and_then(|()| open_empty(path));
        match result {
            Ok((directory, lock)) => Ok(BundleDirectory {
                path: path.to_owned(),
                before: rustix::fs::fstat(&directory).context("fstat the bundle directory")?,
                _lock: lock,
                directory,
                made,
                files: Vec::new(),
                is_mounted: false,
                is_rootfs: false,
                completed: false,
            }),
            Err(error) => {
                remove_directories(&made);
                Err(error)
            }
        }
    }

    /// Makes `rootfs`, empty. It will hold set-id programs that no other user of the host should get
    /// at (CVE-2021-41103), so the directory becomes mode 0700 even if the caller made it, as under
    /// umoci.
    pub fn make_rootfs(&self) -> Result<OwnedFd> {
        rustix::fs::fchmod(&self.directory, Mode::RWXU)
            .with_context(|| format!("chmod {} to 0700", self.path.display()))?;
        let context = || format!("make {}", self.path.join(ROOTFS).display());
        rustix::fs::mkdirat(&self.directory, ROOTFS, Mode::RWXU).with_context(context)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.directory, ROOTFS, flags, Mode::empty()).with_context(context)
    }

    /// Takes the directory itself for the root file system.
    pub fn as_rootfs(&mut self) -> Result<OwnedFd> {
        self.is_rootfs = true;
        self.directory.try_clone().context("dup the directory")
    }

    /// Keeps what is there.
    pub fn keep(mut self) {
        self.completed = true;
    }

    /// Lets the container's root, which is `group` on the host, through to its `rootfs`.
    pub fn open_to_group(&self, group: u32) -> Result<()> {
        let context = || format!("open {} to group {group}", self.path.display());
        rustix::fs::fchown(&self.directory, None, Some(Gid::from_raw(group)))
            .with_context(context)?;
        rustix::fs::fchmod(&self.directory, Mode::from_raw_mode(0o710)).with_context(context)
    }

    /// Makes a further directory of the bundle, empty.
    pub fn make_directory(&mut self, name: &str) -> Result<()> {
        rustix::fs::mkdirat(&self.directory, name, Mode::from_raw_mode(0o755))
            .with_context(|| format!("make {}", self.path.join(name).display()))?;
        self.files.push(name.to_owned());
        Ok(())
    }

    /// Notes that something is mounted on `rootfs`.
    pub fn note_mount(&mut self) {
        self.is_mounted = true;
    }

    /// Opens a further file of the bundle to write it anew.
    pub fn replace_file(&mut self, name: &str) -> Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let flags = flags | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(0o644);
        let fd = rustix::fs::openat(&self.directory, name, flags, mode)
            .with_context(|| format!("open {}", self.path.join(name).display()))?;
        if !self.files.iter().any(|known| known == name) {
            self.files.push(name.to_owned());
        }
        Ok(fd.into())
    }

    /// Puts a further file into the bundle, in place of what is there.
    pub fn write_whole(&mut self, name: &str, content: &[u8]) -> Result<()> {
        self.files.push(unfinished(name));
        self.files.push(name.to_owned());
        write_whole(&self.directory, name, content)
            .with_context(|| format!("write {}", self.path.join(name).display()))
    }

    /// Makes a further file of the bundle.
    pub fn create_file(&mut self, name: &str) -> Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let fd = rustix::fs::openat(&self.directory, name, flags, mode)
            .with_context(|| format!("make {}", self.path.join(name).display()))?;
        self.files.push(name.to_owned());
        Ok(fd.into())
    }

    /// Writes what becomes `config.json`.
    pub fn write_config(&self, config: &[u8]) -> Result<()> {
        let context = || format!("write {}", self.path.join(CONFIG).display());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let fd = rustix::fs::openat(&self.directory, UNFINISHED_CONFIG, flags, mode)
            .with_context(context)?;
        let mut file = File::from(fd);
        file.write_all(config)
            .and_then(|()| file.sync_data())
            .with_context(context)
    }

    /// Gives `config.json` its name, which makes the directory a bundle: until then a runtime
    /// refuses it.
    pub fn complete(mut self) -> Result<()> {
        let context = || {
            format!(
                "rename {UNFINISHED_CONFIG} to {}",
                self.path.join(CONFIG).display()
            )
        };
        rustix::fs::renameat(&self.directory, UNFINISHED_CONFIG, &self.directory, CONFIG)
            .with_context(context)?;
        self.completed = true;
        Ok(())
    }

    /// Gives the caller's directory the group and the mode that it had.
    fn give_back(&self) -> rustix::io::Result<()> {
        let now = rustix::fs::fstat(&self.directory)?;
        if now.st_gid != self.before.st_gid {
            let group = Gid::from_raw(self.before.st_gid);
            rustix::fs::fchown(&self.directory, None, Some(group))?;
        }
        if now.st_mode != self.before.st_mode {
            let mode = Mode::from_raw_mode(self.before.st_mode);
            rustix::fs::fchmod(&self.directory, mode)?;
        }
        Ok(())
    }

    fn remove_contents(&self) -> Result<()> {
        if self.is_mounted {
            unmount_from(&self.path.join(ROOTFS), true)?;
        }
        // Through the same descriptor that made it: whatever stands at the path by now, only
        // what we made goes.
        let directory = RootFs::new(self.directory.try_clone().context("dup the bundle")?);
        if self.is_rootfs {
            let root = directory.root();
            return root.names()?.try_for_each(|name| root.remove(&name?));
        }
        let files = self.files.iter().map(String::as_str);
        for name in files.chain([ROOTFS, UNFINISHED_CONFIG, CONFIG]) {
            directory.root().remove(name.as_bytes())?;
        }
        Ok(())
    }
}

/// Writes a file of a bundle, in place of what is there: whenever that is killed, there is the old one
/// or the new one.
pub(super) fn write_whole(directory: impl AsFd, name: &str, content: &[u8]) -> Result<()> {
    let unfinished = unfinished(name);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(0o644);
    let fd = rustix::fs::openat(&directory, &*unfinished, flags | OFlags::NOFOLLOW, mode)?;
    let mut file = File::from(fd);
    file.write_all(content).and_then(|()| file.sync_data())?;
    rustix::fs::renameat(&directory, &*unfinished, &directory, name)?;
    Ok(())
}

fn unfinished(name: &str) -> String {
    format!(".{name}.unfinished")
}

impl Drop for BundleDirectory {
    fn drop(&mut self) {
        if self.completed {
            return;
        }
        if let Err(error) = self.remove_contents() {
            let path = self.path.display();
            crate::warnings::warn(|| {
                format!("can't remove the unfinished bundle {path}: {error:#}")
            });
        }
        if let Err(errno) = self.give_back() {
            let path = self.path.display();
            crate::warnings::warn(|| format!("can't give {path} its mode back: {errno}"));
        }
        remove_directories(&self.made);
    }
}

fn make_with_parents(path: &Path, made: &mut Vec<PathBuf>) -> Result<()> {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.exists())
        .collect();
    for (index, directory) in missing.iter().rev().enumerate() {
        let is_bundle = index + 1 == missing.len();
        let mode = Mode::from_raw_mode(if is_bundle { 0o700 } else { 0o755 });
        rustix::fs::mkdir(*directory, mode)
            .with_context(|| format!("mkdir {}", directory.display()))?;
        made.push(directory.to_path_buf());
    }
    Ok(())
}

/// Opens a directory in which there is nothing, and nobody else is at work.
fn open_empty(path: &Path) -> Result<(OwnedFd, BundleLock)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(path, flags, Mode::empty())
        .with_context(|| format!("open bundle directory {}", path.display()))?;
    let Some(lock) = BundleLock::try_take(&directory)? else {
        bail!(
            "somebody else is making or removing a bundle in {}: wait for them, or name another",
            path.display()
        );
    };
    let mut names = Vec::new();
    for entry in Dir::read_from(directory.as_fd()).context("read the bundle directory")? {
        let entry = entry.context("read the bundle directory")?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| !matches!(name.as_str(), "." | ".."));
    if names.is_empty() {
        return Ok((directory, lock));
    }
    let path = path.display();
    if names.iter().any(|name| name == ROOTFS) && !names.iter().any(|name| name == CONFIG) {
        bail!(
            "{path} holds the rest of an unpack that was killed (a rootfs, no config.json): remove it first"
        );
    }
    bail!("bundle directory {path} is not empty: remove it first, or name another");
}

fn remove_directories(made: &[PathBuf]) {
    for directory in made.iter().rev() {
        match rustix::fs::unlinkat(rustix::fs::CWD, directory, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => {
                let directory = directory.display();
                crate::warnings::warn(|| format!("can't remove {directory}: {errno}"));
            }
        }
    }
}
