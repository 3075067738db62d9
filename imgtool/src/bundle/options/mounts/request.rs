//! What the caller wants to be mounted, however he said it.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, bail};

use super::super::label::Label;
use crate::store::volumes::VolumeName;

/// Something to be mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// Where in the container; clean and absolute.
    pub(super) destination: String,
    pub(super) source: Source,
    pub(super) access: Access,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// A file or directory of the host.
    Bind {
        path: PathBuf,
        /// With what is mounted below it.
        recursive: bool,
        propagation: Propagation,
    },
    /// A volume of the store's; without a name, one of the container's own.
    Volume {
        name: Option<VolumeName>,
        labels: Vec<Label>,
        /// An empty one is filled with what the image has at the destination.
        copy: bool,
    },
    /// Memory.
    Tmpfs { options: Vec<String> },
}

/// Whether it can be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Writable,
    /// Read-only, with what is mounted below it if the kernel can (`mount_setattr(2)`, Linux 5.12).
    ReadOnly,
    /// Read-only, but not what is mounted below it.
    ReadOnlyTop,
    /// Read-only with all that is mounted below it.
    ReadOnlyAll,
}

/// Whether mounts that are made later are seen on the other side (`mount_namespaces(7)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Propagation(&'static str);

impl Propagation {
    /// Neither side sees the other's.
    pub(super) const PRIVATE: Propagation = Propagation("rprivate");

    const ALL: [&str; 6] = [
        "private", "rprivate", "shared", "rshared", "slave", "rslave",
    ];

    /// The option of the mount.
    pub(super) fn option(self) -> &'static str {
        self.0
    }

    /// The propagation that the container's root needs for it: what is below a private mount
    /// gets nothing.
    pub(super) fn of_root(self) -> Option<&'static str> {
        match self.0 {
            "shared" | "rshared" => Some("rshared"),
            "slave" | "rslave" => Some("rslave"),
            _ => None,
        }
    }
}

impl FromStr for Propagation {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|known| *known == text) {
            Some(known) => Ok(Propagation(known)),
            None => bail!("'{text}' is no propagation; {} are", Self::ALL.join(", ")),
        }
    }
}
