//! The kinds of namespaces (namespaces(7); config-linux.md, "Namespaces").

use std::fmt;

use super::Birth;
use crate::spec::Spec;

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

/// The kinds that this runtime can make and join, in the order in which they are joined: mount
/// last, because paths change with it.
pub fn kinds() -> [NamespaceKind; 8] {
    use NamespaceKind::{Cgroup, Ipc, Mount, Network, Pid, Time, User, Uts};
    [User, Pid, Network, Ipc, Uts, Cgroup, Time, Mount]
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

/// config.json's namespaces, sorted by what happens to them.
pub(super) struct Namespaces<'a> {
    /// `CLONE_NEW*` of those that clone3 makes.
    pub(super) made_by_clone: u64,
    /// `CLONE_NEW*` of those that init makes itself.
    pub(super) made_by_init: u64,
    /// Those that are joined, in the order in which that is done, with their places in
    /// `/linux/namespaces`.
    pub(super) joined: Vec<(NamespaceKind, &'a str, usize)>,
    new: u64,
    all: u64,
}

impl<'a> Namespaces<'a> {
    pub(super) fn of(spec: &'a Spec<'a>) -> Self {
        let mut found = Namespaces {
            made_by_clone: 0,
            made_by_init: 0,
            joined: Vec::new(),
            new: 0,
            all: 0,
        };
        for kind in kinds() {
            let listed = &spec.linux.namespaces;
            let Some(index) = listed.iter().position(|one| &*one.kind == kind.name()) else {
                continue;
            };
            found.all |= kind.clone_flag();
            match listed[index]
                .path
                .as_deref()
                .filter(|path| !path.is_empty())
            {
                Some(path) => found.joined.push((kind, path, index)),
                None => found.new |= kind.clone_flag(),
            }
        }
        found.made_by_clone = found.new & found.possible_for_clone();
        found.made_by_init = found.new & !found.made_by_clone & !NamespaceKind::Time.clone_flag();
        found
    }

    /// The clone would root a cgroup namespace in the runtime's own cgroup, and a time namespace
    /// that it makes takes no offsets any more (`time_namespaces(7)`). What is made together with a
    /// user namespace belongs to it, but is made before there are ids in it: `/dev/mqueue`,
    /// `/proc/net` and `/sys/class/net` would be nobody's for good. Only the pid namespace can't
    /// wait, since it holds for children.
    fn possible_for_clone(&self) -> u64 {
        use NamespaceKind::{Cgroup, Pid, Time, User};
        if self.has(User) {
            User.clone_flag() | Pid.clone_flag()
        } else {
            !(Cgroup.clone_flag() | Time.clone_flag())
        }
    }

    /// Whether there is a new one of this kind.
    pub(super) fn makes(&self, kind: NamespaceKind) -> bool {
        self.new & kind.clone_flag() != 0
    }

    /// Whether there is one of the container's, new or joined.
    pub(super) fn has(&self, kind: NamespaceKind) -> bool {
        self.all & kind.clone_flag() != 0
    }

    /// The `CLONE_NEW*` of all that the container has.
    pub(super) fn all(&self) -> u64 {
        self.all
    }

    /// Who makes init. With a user namespace, new or joined, init has no rights to namespaces that
    /// are not that one's: they are joined before.
    pub(super) fn birth(&self) -> Birth<'a> {
        if self.has(NamespaceKind::User) && !self.joined.is_empty() {
            return Birth::Beyond(
                self.joined
                    .iter()
                    .map(|(kind, path, _)| (*kind, *path))
                    .collect(),
            );
        }
        let pid = |(kind, ..): &&(NamespaceKind, _, _)| *kind == NamespaceKind::Pid;
        match self.joined.iter().find(pid) {
            Some((_, path, _)) => Birth::InPidNamespace(path),
            None => Birth::Here,
        }
    }
}
