//! What a shim tells containerd unasked (`events/task.proto`), and the call that takes it there
//! (`services/ttrpc/events/v1/events.proto`, `types/event.proto`).

use prost::{Message, Name};

use super::task::Mount;
use super::well_known::{Any, Timestamp};

const PACKAGE: &str = "containerd.events";

/// A container was created.
#[derive(Clone, PartialEq, Message)]
pub struct TaskCreate {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// Its bundle's path.
    #[prost(string, tag = "2")]
    pub bundle: String,
    /// What its root is made of.
    #[prost(message, repeated, tag = "3")]
    pub rootfs: Vec<Mount>,
    /// Where its streams go.
    #[prost(message, optional, tag = "4")]
    pub io: Option<TaskIo>,
    /// The checkpoint that it was restored from, if any.
    #[prost(string, tag = "5")]
    pub checkpoint: String,
    /// Its first process.
    #[prost(uint32, tag = "6")]
    pub pid: u32,
}

impl Name for TaskCreate {
    const NAME: &str = "TaskCreate";
    const PACKAGE: &str = PACKAGE;
}

/// A container's first process was started.
#[derive(Clone, PartialEq, Message)]
pub struct TaskStart {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// Its first process.
    #[prost(uint32, tag = "2")]
    pub pid: u32,
}

impl Name for TaskStart {
    const NAME: &str = "TaskStart";
    const PACKAGE: &str = PACKAGE;
}

/// A container, or an exec, was deleted.
#[derive(Clone, PartialEq, Message)]
pub struct TaskDelete {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// The process that it was.
    #[prost(uint32, tag = "2")]
    pub pid: u32,
    /// How it ended: 128 + signal if a signal ended it.
    #[prost(uint32, tag = "3")]
    pub exit_status: u32,
    /// When it ended.
    #[prost(message, optional, tag = "4")]
    pub exited_at: Option<Timestamp>,
    /// The exec's id; empty for the container.
    #[prost(string, tag = "5")]
    pub id: String,
}

impl Name for TaskDelete {
    const NAME: &str = "TaskDelete";
    const PACKAGE: &str = PACKAGE;
}

/// Where a process's streams go.
#[derive(Clone, PartialEq, Message)]
pub struct TaskIo {
    /// A path or URI; empty: nowhere.
    #[prost(string, tag = "1")]
    pub stdin: String,
    /// Likewise.
    #[prost(string, tag = "2")]
    pub stdout: String,
    /// Likewise.
    #[prost(string, tag = "3")]
    pub stderr: String,
    /// They are one terminal.
    #[prost(bool, tag = "4")]
    pub terminal: bool,
}

impl Name for TaskIo {
    const NAME: &str = "TaskIO";
    const PACKAGE: &str = PACKAGE;
}

/// A process ended.
#[derive(Clone, PartialEq, Message)]
pub struct TaskExit {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// The exec's id, or the container's for its first process.
    #[prost(string, tag = "2")]
    pub id: String,
    /// The process that it was.
    #[prost(uint32, tag = "3")]
    pub pid: u32,
    /// How it ended: 128 + signal if a signal ended it.
    #[prost(uint32, tag = "4")]
    pub exit_status: u32,
    /// When it ended.
    #[prost(message, optional, tag = "5")]
    pub exited_at: Option<Timestamp>,
}

impl Name for TaskExit {
    const NAME: &str = "TaskExit";
    const PACKAGE: &str = PACKAGE;
}

/// The kernel ended a process of a container for want of memory.
#[derive(Clone, PartialEq, Message)]
pub struct TaskOom {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub container_id: String,
}

impl Name for TaskOom {
    const NAME: &str = "TaskOOM";
    const PACKAGE: &str = PACKAGE;
}

/// An exec was prepared.
#[derive(Clone, PartialEq, Message)]
pub struct TaskExecAdded {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// The exec's id.
    #[prost(string, tag = "2")]
    pub exec_id: String,
}

impl Name for TaskExecAdded {
    const NAME: &str = "TaskExecAdded";
    const PACKAGE: &str = PACKAGE;
}

/// An exec's process was started.
#[derive(Clone, PartialEq, Message)]
pub struct TaskExecStarted {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// The exec's id.
    #[prost(string, tag = "2")]
    pub exec_id: String,
    /// Its process.
    #[prost(uint32, tag = "3")]
    pub pid: u32,
}

impl Name for TaskExecStarted {
    const NAME: &str = "TaskExecStarted";
    const PACKAGE: &str = PACKAGE;
}

/// A container was frozen.
#[derive(Clone, PartialEq, Message)]
pub struct TaskPaused {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub container_id: String,
}

impl Name for TaskPaused {
    const NAME: &str = "TaskPaused";
    const PACKAGE: &str = PACKAGE;
}

/// A container was thawed.
#[derive(Clone, PartialEq, Message)]
pub struct TaskResumed {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub container_id: String,
}

impl Name for TaskResumed {
    const NAME: &str = "TaskResumed";
    const PACKAGE: &str = PACKAGE;
}

/// A container was checkpointed.
#[derive(Clone, PartialEq, Message)]
pub struct TaskCheckpointed {
    /// The container's id.
    #[prost(string, tag = "1")]
    pub container_id: String,
    /// The directory that holds it.
    #[prost(string, tag = "2")]
    pub checkpoint: String,
}

impl Name for TaskCheckpointed {
    const NAME: &str = "TaskCheckpointed";
    const PACKAGE: &str = PACKAGE;
}

/// `containerd.types.Envelope`: an event on its way.
#[derive(Clone, PartialEq, Message)]
pub struct Envelope {
    /// When it happened.
    #[prost(message, optional, tag = "1")]
    pub timestamp: Option<Timestamp>,
    /// The namespace that the container is in.
    #[prost(string, tag = "2")]
    pub namespace: String,
    /// `/tasks/start` and the like.
    #[prost(string, tag = "3")]
    pub topic: String,
    /// The event.
    #[prost(message, optional, tag = "4")]
    pub event: Option<Any>,
}

/// What `containerd.services.events.ttrpc.v1.Events/Forward` takes; it answers `Empty`.
#[derive(Clone, PartialEq, Message)]
pub struct ForwardRequest {
    /// The event.
    #[prost(message, optional, tag = "1")]
    pub envelope: Option<Envelope>,
}
