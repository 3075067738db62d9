//! What is known of a container: state.json, and its status, which is looked up anew each time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::directory::ContainerDirectory;
use super::journal::{self, Record};
use super::process::ProcessIdentity;
use crate::cgroup::Placement;
use crate::cgroup::systemd::Unit;
use crate::error::{CallContext, Error, Result};
use crate::plan::namespace_kinds;
use crate::spec::ConfigText;

/// The fifo on which a created container waits for `start`.
pub const EXEC_FIFO: &str = "exec.fifo";
/// The state file.
pub const STATE_FILE: &str = "state.json";

/// state.json, in the shape of runc's: monitors read `init_process_pid`, `cgroup_paths` and
/// `namespace_paths` from it.
#[derive(Debug, Serialize, Deserialize)]
pub struct StateFile {
    /// The container's id.
    pub id: String,
    /// Init's pid on the host.
    pub init_process_pid: i32,
    /// Init's start time, in clock ticks since boot.
    pub init_process_start: u64,
    /// When the container was created, RFC 3339.
    pub created: String,
    /// The little of libcontainer's configuration that others look at.
    pub config: ConfigExcerpt,
    /// Whether the container was made without root's rights.
    pub rootless: bool,
    /// The cgroup of each controller.
    pub cgroup_paths: BTreeMap<String, String>,
    /// The namespace files of init, by runc's names.
    pub namespace_paths: BTreeMap<String, String>,
    /// ociVersion of config.json.
    pub oci_version: String,
    /// The bundle.
    pub bundle: String,
    /// The container's annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The container's cgroups.
    pub cgroups: Placement,
    /// The systemd unit that they are of, if systemd has made them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// Whether the container has a pid namespace of its own.
    pub own_pids: bool,
    /// Whether the container kept its caller's keyring.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_new_keyring: bool,
    /// Whether CRIU has restored it, which it does into a time namespace of the container's own:
    /// its clocks go on from where they stood.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restored: bool,
    /// Whether config.json has hooks for `start` or `delete`, which then read it again.
    pub late_hooks: bool,
    /// config.json as it was when the container was created, to the letter.
    pub spec: Box<RawValue>,
}

/// See [`StateFile::config`].
#[derive(Debug, Serialize, Deserialize)]
pub struct ConfigExcerpt {
    /// The root file system's path.
    pub rootfs: String,
    /// `bundle=PATH`.
    pub labels: Vec<String>,
}

impl StateFile {
    /// The paths of a process' namespaces, by runc's names.
    pub fn namespace_paths_of(pid: i32) -> BTreeMap<String, String> {
        namespace_kinds()
            .into_iter()
            .map(|kind| {
                let name = match kind.proc_name() {
                    "mnt" => "NEWNS".to_owned(),
                    other => format!("NEW{}", other.to_uppercase()),
                };
                (name, format!("/proc/{pid}/ns/{}", kind.proc_name()))
            })
            .collect()
    }

    /// The paths of cgroups by controller.
    pub fn cgroup_paths_of(placement: &Placement) -> BTreeMap<String, String> {
        let controllers =
            |hierarchy: &str| -> Vec<String> { hierarchy.split(',').map(str::to_owned).collect() };
        placement
            .places
            .iter()
            .flat_map(|place| {
                controllers(&place.hierarchy)
                    .into_iter()
                    .map(|name| (name, place.path.clone()))
            })
            .collect()
    }

    /// Writes it, in one write. The file is the caller's to close.
    ///
    /// # Errors
    /// With the path.
    pub fn write(&self, directory: &ContainerDirectory) -> Result<File> {
        let text =
            serde_json::to_vec(self).map_err(|error| Error::new(format!("state.json: {error}")))?;
        let path = directory.file(STATE_FILE);
        let shown = || format!("write {}", path.display());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mut file = File::from(open(&path, flags, Mode::RUSR | Mode::WUSR).call(shown)?);
        file.write_all(&text).call(shown)?;
        Ok(file)
    }
}

/// A container's status (runtime.md, "State"), and `paused`, which the spec leaves to runtimes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// `create` is at work.
    Creating,
    /// Set up, waiting for `start`.
    Created,
    /// The program runs.
    Running,
    /// Frozen, be it before or after the start.
    Paused,
    /// The program has ended, or `create` was killed.
    Stopped,
}

impl Status {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        }
    }
}

/// The first process that a journal tells of.
fn init_of(records: &[Record]) -> Option<ProcessIdentity> {
    records.iter().find_map(|record| match record {
        Record::Init {
            pid, start_time, ..
        } => Some(ProcessIdentity {
            pid: *pid,
            start_time: *start_time,
        }),
        _ => None,
    })
}

/// A container that exists.
#[derive(Debug)]
pub struct Container {
    /// Its directory.
    pub directory: ContainerDirectory,
    /// What was done for it.
    pub records: Vec<Record>,
    /// Its state, once it has been created.
    pub state: Option<StateFile>,
}

impl Container {
    /// Reads what is known of the container in a directory.
    ///
    /// # Errors
    /// When its files can't be read.
    pub fn load(directory: ContainerDirectory) -> Result<Self> {
        let path = directory.file(STATE_FILE);
        let state = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            // One that is empty, or cut off, is being written this moment, or was when its writer
            // was killed: either way the container has not been created.
            result => {
                serde_json::from_slice(&result.call(|| format!("read {}", path.display()))?).ok()
            }
        };
        let records = if state.is_some() {
            Vec::new()
        } else {
            journal::read(&directory)?
        };
        Ok(Container {
            directory,
            records,
            state,
        })
    }

    /// The state of a container whose creation is complete.
    ///
    /// # Errors
    /// When it isn't.
    pub fn created(&self) -> Result<&StateFile> {
        self.state.as_ref().ok_or_else(|| {
            Error::new("container is not created yet")
                .hint("its creation is going on or was killed")
        })
    }

    /// config.json as it was when the container was created.
    ///
    /// # Errors
    /// When its creation isn't complete.
    pub fn config(&self) -> Result<ConfigText> {
        let text = self.created()?.spec.get().to_owned();
        Ok(ConfigText::new(&self.directory.file(STATE_FILE), text))
    }

    /// Init.
    pub fn init(&self) -> Option<ProcessIdentity> {
        if let Some(state) = &self.state {
            return Some(ProcessIdentity {
                pid: state.init_process_pid,
                start_time: state.init_process_start,
            });
        }
        init_of(&self.records)
    }

    /// Looks the status up.
    ///
    /// # Errors
    /// When the freezer's state can't be read.
    pub fn status(&self) -> Result<Status> {
        let Some(state) = &self.state else {
            let at_work = self.directory.is_locked();
            return Ok(if at_work {
                Status::Creating
            } else {
                Status::Stopped
            });
        };
        // In this order: init may end in between, and then has closed the fifo as well.
        let waits = self.init_waits()?;
        if !self.init().is_some_and(|init| init.is_running()) {
            return Ok(Status::Stopped);
        }
        if state.cgroups.is_frozen()? {
            return Ok(Status::Paused);
        }
        Ok(if waits {
            Status::Created
        } else {
            Status::Running
        })
    }

    /// Whether init has the exec fifo open. That there is one doesn't say so: a `start` that was
    /// killed leaves it behind, and init has become the program all the same.
    fn init_waits(&self) -> Result<bool> {
        let path = self.directory.file(EXEC_FIFO);
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match open(&path, flags, Mode::empty()) {
            Ok(_) => Ok(true),
            // Nobody has it open for reading (fifo(7)).
            Err(Errno::NXIO | Errno::NOENT) => Ok(false),
            Err(errno) => Err(Error::call(format!("open {}", path.display()), errno)),
        }
    }

    /// What `state` prints (runtime.md, "State", with runc's additions).
    ///
    /// # Errors
    /// As [`Container::status`].
    pub fn report(&self) -> Result<Report> {
        let status = self.status()?;
        let pid = match (status, self.init()) {
            (Status::Stopped, _) | (_, None) => 0,
            (_, Some(init)) => init.pid,
        };
        let mut report = Report {
            oci_version: String::new(),
            id: self.directory.id().to_owned(),
            pid,
            status: status.name(),
            bundle: String::new(),
            rootfs: String::new(),
            created: String::new(),
            annotations: BTreeMap::new(),
            owner: String::new(),
        };
        if let Some(state) = &self.state {
            report.oci_version.clone_from(&state.oci_version);
            report.bundle.clone_from(&state.bundle);
            report.rootfs.clone_from(&state.config.rootfs);
            report.created.clone_from(&state.created);
            report.annotations.clone_from(&state.annotations);
        } else if let Some(Record::Begun {
            bundle,
            oci_version,
            rootfs,
            created,
        }) = self.records.first()
        {
            report.oci_version.clone_from(oci_version);
            report.bundle.clone_from(bundle);
            report.rootfs.clone_from(rootfs);
            report.created.clone_from(created);
        }
        Ok(report)
    }
}

/// See [`Container::report`].
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// ociVersion of config.json.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// Init's pid on the host, 0 when stopped.
    pub pid: i32,
    /// The status' word.
    pub status: &'static str,
    /// The bundle, absolute.
    pub bundle: String,
    /// The root file system, absolute.
    pub rootfs: String,
    /// When, RFC 3339.
    pub created: String,
    /// Annotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Whose it is: set by `list` only, as runc does.
    pub owner: String,
}
