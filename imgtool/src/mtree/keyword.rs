//! What a manifest may say of a file.

use std::fmt;
use std::str::FromStr;

/// A keyword, in the order in which an entry has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keyword {
    /// `st_size`, of whatever type.
    Size,
    /// `file`, `dir`, `link` and so on.
    Type,
    /// Owner.
    Uid,
    /// Group.
    Gid,
    /// Permission, set-id and sticky bits.
    Mode,
    /// Target of a symbolic link.
    Link,
    /// Number of names.
    Nlink,
    /// Modification time to the nanosecond.
    Time,
    /// Modification time to the second.
    TarTime,
    /// SHA-256 of a regular file's content.
    Sha256,
    /// Extended attributes of files and directories, one value each.
    Xattr,
    /// BSD's file flags: on Linux `none`, as go-mtree has it.
    Flags,
}

/// What umoci's manifests have, and what it compares.
pub const UMOCI: [Keyword; 10] = [
    Keyword::Size,
    Keyword::Type,
    Keyword::Uid,
    Keyword::Gid,
    Keyword::Mode,
    Keyword::Link,
    Keyword::Nlink,
    Keyword::TarTime,
    Keyword::Sha256,
    Keyword::Xattr,
];

impl Keyword {
    /// Its name; that of `xattr` is followed by a dot and the attribute's.
    pub fn name(self) -> &'static str {
        match self {
            Keyword::Size => "size",
            Keyword::Type => "type",
            Keyword::Uid => "uid",
            Keyword::Gid => "gid",
            Keyword::Mode => "mode",
            Keyword::Link => "link",
            Keyword::Nlink => "nlink",
            Keyword::Time => "time",
            Keyword::TarTime => "tar_time",
            Keyword::Sha256 => "sha256digest",
            Keyword::Xattr => "xattr",
            Keyword::Flags => "flags",
        }
    }
}

impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A keyword that we don't know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("keyword \"{}\" is not supported", .0.escape_debug())]
pub struct UnknownKeyword(String);

impl FromStr for Keyword {
    type Err = UnknownKeyword;

    fn from_str(name: &str) -> Result<Self, UnknownKeyword> {
        Ok(match name {
            "size" => Keyword::Size,
            "type" => Keyword::Type,
            "uid" => Keyword::Uid,
            "gid" => Keyword::Gid,
            "mode" => Keyword::Mode,
            "link" => Keyword::Link,
            "nlink" => Keyword::Nlink,
            "time" => Keyword::Time,
            "tar_time" => Keyword::TarTime,
            "sha256digest" | "sha256" => Keyword::Sha256,
            "xattr" | "xattrs" => Keyword::Xattr,
            "flags" => Keyword::Flags,
            other => return Err(UnknownKeyword(other.to_owned())),
        })
    }
}
