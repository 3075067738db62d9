//! One rule of which devices a container may use, as both cgroup versions are given it.

use std::fmt;

/// What is done with a device: a set of [`Access::READ`], [`Access::WRITE`] and [`Access::MKNOD`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Access(u8);

impl Access {
    /// Makes a device node (`BPF_DEVCG_ACC_MKNOD`).
    pub const MKNOD: Access = Access(1);
    /// Opens for reading (`BPF_DEVCG_ACC_READ`).
    pub const READ: Access = Access(2);
    /// Opens for writing (`BPF_DEVCG_ACC_WRITE`).
    pub const WRITE: Access = Access(4);
    /// All three.
    pub const ALL: Access = Access(7);
    pub(super) const NONE: Access = Access(0);

    /// The numbers of linux/bpf.h, `BPF_DEVCG_ACC_*`.
    pub fn bits(self) -> u8 {
        self.0
    }

    pub(super) fn union(self, other: Access) -> Access {
        Access(self.0 | other.0)
    }

    pub(super) fn without(self, other: Access) -> Access {
        Access(self.0 & !other.0)
    }

    pub(super) fn meets(self, other: Access) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) fn parse(words: &str) -> Option<Access> {
        // runc takes `rwa` for `rw`.
        let mut letters = words.chars().filter(|letter| *letter != 'a');
        let access = letters.try_fold(Access::NONE, |access, letter| {
            let (_, one) = LETTERS.iter().find(|(known, _)| *known == letter)?;
            Some(access.union(*one))
        })?;
        (access != Access::NONE).then_some(access)
    }
}

const LETTERS: [(char, Access); 3] = [
    ('r', Access::READ),
    ('w', Access::WRITE),
    ('m', Access::MKNOD),
];

/// As config.json and the kernel write it: `rwm`.
impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        LETTERS
            .iter()
            .filter(|(_, one)| self.meets(*one))
            .try_for_each(|(l, _)| write!(f, "{l}"))
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The two kinds of device nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A block device (`BPF_DEVCG_DEV_BLOCK`).
    Block,
    /// A character device (`BPF_DEVCG_DEV_CHAR`).
    Character,
}

/// One rule: whether to allow the given access to the devices that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Allows, or denies.
    pub allow: bool,
    /// The kind of device; `None` matches both.
    pub kind: Option<Kind>,
    /// The major number; `None` matches all.
    pub major: Option<u32>,
    /// The minor number; `None` matches all.
    pub minor: Option<u32>,
    /// The access that is allowed or denied.
    pub access: Access,
    /// The entry of `/linux/resources/devices` that this is; `None` for the runtime's own.
    pub entry: Option<usize>,
}
