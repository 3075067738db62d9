//! In what an unpacked layer differs from what its archive gives.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{ErrorKind, Read};

use anyhow::{Context, Result};
use rustix::fs::{FileType, Stat};

use crate::layer::diff::overlay::is_whiteout;
use crate::layer::inode::Inode;
use crate::layer::listing::Listing;
use crate::layer::path::ImagePath;
use crate::layer::rootfs::Directory;
use crate::sys::signal;

/// How a file differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The archive has it, the layer doesn't.
    Missing,
    /// The layer has it, the archive doesn't.
    Unexpected,
    /// Both have it; what differs, and for what is short what it should be and what it is.
    Changed(Vec<String>),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Difference::Missing => f.write_str("missing"),
            Difference::Unexpected => f.write_str("unexpected"),
            Difference::Changed(what) => f.write_str(&what.join(", ")),
        }
    }
}

/// Attributes in which an overlay notes for itself where a file came from and what is below it. They
/// depend on how the layer was made, and change nothing that is seen.
const OVERLAYS_NOTES: [&[u8]; 6] = [
    b"trusted.overlay.impure",
    b"trusted.overlay.index",
    b"trusted.overlay.nlink",
    b"trusted.overlay.origin",
    b"trusted.overlay.upper",
    b"trusted.overlay.uuid",
];

/// Tells of all that is different in `found` from `expected`, both directories of overlays' layers:
/// content, kind, mode, owner, device, time of change, and attributes.
pub(super) fn compare(
    expected: &Directory,
    found: &Directory,
    tell: &mut impl FnMut(&ImagePath, &Difference) -> Result<()>,
) -> Result<()> {
    let root = changes(&Inode::open(expected, b".")?, &Inode::open(found, b".")?)?;
    if let Some(difference) = root {
        tell(expected.path(), &difference)?;
    }
    compare_entries(expected, found, tell)
}

fn compare_entries(
    expected: &Directory,
    found: &Directory,
    tell: &mut impl FnMut(&ImagePath, &Difference) -> Result<()>,
) -> Result<()> {
    for name in Listing::of([expected, found])? {
        let name = name?;
        signal::check()?;
        let path = expected.path().join(&name);
        let (one, other) = (Inode::find(expected, &name)?, Inode::find(found, &name)?);
        let (one, other) = match (one, other) {
            (Some(one), Some(other)) => (one, other),
            (Some(_), None) => {
                tell(&path, &Difference::Missing)?;
                continue;
            }
            (None, _) => {
                tell(&path, &Difference::Unexpected)?;
                continue;
            }
        };
        if let Some(difference) = changes(&one, &other)? {
            tell(&path, &difference)?;
        }
        if one.kind() == FileType::Directory && other.kind() == FileType::Directory {
            compare_entries(&one.directory()?, &other.directory()?, tell)?;
        }
    }
    Ok(())
}

fn changes(expected: &Inode, found: &Inode) -> Result<Option<Difference>> {
    let (one, other) = (expected.stat(), found.stat());
    let kind = expected.kind();
    if kind != found.kind() {
        let what = format!("it should be {}, and is {}", name(kind), name(found.kind()));
        return Ok(Some(Difference::Changed(vec![what])));
    }
    // Overlays make them as they are needed, with the time of that.
    if is_whiteout(expected)? && is_whiteout(found)? {
        return Ok(None);
    }
    let mut changed = Vec::new();
    let mut note = |what: &str, of: fn(&Stat) -> String| {
        let (one, other) = (of(one), of(other));
        if one != other {
            changed.push(format!("{what} {other} (should be {one})"));
        }
    };
    note("mode", |stat| format!("{:04o}", stat.st_mode & 0o7777));
    note("owner", |stat| format!("{}:{}", stat.st_uid, stat.st_gid));
    note("time", |stat| {
        format!("{}.{:09}", stat.st_mtime, stat.st_mtime_nsec)
    });
    if matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
        note("device", |stat| {
            let (major, minor) = (
                rustix::fs::major(stat.st_rdev),
                rustix::fs::minor(stat.st_rdev),
            );
            format!("{major}:{minor}")
        });
    }
    let is_another = match kind {
        FileType::RegularFile => one.st_size != other.st_size || !same_data(expected, found)?,
        FileType::Symlink => expected.link_target()? != found.link_target()?,
        _ => false,
    };
    if is_another {
        changed.push("content".to_owned());
    }
    let (one, other) = (attributes(expected)?, attributes(found)?);
    // Once, whether it is there on one side alone or on both with different values.
    let differing = one.symmetric_difference(&other).map(|(name, _)| name);
    for name in differing.collect::<BTreeSet<_>>() {
        changed.push(format!("attribute {}", name.escape_ascii()));
    }
    Ok((!changed.is_empty()).then_some(Difference::Changed(changed)))
}

fn name(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a file",
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice => "a character device",
        FileType::BlockDevice => "a block device",
        FileType::Unknown => "unknown",
    }
}

fn attributes(inode: &Inode) -> Result<BTreeSet<(Vec<u8>, Vec<u8>)>> {
    let mut xattrs = BTreeSet::from_iter(inode.xattrs()?);
    xattrs.retain(|(name, _)| !OVERLAYS_NOTES.contains(&&name[..]));
    Ok(xattrs)
}

fn same_data(expected: &Inode, found: &Inode) -> Result<bool> {
    const PIECE: usize = 64 << 10;
    let (mut one, mut other) = (expected.data()?, found.data()?);
    let (mut ours, mut theirs) = (vec![0; PIECE], vec![0; PIECE]);
    loop {
        signal::check()?;
        let count = one.read(&mut ours).context("read a file of the archive")?;
        if count == 0 {
            return Ok(other
                .read(&mut theirs)
                .context("read a file of the layer")?
                == 0);
        }
        match other.read_exact(&mut theirs[..count]) {
            Ok(()) if ours[..count] == theirs[..count] => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error).context("read a file of the layer"),
        }
    }
}
