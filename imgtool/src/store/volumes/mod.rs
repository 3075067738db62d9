//! Volumes: directories that outlive a container and that several may share.
//!
//! `volumes/NAME/` holds `_data`, which is mounted, and `volume.json`, the record. A volume comes
//! and goes by rename(2), so it is whole or not there. Who makes or uses volumes holds a shared
//! lock (flock(2)) on `volumes`, who removes some an exclusive one: what is in use is looked up in
//! between. What a killed process left has a name with a dot first, and goes with the next removal.

mod fill;
mod name;
#[cfg(test)]
mod tests;
mod used;
mod users;

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use rustix::fs::{FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use rustix::path::Arg;
use serde::{Deserialize, Serialize};

use crate::bundle::options::Label;
use crate::flock::flock;
use crate::layer::rootfs::{Directory, RootFs};
use crate::read_at_most::read_at_most;
use crate::warnings::warn;
pub use name::VolumeName;
pub use used::UsedVolumes;
pub use users::Users;

/// The store's directory of volumes.
const VOLUMES: &str = "volumes";
/// A volume's data: Docker's and podman's name for it.
const DATA: &str = "_data";
/// A volume's record.
const RECORD: &str = "volume.json";
/// How the name of what isn't a volume yet begins, or isn't one any more.
const UNFINISHED: char = '.';

/// The volumes of a store, locked.
#[derive(Debug)]
pub struct Volumes {
    path: PathBuf,
    directory: OwnedFd,
}

/// A volume.
#[derive(Debug, Clone)]
pub struct Volume {
    /// Its name.
    pub name: VolumeName,
    /// What is known of it.
    pub record: VolumeRecord,
    path: PathBuf,
}

/// A volume that has no name yet. Dropped, it goes.
#[derive(Debug)]
struct NewVolume {
    volume: Volume,
    directory: tempfile::TempDir,
}

/// What is known of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeRecord {
    /// When it was made (RFC 3339).
    pub created_at: String,
    /// What was noted about it.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Nobody has named it: it was made for one container.
    #[serde(default)]
    pub anonymous: bool,
}

impl Volumes {
    /// Opens the volumes of the store at `store`, to use some or make some.
    pub fn open(store: &Path) -> Result<Self> {
        Self::open_locked(store, FlockOperation::LockShared)
    }

    /// Opens them to remove some: waits for all who use some.
    pub fn open_to_remove(store: &Path) -> Result<Self> {
        let volumes = Self::open_locked(store, FlockOperation::LockExclusive)?;
        volumes.remove_leftovers();
        Ok(volumes)
    }

    fn open_locked(store: &Path, lock: FlockOperation) -> Result<Self> {
        // Containers are told of it, and their working directory isn't ours.
        let path = std::path::absolute(store).map(|store| store.join(VOLUMES));
        let path = path.with_context(|| format!("the store {}", store.display()))?;
        let context = || format!("open {}", path.display());
        match rustix::fs::mkdir(&path, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => {
                return Err(errno).with_context(|| format!("mkdir {}", path.display()));
            }
        }
        let directory = open_directory(&path).with_context(context)?;
        flock(&directory, lock).with_context(|| format!("flock {}", path.display()))?;
        Ok(Volumes { path, directory })
    }

    /// All volumes, by name.
    pub fn all(&self) -> Result<Vec<Volume>> {
        let context = || format!("read directory {}", self.path.display());
        let mut volumes = Vec::new();
        for entry in fs::read_dir(&self.path).with_context(context)? {
            let name = entry.with_context(context)?.file_name();
            // What is no name of a volume is none.
            let Some(name) = name.to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            volumes.extend(self.find(&name)?);
        }
        volumes.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(volumes)
    }

    /// The volume of a name, if there is one.
    pub fn find(&self, name: &VolumeName) -> Result<Option<Volume>> {
        // A link is no volume, whatever it leads to.
        let bytes = match open_directory_at(&self.directory, name.as_str()) {
            Ok(volume) => read_record(&volume).with_context(|| format!("volume {name}"))?,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            Err(errno) => return Err(errno).with_context(|| format!("open volume {name}")),
        };
        let record = serde_json::from_slice(&bytes);
        Ok(Some(Volume {
            name: name.clone(),
            record: record.with_context(|| format!("volume {name}: parse {RECORD}"))?,
            path: self.path_of(name),
        }))
    }

    /// Makes a volume, or finds the one that has the name; then its labels stay.
    pub fn find_or_create(&self, name: &VolumeName, labels: &[Label]) -> Result<Volume> {
        // Somebody may remove it in between only with a lock that he doesn't get.
        match self.find(name)? {
            Some(volume) => Ok(volume),
            None => self.publish(self.begin(name, labels, false)?),
        }
    }

    /// Makes a volume that nobody names.
    pub fn create_anonymous(&self, labels: &[Label]) -> Result<Volume> {
        self.publish(self.begin_anonymous(labels)?)
    }

    fn begin_anonymous(&self, labels: &[Label]) -> Result<NewVolume> {
        let name = VolumeName::random().context("name a volume")?;
        self.begin(&name, labels, true)
    }

    /// Makes a volume that nobody sees yet.
    fn begin(&self, name: &VolumeName, labels: &[Label], anonymous: bool) -> Result<NewVolume> {
        let record = VolumeRecord {
            created_at: Timestamp::now().to_string(),
            labels: labels
                .iter()
                .map(|label| (label.name.clone(), label.value.clone()))
                .collect(),
            anonymous,
        };
        let directory = tempfile::Builder::new()
            .prefix(".new-")
            .tempdir_in(&self.path)
            .with_context(|| format!("make a directory in {}", self.path.display()))?;
        let of_volume = || format!("make volume {name}");
        let data = directory.path().join(DATA);
        rustix::fs::mkdir(&data, Mode::RWXU).with_context(of_volume)?;
        // Whatever the umask: users of the container get at it, nobody else gets through the store.
        rustix::fs::chmod(&data, Mode::from_raw_mode(0o755)).with_context(of_volume)?;
        fs::write(directory.path().join(RECORD), serde_json::to_vec(&record)?)
            .with_context(of_volume)?;
        let volume = Volume {
            name: name.clone(),
            record,
            path: directory.path().to_owned(),
        };
        Ok(NewVolume { volume, directory })
    }

    /// Gives a new volume its name; if somebody was faster, the volume is his.
    fn publish(&self, new: NewVolume) -> Result<Volume> {
        let NewVolume { volume, directory } = new;
        let name = &volume.name;
        let path = self.path_of(name);
        let cwd = rustix::fs::CWD;
        let to = RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(cwd, directory.path(), cwd, &path, to) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let found = self.find(name)?;
                return found.with_context(|| format!("{} is no volume", path.display()));
            }
            Err(errno) => return Err(errno).with_context(|| format!("make volume {name}")),
        }
        // It isn't there under that name any more.
        let _moved = directory.keep();
        Ok(Volume { path, ..volume })
    }

    fn path_of(&self, name: &VolumeName) -> PathBuf {
        self.path.join(name.as_str())
    }

    /// Removes a volume with all that is in it.
    pub fn remove(&self, volume: &Volume) -> Result<()> {
        let name = &volume.name;
        let removed = format!("{UNFINISHED}removed-{name}");
        let directory = &self.directory;
        // Links in its place, and in it, are removed, not followed.
        rustix::fs::renameat(directory, name.as_str(), directory, removed.as_str())
            .with_context(|| format!("rename volume {name}"))?;
        self.remove_entry(&removed)
            .with_context(|| format!("remove volume {name}"))
    }

    fn remove_entry(&self, name: &str) -> Result<()> {
        let volumes = RootFs::new(self.directory.try_clone().context("dup")?);
        volumes.root().remove(name.as_bytes())
    }

    /// Removes what killed processes left. Only for who has the volumes alone.
    fn remove_leftovers(&self) {
        let names = fs::read_dir(&self.path).into_iter().flatten().flatten();
        for name in names.filter_map(|entry| entry.file_name().into_string().ok()) {
            if name.starts_with(UNFINISHED)
                && let Err(error) = self.remove_entry(&name)
            {
                warn(|| format!("can't remove {name}, which a killed process left: {error:#}"));
            }
        }
    }
}

impl Volume {
    /// The directory that containers get.
    pub fn data(&self) -> PathBuf {
        self.path.join(DATA)
    }

    /// Copies a directory's contents into it, unless something is in it. What an interrupted copy
    /// left is dealt with in any case.
    pub fn fill(&self, from: Option<&Directory>) -> Result<()> {
        let of_volume = || format!("volume {}", self.name);
        let directory = open_directory(&self.path).with_context(of_volume)?;
        flock(&directory, FlockOperation::LockExclusive).with_context(of_volume)?;
        fill::fill(&directory, from).with_context(|| format!("fill volume {}", self.name))
    }

    /// Bytes of its files on disk.
    pub fn size(&self) -> Result<u64> {
        let directory =
            open_directory(&self.data()).with_context(|| format!("volume {}", self.name))?;
        size(RootFs::new(directory).root())
    }
}

fn size(directory: &Directory) -> Result<u64> {
    /// A block of `st_blocks`, stat(2).
    const BLOCK: u64 = 512;
    let mut bytes = 0;
    for name in directory.names()? {
        let name = name?;
        let Some(stat) = directory.stat(&name)? else {
            continue;
        };
        bytes += u64::try_from(stat.st_blocks).unwrap_or(0) * BLOCK;
        if let Some(below) = directory.subdirectory(&name)? {
            bytes += size(&below)?;
        }
    }
    Ok(bytes)
}

fn read_record(volume: &OwnedFd) -> Result<Vec<u8>> {
    /// Far beyond any labels.
    const LARGEST_RECORD: u64 = 4 << 20;
    let context = || format!("open {RECORD}");
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(volume, RECORD, flags, Mode::empty()).with_context(context)?;
    read_at_most(fs::File::from(file), LARGEST_RECORD).with_context(context)
}

fn open_directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    open_directory_at(rustix::fs::CWD, path)
}

fn open_directory_at(at: impl AsFd, path: impl Arg) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, path, flags, Mode::empty())
}
