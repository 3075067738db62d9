//! Where containers are kept: one directory each below `--root`.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::journal::JOURNAL;
use super::state::{CONFIG_COPY, STATE_FILE};
use crate::error::{CallContext, Error, Result};

/// What a container's directory usually holds, for its removal.
const FILES: [&str; 3] = [STATE_FILE, CONFIG_COPY, JOURNAL];

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

impl Store {
    /// The containers below `root`.
    pub fn new(root: PathBuf) -> Self {
        Store { root }
    }

    /// Makes the directory of a new container, and locks it.
    ///
    /// # Errors
    /// `container with given ID already exists`, and for an id that is no name.
    pub fn make(&self, id: &str) -> Result<(ContainerDirectory, Lock)> {
        check_id(id)?;
        let path = self.root.join(id);
        let shown = || format!("mkdir({})", path.display());
        let made = match rustix::fs::mkdir(&path, rustix::fs::Mode::from_raw_mode(0o700)) {
            Err(Errno::NOENT) => {
                DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(&self.root)
                    .call(|| format!("mkdir({})", self.root.display()))?;
                rustix::fs::mkdir(&path, rustix::fs::Mode::from_raw_mode(0o700))
            }
            result => result,
        };
        match made {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                return Err(Error::new("container with given ID already exists"));
            }
            Err(errno) => return Err(Error::call(shown(), errno)),
        }
        let directory = ContainerDirectory {
            path,
            id: id.to_owned(),
        };
        // Nobody who looks for it by name deletes it before this: it has no journal yet.
        let lock = hold(directory.open()?, &directory.path)?;
        Ok((directory, lock))
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
        let Lock(directory) = hold(self.open()?, &self.path)?;
        // It may have been deleted while we waited: then no name leads to it any more.
        let links = directory
            .metadata()
            .call(|| format!("stat {}", self.path.display()))?
            .nlink();
        if links == 0 {
            return Err(Error::new("container does not exist"));
        }
        Ok(Lock(directory))
    }

    /// Whether a verb is changing the container right now.
    pub fn is_locked(&self) -> bool {
        self.open().is_ok_and(|directory| {
            flock(&directory, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
        })
    }

    fn open(&self) -> Result<File> {
        File::open(&self.path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::new("container does not exist"),
            _ => Error::new(error.to_string()).context(format!("open {}", self.path.display())),
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

fn hold(directory: File, path: &Path) -> Result<Lock> {
    loop {
        match flock(&directory, FlockOperation::LockExclusive) {
            Err(Errno::INTR) => {}
            result => {
                result.call(|| format!("flock({})", path.display()))?;
                return Ok(Lock(directory));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check_id;

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
