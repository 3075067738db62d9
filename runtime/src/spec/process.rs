//! `process` (config.md, "Process"): the program and what it may do. `exec --process` reads the
//! same object from a file of its own.

use serde::Deserialize;

use super::{CpuAffinity, IoPriority, Scheduler, Text, null_is_default};

/// `process`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process<'a> {
    /// Whether a pseudo-terminal is attached.
    #[serde(default)]
    pub terminal: bool,
    /// `consoleSize`, in characters.
    pub console_size: Option<ConsoleSize>,
    /// The user inside the container.
    #[serde(default, deserialize_with = "null_is_default")]
    pub user: User,
    /// argv; args[0] is looked up in PATH.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub args: Vec<Text<'a>>,
    /// The environment, `NAME=VALUE`.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub env: Vec<Text<'a>>,
    /// The working directory, absolute.
    #[serde(borrow, default)]
    pub cwd: Text<'a>,
    /// The five capability sets; absent: all empty.
    #[serde(borrow)]
    pub capabilities: Option<Capabilities<'a>>,
    /// Resource limits.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub rlimits: Vec<Rlimit<'a>>,
    /// `no_new_privs`.
    #[serde(default)]
    pub no_new_privileges: bool,
    /// `oomScoreAdj`; absent: untouched.
    pub oom_score_adj: Option<i32>,
    /// The AppArmor profile.
    #[serde(borrow)]
    pub apparmor_profile: Option<Text<'a>>,
    /// The SELinux label.
    #[serde(borrow)]
    pub selinux_label: Option<Text<'a>>,
    /// The scheduling policy and its parameters; absent: the caller's.
    #[serde(borrow)]
    pub scheduler: Option<Scheduler<'a>>,
    /// The I/O priority; absent: the caller's.
    #[serde(borrow)]
    pub io_priority: Option<IoPriority<'a>>,
    /// The CPUs of a process of `exec`.
    #[serde(borrow, rename = "execCPUAffinity")]
    pub exec_cpu_affinity: Option<CpuAffinity<'a>>,
}

/// `consoleSize`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct ConsoleSize {
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
}

/// `user` (config.md, "User").
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The uid inside the container; absent: 0.
    #[serde(default)]
    pub uid: u32,
    /// The gid inside the container; absent: 0.
    #[serde(default)]
    pub gid: u32,
    /// The umask; the runtime's own default is 0022.
    pub umask: Option<u32>,
    /// Supplementary groups.
    #[serde(default, deserialize_with = "null_is_default")]
    pub additional_gids: Vec<u32>,
}

/// `capabilities`: names as in capabilities(7), with `CAP_`.
#[derive(Debug, Default, Deserialize)]
pub struct Capabilities<'a> {
    /// The bounding set.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub bounding: Vec<Text<'a>>,
    /// The effective set.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub effective: Vec<Text<'a>>,
    /// The inheritable set.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub inheritable: Vec<Text<'a>>,
    /// The permitted set.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub permitted: Vec<Text<'a>>,
    /// The ambient set.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub ambient: Vec<Text<'a>>,
}

/// One resource limit, as getrlimit(2) names it.
#[derive(Debug, Deserialize)]
pub struct Rlimit<'a> {
    /// `RLIMIT_NOFILE` and its like.
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// The limit enforced.
    pub soft: u64,
    /// The ceiling for the soft limit.
    pub hard: u64,
}
