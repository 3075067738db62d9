//! What is known of a container, in a directory of its own: `state.json`, the `exit` status, the
//! `attach` socket, a log if it was given no other place, and a `lock` that is held for as long as
//! the container has a supervisor.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, PidfdFlags, geteuid, pidfd_open};
use serde::{Deserialize, Serialize};

use crate::health::Health;
use crate::restart::Policy;
use crate::supervise::{Exit, Runtime};

/// How far a container has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The runtime is creating or starting it.
    Creating,
    /// Its program runs.
    Running,
    /// It has ended, and will be started again.
    Restarting,
    /// It has ended.
    Exited,
}

/// `state.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// The container's id.
    pub id: String,
    /// How far it has come.
    pub status: Status,
    /// Its first process, as the host counts, once it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// The supervisor's process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supervisor_pid: Option<i32>,
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// Whether its standard streams are a terminal.
    pub terminal: bool,
    /// Its log, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<PathBuf>,
    /// Who created it, and how to call them.
    pub runtime: Runtime,
    /// When it was asked for.
    pub created: Timestamp,
    /// When its program was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exited: Option<Timestamp>,
    /// Its exit status, or 128 + the signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<i32>,
    /// Whether its cgroup was out of memory in the run that was last.
    #[serde(default)]
    pub oom_killed: bool,
    /// When it is started again.
    #[serde(default)]
    pub restart: Policy,
    /// How often that was done, with the one that is being waited for.
    #[serde(default)]
    pub restarts: u32,
    /// How the run before the last restart ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit_status: Option<i32>,
    /// When that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exited: Option<Timestamp>,
    /// When it will be started again, if it waits for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_start: Option<Timestamp>,
    /// Whether it is well, in the run that is last; none if nobody asked for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
    /// What went wrong after it had ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub troubles: Vec<String>,
}

/// One container's directory.
#[derive(Debug, Clone)]
pub struct Record {
    directory: PathBuf,
}

/// A record and what is to stand in it.
#[derive(Debug)]
pub struct Entry {
    /// Where.
    pub record: Record,
    /// What.
    pub state: State,
}

impl Entry {
    /// Writes it down.
    pub fn write(&self) -> Result<()> {
        self.record.write(&self.state)
    }

    /// Notes how the container ended, and writes it down.
    pub fn note_exit(&mut self, exit: Exit) {
        self.state.status = Status::Exited;
        self.state.exited = Some(exit.at);
        self.state.exit_status = Some(exit.status);
        self.state.next_start = None;
        if let Err(error) = self.write() {
            self.state.troubles.push(format!("{error:#}"));
        }
    }

    /// Notes what went wrong after the container's end; or, if all went well, removes the record
    /// of a container that nobody wants to ask about.
    pub fn conclude(&mut self, troubles: Vec<String>, remove: bool) {
        self.state.troubles.extend(troubles);
        let clean = self.state.troubles.is_empty();
        let outcome = match (clean, remove) {
            (true, true) => self.record.remove(),
            (true, false) => Ok(()),
            (false, _) => self.write(),
        };
        if let Err(error) = outcome {
            self.state.troubles.push(format!("{error:#}"));
        }
    }
}

/// Where the records are unless `--state` says otherwise.
pub fn default_root() -> PathBuf {
    let runtime_directory = std::env::var_os("XDG_RUNTIME_DIR").filter(|_| !geteuid().is_root());
    PathBuf::from(runtime_directory.unwrap_or("/run".into())).join("windlass-shim")
}

impl Record {
    /// Makes the directory (0700), which must not exist yet; the lock is held until the returned
    /// file is closed.
    pub fn create(root: &Path, id: &str) -> Result<(Self, File)> {
        let record = Record {
            directory: directory(root, id)?,
        };
        let path = record.directory.display();
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(root)
            .with_context(|| format!("making the state directory {}", root.display()))?;
        match builder.recursive(false).create(&record.directory) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => bail!(
                "there is a container {id} already (in {path}); \
                 remove it with: windlass-shim rm {id}"
            ),
            Err(error) => return Err(error).with_context(|| format!("making {path}")),
        }
        let lock = record.open_lock()?;
        // Someone may be looking just now whether it is held.
        flock(&lock, FlockOperation::LockExclusive)
            .with_context(|| format!("locking {path}/lock"))?;
        Ok((record, lock))
    }

    /// Whether `id` can be a container's id at all.
    pub fn check_id(id: &str) -> Result<()> {
        directory(Path::new(""), id).map(|_| ())
    }

    /// The record of a container that has one.
    pub fn open(root: &Path, id: &str) -> Result<Self> {
        let record = Record {
            directory: directory(root, id)?,
        };
        ensure!(
            record.directory.is_dir(),
            "there is no container {id} (looked in {})",
            root.display()
        );
        Ok(record)
    }

    /// All records, by name.
    pub fn all(root: &Path) -> Result<Vec<Self>> {
        let entries = match fs::read_dir(root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(|| format!("reading {}", root.display())),
        };
        let mut records = Vec::new();
        for entry in entries {
            let directory = entry
                .with_context(|| format!("reading {}", root.display()))?
                .path();
            if directory.is_dir() {
                records.push(Record { directory });
            }
        }
        records.sort_by(|one, other| one.directory.cmp(&other.directory));
        Ok(records)
    }

    /// The record's directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The container's id.
    pub fn id(&self) -> String {
        self.directory
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    }

    /// The log of a container that is given no other place.
    pub fn default_log(root: &Path, id: &str) -> PathBuf {
        root.join(id).join("log")
    }

    /// Reads `state.json`; none if it was never written (the supervisor was killed before).
    pub fn read(&self) -> Result<Option<State>> {
        let path = self.directory.join("state.json");
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .with_context(|| format!("{} is damaged", path.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    /// Reads `state.json`, which has to be there.
    pub fn state(&self) -> Result<State> {
        self.read()?.with_context(|| {
            let id = self.id();
            format!(
                "nothing is known of container {id}, its supervisor was killed at once; \
                 clean up with: windlass-shim rm --force {id}"
            )
        })
    }

    /// Writes `state.json`, and `exit` if the container has ended; readers see the old or the new.
    pub fn write(&self, state: &State) -> Result<()> {
        let mut json = serde_json::to_vec_pretty(state).context("state.json")?;
        json.push(b'\n');
        if let Some(status) = state.exit_status {
            self.replace("exit", format!("{status}\n").as_bytes())?;
        }
        self.replace("state.json", &json)
    }

    fn replace(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.directory.join(name);
        let new = self.directory.join(format!(".{name}"));
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)
            .and_then(|mut file| file.write_all(content))
            .and_then(|()| fs::rename(&new, &path))
            .with_context(|| format!("writing {}", path.display()))
    }

    fn open_lock(&self) -> Result<File> {
        let path = self.directory.join("lock");
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("opening {}", path.display()))
    }

    /// Whether the container has a supervisor.
    pub fn is_supervised(&self) -> Result<bool> {
        let lock = self.open_lock()?;
        match flock(&lock, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(rustix::io::Errno::AGAIN) => Ok(true),
            Err(errno) => Err(errno).with_context(|| format!("locking {}", self.id())),
        }
    }

    /// A pidfd of the supervisor, if there is one: it becomes readable when the supervisor is gone.
    pub fn supervisor(&self) -> Result<Option<OwnedFd>> {
        let pid = self
            .read()?
            .and_then(|state| state.supervisor_pid)
            .and_then(Pid::from_raw);
        let pidfd = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        // The lock is asked last: if it is held now, then the number had not gone to someone else.
        Ok(if self.is_supervised()? { pidfd } else { None })
    }

    /// Removes the directory and all that is in it.
    pub fn remove(&self) -> Result<()> {
        let mut outcome = fs::remove_dir_all(&self.directory);
        // Rotated logs are still being compressed, until that finds them gone.
        for _ in 0..3 {
            match &outcome {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
                    outcome = fs::remove_dir_all(&self.directory);
                }
                _ => break,
            }
        }
        outcome.with_context(|| format!("removing {}", self.directory.display()))
    }
}

/// Where the record of `id` is. An id is one file name, of the characters that runc allows.
fn directory(root: &Path, id: &str) -> Result<PathBuf> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    ensure!(
        !id.is_empty() && id.len() <= 255 && id != "." && id != ".." && id.chars().all(allowed),
        "{id:?} is no container id: it takes letters, digits and _ + - . only"
    );
    Ok(root.join(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_leave_the_state_directory() {
        for id in ["", ".", "..", "a/b", "/etc", "a\n", "ü", &"x".repeat(256)] {
            assert!(directory(Path::new("/run"), id).is_err(), "{id:?}");
        }
        assert_eq!(
            directory(Path::new("/run"), "a.b-c_1+").unwrap(),
            Path::new("/run/a.b-c_1+")
        );
    }

    #[test]
    fn a_record_is_alive_while_its_lock_is_held() {
        let root = tempfile::tempdir().unwrap();
        let (record, lock) = Record::create(root.path(), "one").unwrap();
        assert!(record.is_supervised().unwrap());
        assert!(
            Record::create(root.path(), "one")
                .unwrap_err()
                .to_string()
                .contains("already")
        );
        drop(lock);
        assert!(!record.is_supervised().unwrap());
        assert!(
            record
                .state()
                .unwrap_err()
                .to_string()
                .contains("rm --force one")
        );
        record.remove().unwrap();
        assert!(Record::open(root.path(), "one").is_err());
    }
}
