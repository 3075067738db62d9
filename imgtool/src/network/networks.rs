//! The directory with all that this host's store knows of networks: `STORE/networks`.
//!
//! ```text
//! windlass.conflist   the network that `--network bridge` means, for its owner to change
//! addresses/          which of its addresses are given out (the plugin host-local keeps that)
//! attachments/ID      how a container is attached
//! namespaces/ID       its network namespace, held by a mount until it is detached
//! locks/ID            there while somebody attaches or detaches it
//! lock                for who changes what concerns several of them
//! ```

use std::fs::{DirBuilder, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::FlockOperation;
use rustix::mount::{UnmountFlags, mount_bind, unmount};

use super::attachment::Attachment;
use crate::flock::flock;
use crate::warnings::warn;

/// The magic number of the file system that namespaces are files of (Linux, magic.h).
const NSFS_MAGIC: i64 = 0x6e73_6673;

/// Its name in the store.
pub const DIRECTORY: &str = "networks";

/// The directory.
#[derive(Debug, Clone)]
pub struct Networks {
    directory: PathBuf,
}

/// The right to change it, until dropped.
#[derive(Debug)]
pub struct Locked(#[allow(dead_code, reason = "the lock ends with the descriptor")] File);

/// The right to attach or detach one container, until dropped.
#[derive(Debug)]
pub struct ContainerLocked {
    path: PathBuf,
    _lock: File,
}

impl Drop for ContainerLocked {
    fn drop(&mut self) {
        // Before the lock ends: whoever waits for it sees that this isn't the file any more. One
        // that stays does no harm.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Networks {
    /// That of a store, by its absolute path; made where there is none.
    pub fn of_store(store: &Path) -> Result<Self> {
        Self::open(&store.join(DIRECTORY))
    }

    /// Opens it by its absolute path; makes it where there is none.
    pub fn open(directory: &Path) -> Result<Self> {
        // It stands in JSON and in the environment of plugins.
        if directory.to_str().is_none() {
            bail!("path {} is not UTF-8", directory.display());
        }
        let networks = Networks {
            directory: directory.to_owned(),
        };
        for directory in [
            networks.attachments_path(),
            networks.namespaces_path(),
            networks.locks_path(),
        ] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&directory)
                .with_context(|| format!("mkdir {}", directory.display()))?;
        }
        Ok(networks)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Waits for the right to change what concerns several containers. Plugins, which may be slow,
    /// are never called with it.
    pub fn lock(&self) -> Result<Locked> {
        locked(&self.directory.join("lock")).map(Locked)
    }

    /// Waits until nobody else attaches or detaches a container. Who needs [`Self::lock`] too takes
    /// that one afterwards, and nobody has the locks of two containers.
    pub fn lock_container(&self, container: &str) -> Result<ContainerLocked> {
        let path = self.locks_path().join(container);
        loop {
            let lock = locked(&path)?;
            let ours = lock.metadata().context("fstat a lock")?;
            match std::fs::symlink_metadata(&path) {
                Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => {
                    return Ok(ContainerLocked { path, _lock: lock });
                }
                // Who had it has removed it meanwhile.
                _ => {}
            }
        }
    }

    /// How all containers are attached. What can't be read is one container's affair, not that of all
    /// the others.
    pub fn attachments(&self) -> Result<Vec<Attachment>> {
        let directory = self.attachments_path();
        let context = || format!("read directory {}", directory.display());
        let mut attachments = Vec::new();
        for entry in std::fs::read_dir(&directory).with_context(context)? {
            let name = entry.with_context(context)?.file_name();
            if let Some(container) = name.to_str().filter(|name| !name.starts_with('.')) {
                match self.attachment(container) {
                    Ok(attachment) => attachments.extend(attachment),
                    Err(error) => warn(|| {
                        format!("{error:#}: remove the file once container {container} is deleted")
                    }),
                }
            }
        }
        Ok(attachments)
    }

    /// How a container is attached, if it is.
    pub fn attachment(&self, container: &str) -> Result<Option<Attachment>> {
        let path = self.attachments_path().join(container);
        let json = match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            json => json.with_context(|| format!("read {}", path.display()))?,
        };
        serde_json::from_slice(&json)
            .map(Some)
            .with_context(|| format!("{}", path.display()))
    }

    /// Notes how a container is attached.
    pub fn save(&self, attachment: &Attachment) -> Result<()> {
        let path = self.attachments_path().join(&attachment.container);
        write_whole(&path, &serde_json::to_vec_pretty(attachment)?)
    }

    /// Notes that it isn't attached any more.
    pub fn forget(&self, container: &str) -> Result<()> {
        remove(&self.attachments_path().join(container))
    }

    /// Keeps a process's network namespace until [`Self::release_namespace`], so that the plugins
    /// find in it what they have made. `bridge` takes away its rules of masquerading only if it does.
    pub fn hold_namespace(&self, container: &str, pid: u32) -> Result<PathBuf> {
        self.release_namespace(container)?;
        let path = self.namespaces_path().join(container);
        let context = || format!("write {}", path.display());
        File::create(&path).with_context(context)?;
        let source = format!("/proc/{pid}/ns/net");
        mount_bind(&*source, &path)
            .with_context(|| format!("mount --bind {source} {}", path.display()))?;
        Ok(path)
    }

    /// A container's network namespace, if it is still held: it is not after a reboot.
    pub fn namespace(&self, container: &str) -> Option<PathBuf> {
        let path = self.namespaces_path().join(container);
        is_namespace(&path).then_some(path)
    }

    /// Lets go of it.
    pub fn release_namespace(&self, container: &str) -> Result<()> {
        while let Some(path) = self.namespace(container) {
            unmount(&path, UnmountFlags::DETACH)
                .with_context(|| format!("umount {}", path.display()))?;
        }
        remove(&self.namespaces_path().join(container))
    }

    fn attachments_path(&self) -> PathBuf {
        self.directory.join("attachments")
    }

    fn namespaces_path(&self) -> PathBuf {
        self.directory.join("namespaces")
    }

    fn locks_path(&self) -> PathBuf {
        self.directory.join("locks")
    }
}

/// Opens a file, or makes it, and waits for its lock.
fn locked(path: &Path) -> Result<File> {
    let context = || format!("flock {}", path.display());
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(context)?;
    flock(&file, FlockOperation::LockExclusive).with_context(context)?;
    Ok(file)
}

/// Whether a file is a namespace.
pub(super) fn is_namespace(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| found.f_type == NSFS_MAGIC)
}

/// Writes a file that is there whole or not at all, after a loss of power as well.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let context = || format!("write {}", path.display());
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        bail!("{} is no path of a file", path.display());
    };
    let temporary = directory.join(format!(".{}", name.to_string_lossy()));
    let written = File::create(&temporary)
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // The error that counts is the first.
        let _ = std::fs::remove_file(&temporary);
    }
    written.with_context(context)
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed.with_context(|| format!("unlink {}", path.display())),
    }
}
