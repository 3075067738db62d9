//! Where containers are kept: one directory each below `--root`.

use std::fs::{DirBuilder, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;

use super::journal::JOURNAL;
use super::state::STATE_FILE;
use crate::error::{CallContext, Error, Result};
use crate::sys::exec::spend;

/// What a container's directory usually holds, for its removal.
const FILES: [&str; 2] = [STATE_FILE, JOURNAL];

/// All containers below one `--root`.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// One container's directory.
#[derive(Debug)]
pub struct ContainerDirectory {
    path: PathBuf,
    id: String,
}

/// Held while a verb changes a container; given up when dropped, and by the kernel when its
/// holder is killed.
#[derive(Debug)]
pub struct Lock(File);

/// A container's directory, held open without the lock.
#[derive(Debug)]
pub struct Unlocked(File);

impl Lock {
    /// Gives the lock up, and keeps the directory open.
    ///
    /// # Errors
    /// flock(2)'s.
    pub fn release(self) -> Result<Unlocked> {
        flock(&self.0, FlockOperation::Unlock).call(|| "flock(LOCK_UN)")?;
        Ok(Unlocked(self.0))
    }

    /// Gives the lock up with all else that is spent, for who is about to end.
    pub fn spend(self) {
        spend([OwnedFd::from(self.0)]);
    }
}

impl Unlocked {
    /// Waits for the lock again; none if the directory has been deleted meanwhile, whatever has its
    /// name now.
    ///
    /// # Errors
    /// flock(2)'s.
    pub fn lock_again(self) -> Result<Option<Lock>> {
        wait_for_lock(self.0)
    }
}

fn lock_exclusively(directory: &File) -> Result<()> {
    while let Err(errno) = flock(directory, FlockOperation::LockExclusive) {
        if errno != Errno::INTR {
            return Err(Error::call("flock(LOCK_EX)", errno));
        }
    }
    Ok(())
}

fn wait_for_lock(directory: File) -> Result<Option<Lock>> {
    lock_exclusively(&directory)?;
    // One that was deleted while we waited has no name that leads to it any more.
    let links = directory
        .metadata()
        .call(|| "stat(container's directory)")?
        .nlink();
    Ok((links > 0).then_some(Lock(directory)))
}

impl Store {
    /// The containers below `root`.
    pub fn new(root: PathBuf) -> Self {
        Store { root }
    }

    /// Where the container `id` is kept, or would be.
    pub fn place(&self, id: &str) -> PathBuf {
        self.root.join(id)
    }

    /// Makes the directory of a new container, locks it, and opens its journal, which is empty.
    ///
    /// # Errors
    /// `container with given ID already exists`, and for an id that is no name.
    pub fn make(&self, id: &str) -> Result<(ContainerDirectory, Lock, File)> {
        check_id(id)?;
        let path = self.root.join(id);
        loop {
            self.make_directory(&path)?;
            let directory = ContainerDirectory {
                path: path.clone(),
                id: id.to_owned(),
            };
            // A `delete` may have come before our lock, and taken it for what a killed `create`
            // has left: it has no journal yet. Then its name is free again, and the kernel makes no
            // file in what has been removed.
            let Some(held) = directory.open()? else {
                continue;
            };
            lock_exclusively(&held)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::APPEND;
            let mode = Mode::RUSR | Mode::WUSR;
            match openat(&held, JOURNAL, flags | OFlags::CLOEXEC, mode) {
                Err(Errno::NOENT) => {}
                journal => {
                    let path = directory.file(JOURNAL);
                    let journal = journal.call(|| format!("open {}", path.display()))?;
                    return Ok((directory, Lock(held), journal.into()));
                }
            }
        }
    }

    fn make_directory(&self, path: &Path) -> Result<()> {
        let made = match rustix::fs::mkdir(path, Mode::RWXU) {
            Err(Errno::NOENT) => {
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(&self.root)
                    .call(|| format!("mkdir({})", self.root.display()))?;
                rustix::fs::mkdir(path, Mode::RWXU)
            }
            result => result,
        };
        match made {
            Err(Errno::EXIST) => Err(Error::new("container with given ID already exists")),
            result => result.call(|| format!("mkdir({})", path.display())),
        }
    }

    /// The directory of an existing container.
    ///
    /// # Errors
    /// `container does not exist`, and for an id that is no name.
    pub fn find(&self, id: &str) -> Result<ContainerDirectory> {
        check_id(id)?;
        let path = self.root.join(id);
        match path.symlink_metadata() {
            Ok(found) if found.is_dir() => Ok(ContainerDirectory {
                path,
                id: id.to_owned(),
            }),
            Ok(_) => Err(Error::new("container does not exist")
                .hint(format!("{} is not a directory", path.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(Error::new("container does not exist"))
            }
            Err(error) => Err(error).call(|| format!("stat({})", path.display())),
        }
    }

    /// All containers, by id.
    ///
    /// # Errors
    /// When the root can't be read; a root that isn't there has no containers, unless it was
    /// `given` by the caller.
    pub fn list(&self, given: bool) -> Result<Vec<ContainerDirectory>> {
        let entries = match std::fs::read_dir(&self.root) {
            Err(error) if !given && error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Vec::new());
            }
            result => result.call(|| format!("open {}", self.root.display()))?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.call(|| format!("read {}", self.root.display()))?;
            let (name, path) = (entry.file_name(), entry.path());
            let Some(id) = name.to_str() else { continue };
            if check_id(id).is_ok() && path.is_dir() {
                found.push(ContainerDirectory {
                    path,
                    id: id.to_owned(),
                });
            }
        }
        found.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(found)
    }
}

/// An id is a name: no path can be made of it (crun 1.20's and 1.28's traversals).
fn check_id(id: &str) -> Result<()> {
    let name_character = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    let fine = id.len() <= 1024
        && id.chars().all(name_character)
        && id.chars().next().is_some_and(|first| first != '.');
    if fine {
        return Ok(());
    }
    if id.is_empty() {
        return Err(Error::new("container id cannot be empty"));
    }
    Err(Error::new("invalid container ID format")
        .hint("letters, digits and _ + - . are allowed, and no . in front"))
}

impl ContainerDirectory {
    /// The container's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until no other verb is changing the container.
    ///
    /// # Errors
    /// `container does not exist` when it has been deleted meanwhile.
    pub fn lock(&self) -> Result<Lock> {
        self.hold()?
            .ok_or_else(|| Error::new("container does not exist"))
    }

    /// Waits for the lock; none if the directory has been deleted meanwhile.
    fn hold(&self) -> Result<Option<Lock>> {
        self.open()?.map_or(Ok(None), wait_for_lock)
    }

    /// Opens it; none if it has been deleted meanwhile.
    fn open(&self) -> Result<Option<File>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(&self.path, flags, Mode::empty()) {
            Err(Errno::NOENT) => Ok(None),
            result => result
                .map(|directory| Some(directory.into()))
                .call(|| format!("open {}", self.path.display())),
        }
    }

    /// Whether a verb is changing the container right now.
    pub fn is_locked(&self) -> bool {
        File::open(&self.path).is_ok_and(|directory| {
            flock(&directory, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
        })
    }

    /// Removes it: the last thing that is left of a container.
    ///
    /// # Errors
    /// With the path; that it is gone already is none.
    pub fn remove(&self) -> Result<()> {
        for name in FILES {
            match std::fs::remove_file(self.file(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).call(|| format!("unlink {}", self.file(name).display()));
                }
                _ => {}
            }
        }
        match std::fs::remove_dir(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            // The fifo of a container that was never started, or something of a killed verb.
            Err(_) => std::fs::remove_dir_all(&self.path)
                .call(|| format!("rm -r {}", self.path.display())),
            Ok(()) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::{Lock, Store, check_id};

    #[test]
    fn what_is_made_is_there() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path().to_owned());
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // As `delete` does with what has no journal.
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    if let Ok(found) = store.find("c")
                        && let Ok(_lock) = found.lock()
                    {
                        found.remove().unwrap();
                    }
                }
            });
            let mut made = 0;
            while made < 200 {
                match store.make("c") {
                    Ok((directory, Lock(held), journal)) => {
                        let named = directory.path().metadata().map(|found| found.ino());
                        let held = held.metadata().unwrap().ino();
                        assert_eq!(named.ok(), Some(held), "after {made}");
                        assert_eq!(journal.metadata().unwrap().nlink(), 1, "after {made}");
                        made += 1;
                    }
                    Err(error) => {
                        let error = error.to_string();
                        assert_eq!(error, "container with given ID already exists");
                    }
                }
            }
            done.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn ids_are_names() {
        for good in ["a", "A_b+c-d.e", "0", "_x", "-y", "+"] {
            assert!(check_id(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", ".a", "a/b", "../a", "a\0", "ä", "a b", "a\n"] {
            assert!(check_id(bad).is_err(), "{bad:?}");
        }
    }
}
