//! What a shim tells containerd unasked: events, which `docker`, `ctr events` and the CRI plugin live
//! by. One that is lost makes them wait for ever.

mod publisher;

pub use self::publisher::Publisher;

use super::messages::events::{
    TaskCheckpointed, TaskCreate, TaskDelete, TaskExecAdded, TaskExecStarted, TaskExit, TaskOom,
    TaskPaused, TaskResumed, TaskStart,
};
use super::messages::pack;
use super::messages::well_known::Any;

/// Something happened to a container.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It was created.
    Create(TaskCreate),
    /// Its first process was started.
    Start(TaskStart),
    /// A process of it has ended.
    Exit(TaskExit),
    /// It, or an exec, was deleted.
    Delete(TaskDelete),
    /// It ran out of memory.
    Oom(TaskOom),
    /// An exec is to be.
    ExecAdded(TaskExecAdded),
    /// An exec was started.
    ExecStarted(TaskExecStarted),
    /// It was paused.
    Paused(TaskPaused),
    /// It goes on.
    Resumed(TaskResumed),
    /// It was checkpointed.
    Checkpointed(TaskCheckpointed),
}

impl Event {
    /// The topic that containerd's clients subscribe to (`core/runtime/events.go` in its repository).
    pub fn topic(&self) -> &'static str {
        match self {
            Event::Create(_) => "/tasks/create",
            Event::Start(_) => "/tasks/start",
            Event::Exit(_) => "/tasks/exit",
            Event::Delete(_) => "/tasks/delete",
            Event::Oom(_) => "/tasks/oom",
            Event::ExecAdded(_) => "/tasks/exec-added",
            Event::ExecStarted(_) => "/tasks/exec-started",
            Event::Paused(_) => "/tasks/paused",
            Event::Resumed(_) => "/tasks/resumed",
            Event::Checkpointed(_) => "/tasks/checkpointed",
        }
    }

    fn packed(&self) -> Any {
        match self {
            Event::Create(event) => pack(event),
            Event::Start(event) => pack(event),
            Event::Exit(event) => pack(event),
            Event::Delete(event) => pack(event),
            Event::Oom(event) => pack(event),
            Event::ExecAdded(event) => pack(event),
            Event::ExecStarted(event) => pack(event),
            Event::Paused(event) => pack(event),
            Event::Resumed(event) => pack(event),
            Event::Checkpointed(event) => pack(event),
        }
    }

    /// Whether someone may be waiting for this very event.
    fn is_an_end(&self) -> bool {
        matches!(self, Event::Exit(_) | Event::Delete(_))
    }
}
