//! What the probe reports from inside a container: the language between probe and cases.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// All that a process can say of itself without being asked anything in particular.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Observation {
    /// Process id as the process sees it.
    pub pid: i32,
    /// Session id.
    pub session: i32,
    /// Real and effective user id.
    pub uid: [u32; 2],
    /// Real and effective group id.
    pub gid: [u32; 2],
    /// Supplementary groups, sorted.
    pub groups: Vec<u32>,
    /// File mode creation mask.
    pub umask: u32,
    /// `Inh`, `Prm`, `Eff`, `Bnd` and `Amb`, each a bit set (capabilities(7)).
    pub capabilities: BTreeMap<String, u64>,
    /// `NoNewPrivs` of `/proc/self/status`.
    pub no_new_privileges: Option<u64>,
    /// `Seccomp` of `/proc/self/status`: 0 none, 1 strict, 2 filter.
    pub seccomp: Option<u64>,
    /// `/proc/self/oom_score_adj`.
    pub oom_score_adj: Option<i32>,
    /// By the name that config.json uses, soft and hard; none is unlimited.
    pub rlimits: BTreeMap<String, [Option<u64>; 2]>,
    /// The environment as it was handed over, in order.
    pub environment: Vec<String>,
    /// argv.
    pub arguments: Vec<String>,
    /// What getcwd(2) says.
    pub directory: Option<String>,
    /// Open descriptors and what they point at.
    pub descriptors: BTreeMap<i32, String>,
    /// uname(2)'s nodename.
    pub hostname: String,
    /// uname(2)'s domainname.
    pub domainname: String,
    /// The links below `/proc/self/ns`.
    pub namespaces: BTreeMap<String, String>,
    /// `/proc/self/mountinfo`.
    pub mounts: Vec<Mount>,
    /// `/proc/self/cgroup`.
    pub cgroup: String,
    /// Of those of the descriptors 0, 1 and 2 that are terminals: name, rows, columns.
    pub terminals: BTreeMap<i32, Terminal>,
    /// The answers to what it was asked, by the question's own words.
    pub answers: BTreeMap<String, Answer>,
}

/// A terminal as the process sees it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct Terminal {
    /// Rows of the window.
    pub rows: u16,
    /// Columns of the window.
    pub columns: u16,
    /// `st_rdev` of the descriptor.
    pub device: u64,
}

/// One line of mountinfo (`proc_pid_mountinfo(5)`).
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Mount {
    /// The directory of the file system that is mounted here.
    pub root: String,
    /// Where.
    pub point: String,
    /// Per-mount options.
    pub options: Vec<String>,
    /// `shared:N`, `master:N`, `unbindable`.
    pub propagation: Vec<String>,
    /// Type of the file system.
    pub kind: String,
    /// What the file system calls its source.
    pub source: String,
    /// Options of the file system.
    pub super_options: Vec<String>,
}

/// What came of one question.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Answer {
    /// The kernel's errno, when it refused.
    pub errno: Option<i32>,
    /// What a read, a link or a list of names gave, or what a call returned.
    pub text: String,
    /// What `stat:` found.
    pub status: Option<FileStatus>,
}

/// Part of what statx(2) tells.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct FileStatus {
    /// `file`, `directory`, `link`, `character`, `block`, `fifo` or `socket`.
    pub kind: String,
    /// Permission bits, with set-id and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
    /// Major and minor number of a device.
    pub device: [u32; 2],
    /// Inode number.
    pub inode: u64,
    /// Number of the file system.
    pub file_system: u64,
}

impl Mount {
    /// Reads one line of mountinfo; none when it has too few fields.
    pub fn parse(line: &str) -> Option<Mount> {
        let (left, right) = line.split_once(" - ")?;
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        let commas = |field: &str| field.split(',').map(str::to_owned).collect();
        Some(Mount {
            root: unescape(left.get(3)?),
            point: unescape(left.get(4)?),
            options: commas(left.get(5)?),
            propagation: left.iter().skip(6).map(|&field| field.to_owned()).collect(),
            kind: (*right.first()?).to_owned(),
            source: unescape(right.get(1)?),
            super_options: commas(right.get(2).copied().unwrap_or_default()),
        })
    }

    /// All mounts of a mountinfo file, oldest first.
    pub fn parse_all(text: &str) -> Vec<Mount> {
        text.lines().filter_map(Mount::parse).collect()
    }

    /// Whether the mount, or its file system, has this option.
    pub fn has(&self, option: &str) -> bool {
        self.options
            .iter()
            .chain(&self.super_options)
            .any(|one| one == option)
    }
}

/// mountinfo writes blanks, tabs, newlines and backslashes as `\NNN`.
fn unescape(field: &str) -> String {
    field
        .replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

impl Observation {
    /// The topmost mount at this place.
    pub fn mount(&self, point: &str) -> Option<&Mount> {
        self.mounts.iter().rev().find(|mount| mount.point == point)
    }

    /// The answer to a question that the case asked; an unasked one has none.
    pub fn answer(&self, question: &str) -> Answer {
        self.answers
            .get(question)
            .cloned()
            .unwrap_or_else(|| Answer {
                errno: Some(-1),
                text: format!("the probe was not asked {question}"),
                status: None,
            })
    }

    /// The values that the environment has for a name, in order.
    pub fn variable(&self, name: &str) -> Vec<&str> {
        self.environment
            .iter()
            .filter_map(|entry| entry.split_once('='))
            .filter(|(key, _)| *key == name)
            .map(|(_, value)| value)
            .collect()
    }
}

impl Answer {
    /// Whether the kernel did what it was asked.
    pub fn worked(&self) -> bool {
        self.errno.is_none()
    }

    /// The kind of the file that `stat:` found, or `nothing`.
    pub fn kind(&self) -> &str {
        self.status
            .as_ref()
            .map_or("nothing", |status| &status.kind)
    }
}
