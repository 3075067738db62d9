//! Things of the host that no container may touch, and processes that try to make it so.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::Context;
use crate::verdict::{Stop, Verdict, check, equal};

/// What would change if someone touched a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    inode: u64,
    mode: u32,
    owner: (u32, u32),
    links: u64,
    /// Of its content, its target, or its names.
    hash: u64,
}

impl Fingerprint {
    /// Takes a file's.
    ///
    /// # Errors
    /// Those of reading it.
    pub fn of(path: &Path) -> Result<Fingerprint, Stop> {
        let status = fs::symlink_metadata(path)?;
        let mut hasher = DefaultHasher::new();
        if status.is_symlink() {
            fs::read_link(path)?.hash(&mut hasher);
        } else if status.is_file() {
            fs::read(path)?.hash(&mut hasher);
        }
        Ok(Fingerprint {
            inode: status.ino(),
            mode: status.mode(),
            owner: (status.uid(), status.gid()),
            links: status.nlink(),
            hash: hasher.finish(),
        })
    }
}

/// Fails when the runtime's program is not as it was `before`.
///
/// # Errors
/// That, and those of reading it.
pub fn program_unchanged(context: &Context, before: Fingerprint) -> Verdict {
    equal(
        "the runtime's program",
        Fingerprint::of(&context.runtime)?,
        before,
    )
}

/// A directory of the host that no container may touch: a file, a link, a directory with a file.
#[derive(Debug)]
pub struct Canary {
    /// Its place on the host.
    pub directory: PathBuf,
    before: BTreeMap<PathBuf, Fingerprint>,
}

impl Canary {
    /// Makes it.
    ///
    /// # Errors
    /// Those of making files.
    pub fn new(context: &Context) -> Result<Canary, Stop> {
        let directory = context.directory.join("canary");
        fs::create_dir_all(directory.join("inner"))?;
        fs::write(directory.join("file"), "canary")?;
        fs::write(directory.join("inner/file"), "inner canary")?;
        symlink("file", directory.join("link"))?;
        Ok(Canary {
            before: fingerprints(&directory)?,
            directory,
        })
    }

    /// Demands that all is as it was, and that nothing is mounted on it.
    ///
    /// # Errors
    /// A failure of the runtime.
    pub fn unharmed(&self) -> Verdict {
        let now = fingerprints(&self.directory)?;
        equal(
            "files of the host",
            now.keys().collect::<Vec<_>>(),
            self.before.keys().collect(),
        )?;
        for (path, fingerprint) in &now {
            equal(
                &path.display().to_string(),
                Some(fingerprint),
                self.before.get(path),
            )?;
        }
        let place = self.directory.to_string_lossy().into_owned();
        let mounted = super::mounts()
            .iter()
            .any(|mount| mount.point.starts_with(&place));
        check(!mounted, "something is mounted on the host's directory")
    }
}

fn fingerprints(directory: &Path) -> Result<BTreeMap<PathBuf, Fingerprint>, Stop> {
    let mut found = BTreeMap::from([(directory.to_owned(), Fingerprint::of(directory)?)]);
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.append(&mut fingerprints(&entry.path())?);
        } else {
            found.insert(entry.path(), Fingerprint::of(&entry.path())?);
        }
    }
    Ok(found)
}

/// A process that exchanges two names until it is dropped (`renameat2`, `RENAME_EXCHANGE`).
#[derive(Debug)]
pub struct Swapper(Child);

impl Swapper {
    /// Starts it.
    ///
    /// # Errors
    /// Those of starting a program.
    pub fn start(one: &Path, other: &Path) -> Result<Swapper, Stop> {
        let child = Command::new("/proc/self/exe")
            .args(["probe", "swap"])
            .args([one, other])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Swapper(child))
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How often a race is run: `WINDLASS_CONFORMANCE_STARTS`, or 20 times. (With some thousands,
/// `--timeout` has to be raised as well.)
pub fn starts() -> usize {
    std::env::var("WINDLASS_CONFORMANCE_STARTS")
        .ok()
        .and_then(|number| number.parse().ok())
        .unwrap_or(20)
}
