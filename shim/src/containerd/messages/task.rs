//! The task service's messages (`runtime/task/v2/shim.proto`; v3 differs in the service's name alone)
//! and the types that they are made of (`types/mount.proto`, `types/task/task.proto`).

use std::collections::BTreeMap;

use prost::{Enumeration, Message};

use super::well_known::{Any, Timestamp};

/// One mount, as containerd's snapshotters describe it.
#[derive(Clone, PartialEq, Message)]
pub struct Mount {
    /// The file system, or `bind`.
    #[prost(string, tag = "1")]
    pub r#type: String,
    /// A device or a path; some file systems ignore it.
    #[prost(string, tag = "2")]
    pub source: String,
    /// Where, below the root that is being made; empty: the root itself.
    #[prost(string, tag = "3")]
    pub target: String,
    /// As in fstab(5).
    #[prost(string, repeated, tag = "4")]
    pub options: Vec<String>,
}

/// One process of a container.
#[derive(Clone, PartialEq, Message)]
pub struct ProcessInfo {
    /// As the shim sees it.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
    /// For an exec: `containerd.runc.v1.ProcessDetails`.
    #[prost(message, optional, tag = "2")]
    pub info: Option<Any>,
}

/// Create a container.
#[derive(Clone, PartialEq, Message)]
pub struct CreateTaskRequest {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Its bundle's path.
    #[prost(string, tag = "2")]
    pub bundle: String,
    /// What is to be mounted at the bundle's `rootfs`.
    #[prost(message, repeated, tag = "3")]
    pub rootfs: Vec<Mount>,
    /// Its streams are one terminal.
    #[prost(bool, tag = "4")]
    pub terminal: bool,
    /// Where its input comes from: a fifo's path; empty: nowhere.
    #[prost(string, tag = "5")]
    pub stdin: String,
    /// Where its output goes: a fifo's path or a URI; empty: nowhere.
    #[prost(string, tag = "6")]
    pub stdout: String,
    /// Likewise; unused with a terminal.
    #[prost(string, tag = "7")]
    pub stderr: String,
    /// The directory of the checkpoint that it is to be restored from; empty: none.
    #[prost(string, tag = "8")]
    pub checkpoint: String,
    /// The checkpoint before that.
    #[prost(string, tag = "9")]
    pub parent_checkpoint: String,
    /// The runtime's options.
    #[prost(message, optional, tag = "10")]
    pub options: Option<Any>,
}

/// The container is there.
#[derive(Clone, PartialEq, Message)]
pub struct CreateTaskResponse {
    /// Its first process.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
}

/// Forget a process that has ended.
#[derive(Clone, PartialEq, Message)]
pub struct DeleteRequest {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The exec's id; empty for the container's first process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
}

/// How that process ended.
#[derive(Clone, PartialEq, Message)]
pub struct DeleteResponse {
    /// The process that it was.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
    /// 128 + signal if a signal ended it.
    #[prost(uint32, tag = "2")]
    pub exit_status: u32,
    /// When it ended.
    #[prost(message, optional, tag = "3")]
    pub exited_at: Option<Timestamp>,
}

/// Prepare another process in a container.
#[derive(Clone, PartialEq, Message)]
pub struct ExecProcessRequest {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The exec's id; empty for the container's first process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
    /// Its streams are one terminal.
    #[prost(bool, tag = "3")]
    pub terminal: bool,
    /// Where its input comes from: a fifo's path; empty: nowhere.
    #[prost(string, tag = "4")]
    pub stdin: String,
    /// Where its output goes: a fifo's path or a URI; empty: nowhere.
    #[prost(string, tag = "5")]
    pub stdout: String,
    /// Likewise; unused with a terminal.
    #[prost(string, tag = "6")]
    pub stderr: String,
    /// The runtime specification's `process` object as JSON.
    #[prost(message, optional, tag = "7")]
    pub spec: Option<Any>,
}

/// Change the size of a terminal.
#[derive(Clone, PartialEq, Message)]
pub struct ResizePtyRequest {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The exec's id; empty for the container's first process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
    /// Columns.
    #[prost(uint32, tag = "3")]
    pub width: u32,
    /// Rows.
    #[prost(uint32, tag = "4")]
    pub height: u32,
}

/// How is a process?
#[derive(Clone, PartialEq, Message)]
pub struct StateRequest {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The exec's id; empty for the container's first process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
}

/// That is how it is.
#[derive(Clone, PartialEq, Message)]
pub struct StateResponse {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The container's bundle.
    #[prost(string, tag = "2")]
    pub bundle: String,
    /// The process; 0 if there is none yet.
    #[prost(uint32, tag = "3")]
    pub pid: u32,
    /// What it does.
    #[prost(enumeration = "Status", tag = "4")]
    pub status: i32,
    /// Where its input comes from: a fifo's path; empty: nowhere.
    #[prost(string, tag = "5")]
    pub stdin: String,
    /// Where its output goes: a fifo's path or a URI; empty: nowhere.
    #[prost(string, tag = "6")]
    pub stdout: String,
    /// Likewise; unused with a terminal.
    #[prost(string, tag = "7")]
    pub stderr: String,
    /// Its streams are one terminal.
    #[prost(bool, tag = "8")]
    pub terminal: bool,
    /// 128 + signal if a signal ended it.
    #[prost(uint32, tag = "9")]
    pub exit_status: u32,
    /// When it ended.
    #[prost(message, optional, tag = "10")]
    pub exited_at: Option<Timestamp>,
    /// The exec's id; empty for the container's first process.
    #[prost(string, tag = "11")]
    pub exec_id: String,
}

/// Send a signal.
#[derive(Clone, PartialEq, Message)]
pub struct KillRequest {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The exec's id; empty for the container's first process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
    /// Its number.
    #[prost(uint32, tag = "3")]
    pub signal: u32,
    /// To every process of the container.
    #[prost(bool, tag = "4")]
    pub all: bool,
}

/// No more input will come.
#[derive(Clone, PartialEq, Message)]
pub struct CloseIoRequest {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The exec's id; empty for the container's first process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
    /// Close standard input; the only one of the three that can be closed so.
    #[prost(bool, tag = "3")]
    pub stdin: bool,
}

/// Which processes are there?
#[derive(Clone, PartialEq, Message)]
pub struct PidsRequest {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// These.
#[derive(Clone, PartialEq, Message)]
pub struct PidsResponse {
    /// All of the container.
    #[prost(message, repeated, tag = "1")]
    pub processes: Vec<ProcessInfo>,
}

/// Write a container's state to disk.
#[derive(Clone, PartialEq, Message)]
pub struct CheckpointTaskRequest {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The directory that it goes to.
    #[prost(string, tag = "2")]
    pub path: String,
    /// `containerd.runc.v1.CheckpointOptions`.
    #[prost(message, optional, tag = "3")]
    pub options: Option<Any>,
}

/// Change a container's limits.
#[derive(Clone, PartialEq, Message)]
pub struct UpdateTaskRequest {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The runtime specification's `linux.resources` object as JSON.
    #[prost(message, optional, tag = "2")]
    pub resources: Option<Any>,
    /// For other kinds of containers than ours.
    #[prost(btree_map = "string, string", tag = "3")]
    pub annotations: BTreeMap<String, String>,
}

/// Start what was created, or an exec that was prepared.
#[derive(Clone, PartialEq, Message)]
pub struct StartRequest {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The exec's id; empty for the container's first process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
}

/// It runs.
#[derive(Clone, PartialEq, Message)]
pub struct StartResponse {
    /// The process.
    #[prost(uint32, tag = "1")]
    pub pid: u32,
}

/// Answer when a process has ended.
#[derive(Clone, PartialEq, Message)]
pub struct WaitRequest {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The exec's id; empty for the container's first process.
    #[prost(string, tag = "2")]
    pub exec_id: String,
}

/// It has.
#[derive(Clone, PartialEq, Message)]
pub struct WaitResponse {
    /// 128 + signal if a signal ended it.
    #[prost(uint32, tag = "1")]
    pub exit_status: u32,
    /// When it ended.
    #[prost(message, optional, tag = "2")]
    pub exited_at: Option<Timestamp>,
}

/// What does a container use?
#[derive(Clone, PartialEq, Message)]
pub struct StatsRequest {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// That much.
#[derive(Clone, PartialEq, Message)]
pub struct StatsResponse {
    /// `io.containerd.cgroups.v1.Metrics` or `io.containerd.cgroups.v2.Metrics`.
    #[prost(message, optional, tag = "1")]
    pub stats: Option<Any>,
}

/// Who are you?
#[derive(Clone, PartialEq, Message)]
pub struct ConnectRequest {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// The shim.
#[derive(Clone, PartialEq, Message)]
pub struct ConnectResponse {
    /// Its process.
    #[prost(uint32, tag = "1")]
    pub shim_pid: u32,
    /// The container's first process; 0 if there is none.
    #[prost(uint32, tag = "2")]
    pub task_pid: u32,
    /// Unused.
    #[prost(string, tag = "3")]
    pub version: String,
}

/// End, if nothing is left to be served.
#[derive(Clone, PartialEq, Message)]
pub struct ShutdownRequest {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Ignored by the stock shim, too: containers that live are never left alone.
    #[prost(bool, tag = "2")]
    pub now: bool,
}

/// Freeze a container.
#[derive(Clone, PartialEq, Message)]
pub struct PauseRequest {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// Thaw a container.
#[derive(Clone, PartialEq, Message)]
pub struct ResumeRequest {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum Status {
    /// Nobody knows.
    Unknown = 0,
    /// It waits to be started.
    Created = 1,
    /// It runs.
    Running = 2,
    /// It has ended.
    Stopped = 3,
    /// It is frozen.
    Paused = 4,
    /// It is being frozen.
    Pausing = 5,
}
