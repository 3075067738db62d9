//! The kinds of namespaces (namespaces(7); config-linux.md, "Namespaces").

use std::fmt;

/// A kind of namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceKind {
    /// CLONE_NEWUSER.
    User,
    /// CLONE_NEWPID.
    Pid,
    /// CLONE_NEWNET.
    Network,
    /// CLONE_NEWIPC.
    Ipc,
    /// CLONE_NEWUTS.
    Uts,
    /// CLONE_NEWCGROUP.
    Cgroup,
    /// CLONE_NEWTIME.
    Time,
    /// CLONE_NEWNS.
    Mount,
}

/// The kinds that this runtime can make and join, in the order in which they are joined: user
/// first, because it gives the right to join the others, mount last, because paths change with it.
pub fn kinds() -> [NamespaceKind; 6] {
    use NamespaceKind::{Cgroup, Ipc, Mount, Network, Pid, Uts};
    [Pid, Network, Ipc, Uts, Cgroup, Mount]
}

impl NamespaceKind {
    /// From the name in config.json.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "user" => NamespaceKind::User,
            "pid" => NamespaceKind::Pid,
            "network" => NamespaceKind::Network,
            "ipc" => NamespaceKind::Ipc,
            "uts" => NamespaceKind::Uts,
            "cgroup" => NamespaceKind::Cgroup,
            "time" => NamespaceKind::Time,
            "mount" => NamespaceKind::Mount,
            _ => return None,
        })
    }

    /// The name in config.json.
    pub fn name(self) -> &'static str {
        match self {
            NamespaceKind::User => "user",
            NamespaceKind::Pid => "pid",
            NamespaceKind::Network => "network",
            NamespaceKind::Ipc => "ipc",
            NamespaceKind::Uts => "uts",
            NamespaceKind::Cgroup => "cgroup",
            NamespaceKind::Time => "time",
            NamespaceKind::Mount => "mount",
        }
    }

    /// The file in /proc/PID/ns.
    pub fn proc_name(self) -> &'static str {
        match self {
            NamespaceKind::Network => "net",
            NamespaceKind::Mount => "mnt",
            other => other.name(),
        }
    }

    /// `CLONE_NEW*`.
    pub fn clone_flag(self) -> u64 {
        let flag = match self {
            NamespaceKind::User => libc::CLONE_NEWUSER,
            NamespaceKind::Pid => libc::CLONE_NEWPID,
            NamespaceKind::Network => libc::CLONE_NEWNET,
            NamespaceKind::Ipc => libc::CLONE_NEWIPC,
            NamespaceKind::Uts => libc::CLONE_NEWUTS,
            NamespaceKind::Cgroup => libc::CLONE_NEWCGROUP,
            NamespaceKind::Time => libc::CLONE_NEWTIME,
            NamespaceKind::Mount => libc::CLONE_NEWNS,
        };
        u64::from(flag.cast_unsigned())
    }
}

impl fmt::Display for NamespaceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
