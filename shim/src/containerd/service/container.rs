//! What the service knows of a container and of the processes in it.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use super::runtime_error::LogMark;
use crate::cgroup::Cgroups;
use crate::containerd::messages::runc_options::Options;
use crate::containerd::messages::task::{CheckpointTaskRequest, Mount, Status};
use crate::containerd::messages::well_known::Timestamp;
use crate::containerd::stdio::Kept;
use crate::containerd::ttrpc::{CallId, Code, Failure};
use crate::supervise::{Exit, ProcessKey, Runtime};

/// A container that `Create` has made, or is making.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) bundle: PathBuf,
    pub(super) runtime: Runtime,
    pub(super) options: Options,
    /// What containerd had mounted at the bundle's `rootfs`, for the event that tells of it.
    pub(super) mounts: Vec<Mount>,
    /// There was something to be mounted.
    pub(super) has_mounts: bool,
    /// `Create` has been answered: before that nobody else sees the container.
    pub(super) is_created: bool,
    /// It is to be restored from this checkpoint by `Start`.
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) pause: Pause,
    /// Without a pid namespace of its own, its processes outlive the first one unless killed.
    pub(super) shares_pids: bool,
    pub(super) cgroups: Option<Cgroups>,
    pub(super) first: Process,
    pub(super) execs: BTreeMap<String, Process>,
    /// What changes the container happens one after the other: this waits.
    pub(super) queue: VecDeque<(CallId, Operation)>,
    /// And something is under way.
    pub(super) is_busy: bool,
    /// How far the runtime is with deleting it.
    pub(super) removal: Removal,
    /// The number of its OOM watch, if it has one.
    pub(super) oom: Option<u64>,
}

/// What a container is restored from.
#[derive(Debug, Clone)]
pub(super) struct Checkpoint {
    pub(super) path: String,
    pub(super) parent: String,
}

/// Whether a container is frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    No,
    Pausing,
    Yes,
}

/// How far the runtime is with deleting a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Removal {
    NotYet,
    UnderWay,
    Done,
}

/// What changes a container.
#[derive(Debug)]
pub(super) enum Operation {
    Start,
    Pause,
    Resume,
    Kill {
        signal: u32,
        all: bool,
    },
    Checkpoint(CheckpointTaskRequest),
    /// The JSON of `linux.resources`.
    Update(Vec<u8>),
    Delete,
}

/// The streams of a process, as containerd names them.
#[derive(Debug, Clone, Default)]
pub(super) struct Streams {
    pub(super) stdin: String,
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) terminal: bool,
}

/// A container's first process, or an exec.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) streams: Streams,
    pub(super) stage: Stage,
    /// The core's name for it, from its birth until it is deleted.
    pub(super) key: Option<ProcessKey>,
    pub(super) pid: u32,
    /// Who waits for its birth.
    pub(super) birth: Option<(CallId, LogMark)>,
    /// How it ended, as far as we know.
    pub(super) exit: Option<Ended>,
    /// The same, once everybody may know.
    pub(super) ended: Option<Ended>,
    /// Until then its end is not told while somebody is reading what it has left.
    pub(super) tell_by: Option<Instant>,
    /// All of its output has left our hands.
    pub(super) is_drained: bool,
    /// What holds its streams open.
    pub(super) kept: Kept,
    /// When it is looked again whether they are read, and can be closed.
    pub(super) look_at: Option<Instant>,
    /// Who waits for its end.
    pub(super) waiting: Vec<CallId>,
    /// It is to be deleted.
    pub(super) deletion: Option<Deletion>,
    /// Of an exec: the JSON of config.json's `process`.
    pub(super) specification: Vec<u8>,
}

/// What waits for a process's deletion.
#[derive(Debug)]
pub(super) struct Deletion {
    /// Who wants it deleted.
    pub(super) calls: Vec<CallId>,
    /// When its output will be waited for no longer.
    pub(super) until: Instant,
}

/// How far a process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It waits for `Start`. An exec is no process yet then.
    Created,
    /// The runtime starts it.
    Starting,
    /// It runs, or has run.
    Started,
}

/// How a process ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    /// Its exit status, or 128 + signal.
    pub(super) status: u32,
    pub(super) at: SystemTime,
}

impl From<Exit> for Ended {
    fn from(exit: Exit) -> Self {
        Ended {
            status: u32::try_from(exit.status).unwrap_or(u32::MAX),
            at: exit.at.into(),
        }
    }
}

impl Process {
    pub(super) fn new(streams: Streams) -> Self {
        Process {
            streams,
            stage: Stage::Created,
            key: None,
            pid: 0,
            birth: None,
            exit: None,
            ended: None,
            tell_by: None,
            is_drained: false,
            kept: Kept::default(),
            look_at: None,
            waiting: Vec::new(),
            deletion: None,
            specification: Vec::new(),
        }
    }

    /// It is there and has not ended, as far as anybody may know.
    pub(super) fn is_running(&self) -> bool {
        self.stage != Stage::Created && self.ended.is_none()
    }

    /// Nothing more will come out of it, and nothing of what came is in our hands.
    pub(super) fn is_settled(&self) -> bool {
        let is_taken = self.look_at.is_none() || !self.kept.holds_output();
        self.key.is_none() || self.is_drained && is_taken
    }

    /// When something is to be done for it although nothing happens.
    pub(super) fn alarm(&self) -> Option<Instant> {
        let deletion = self.deletion.as_ref().map(|deletion| deletion.until);
        let waits_for_logger = self.birth.is_some() && self.key.is_none();
        let logger = self.kept.logger.as_ref().filter(|_| waits_for_logger);
        let deadline = logger.map(|logger| logger.deadline);
        [deletion, self.look_at, deadline]
            .into_iter()
            .flatten()
            .min()
    }

    /// What it does, apart from being frozen.
    fn status(&self) -> Status {
        match (self.stage, self.ended) {
            (_, Some(_)) => Status::Stopped,
            (Stage::Created | Stage::Starting, None) => Status::Created,
            (Stage::Started, None) => Status::Running,
        }
    }

    pub(super) fn exit_status(&self) -> u32 {
        self.ended.map_or(0, |ended| ended.status)
    }

    /// Before its end Go's zero time, by which its callers know that.
    pub(super) fn exited_at(&self) -> Timestamp {
        /// The year 1 as seconds since 1970: what a Go shim says.
        const NEVER: i64 = -62_135_596_800;
        self.ended.map_or(
            Timestamp {
                seconds: NEVER,
                nanos: 0,
            },
            |ended| ended.at.into(),
        )
    }
}

impl Container {
    pub(super) fn process(&self, exec: &str) -> Result<&Process, Failure> {
        match exec {
            "" => Ok(&self.first),
            exec => self.execs.get(exec).ok_or_else(|| no_such_process(exec)),
        }
    }

    pub(super) fn process_mut(&mut self, exec: &str) -> Result<&mut Process, Failure> {
        match exec {
            "" => Ok(&mut self.first),
            exec => self
                .execs
                .get_mut(exec)
                .ok_or_else(|| no_such_process(exec)),
        }
    }

    /// What the process does; a frozen container's all are.
    pub(super) fn status(&self, process: &Process) -> Status {
        match (self.pause, process.status()) {
            (_, Status::Stopped) => Status::Stopped,
            (Pause::Yes, _) => Status::Paused,
            (Pause::Pausing, _) => Status::Pausing,
            (Pause::No, status) => status,
        }
    }

    /// For errors: what the container does, in a word.
    pub(super) fn status_name(&self) -> &'static str {
        match self.status(&self.first) {
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Pausing => "pausing",
            Status::Stopped => "stopped",
            Status::Unknown => "unknown",
        }
    }

    pub(super) fn rootfs(&self) -> PathBuf {
        self.bundle.join("rootfs")
    }

    /// Its processes: `""` and the first, then execs by their ids.
    pub(super) fn processes(&self) -> impl Iterator<Item = (&str, &Process)> {
        let execs = self.execs.iter();
        [("", &self.first)]
            .into_iter()
            .chain(execs.map(|(exec, process)| (exec.as_str(), process)))
    }

    /// Where the runtime leaves the id of a process.
    pub(super) fn pid_file(&self, exec: &str) -> PathBuf {
        pid_file(&self.bundle, exec)
    }
}

/// Where the runtime leaves the id of a process of the container of `bundle`: the stock shim's names.
pub(super) fn pid_file(bundle: &Path, exec: &str) -> PathBuf {
    match exec {
        "" => bundle.join(crate::containerd::delete::PID_FILE),
        // No exec is called so that it would be `init.pid`, or another file of the bundle.
        exec => bundle.join(format!("exec.{exec}.pid")),
    }
}

pub(super) fn no_such_process(exec: &str) -> Failure {
    Failure::new(Code::NotFound, format!("process does not exist {exec}"))
}
