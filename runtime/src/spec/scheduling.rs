//! When and where the kernel lets a process run: `process.scheduler`, `process.ioPriority` and
//! `process.execCPUAffinity` (config.md, "Linux Process").

use serde::Deserialize;

use super::{Text, null_is_default};

/// `scheduler`, the arguments of sched_setattr(2).
#[derive(Clone, Debug, Deserialize)]
pub struct Scheduler<'a> {
    /// `SCHED_OTHER` and its like.
    #[serde(borrow, default)]
    pub policy: Text<'a>,
    /// The nice value, for `SCHED_OTHER` and `SCHED_BATCH`.
    #[serde(default)]
    pub nice: i32,
    /// The static priority, for `SCHED_FIFO` and `SCHED_RR`.
    #[serde(default)]
    pub priority: i32,
    /// `SCHED_FLAG_RESET_ON_FORK` and its like.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub flags: Vec<Text<'a>>,
    /// For `SCHED_DEADLINE`, in nanoseconds.
    #[serde(default)]
    pub runtime: u64,
    /// For `SCHED_DEADLINE`, in nanoseconds.
    #[serde(default)]
    pub deadline: u64,
    /// For `SCHED_DEADLINE`, in nanoseconds.
    #[serde(default)]
    pub period: u64,
}

/// `ioPriority`, the arguments of ioprio_set(2).
#[derive(Clone, Debug, Deserialize)]
pub struct IoPriority<'a> {
    /// `IOPRIO_CLASS_RT`, `IOPRIO_CLASS_BE` or `IOPRIO_CLASS_IDLE`.
    #[serde(borrow, default)]
    pub class: Text<'a>,
    /// From 0, the highest, to 7.
    #[serde(default)]
    pub priority: i32,
}

/// `execCPUAffinity`, for processes of `exec` only.
#[derive(Clone, Debug, Deserialize)]
pub struct CpuAffinity<'a> {
    /// CPUs of the runtime, and of the process until it is in the container's cgroup.
    #[serde(borrow, default)]
    pub initial: Option<Text<'a>>,
    /// CPUs of the process from then on.
    #[serde(borrow, default)]
    pub r#final: Option<Text<'a>>,
}
