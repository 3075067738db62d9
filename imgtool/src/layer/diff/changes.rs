//! A layer of the changes that were found in a tree.

use std::io::Write;

use anyhow::{Context, Result};

use super::writer::LayerWriter;
use crate::layer::inode::Inode;
use crate::layer::path::ImagePath;
use crate::layer::path_list::PathList;
use crate::layer::rootfs::{Directory, RootFs};

/// What became of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is new, or other than it was.
    Written,
    /// It is gone.
    Removed,
}

/// Writes the changes of a tree, each path once.
pub fn write_changes<W: Write>(
    root: &RootFs,
    mut changes: PathList<Change>,
    layer: &mut LayerWriter<W>,
) -> Result<()> {
    let mut rest = changes.sorted();
    if let [(path, Change::Written), below @ ..] = rest
        && path.is_root()
    {
        layer.add(path, &Inode::open(root.root(), b".")?)?;
        rest = below;
    }
    let _unlocked = Inode::open(root.root(), b".")?;
    write_below(root.root(), rest, layer)
}

/// Writes the changes below a directory, going down only where there are some.
fn write_below<W: Write>(
    directory: &Directory,
    mut changes: &[(ImagePath, Change)],
    layer: &mut LayerWriter<W>,
) -> Result<()> {
    let depth = directory.path().components().count();
    while let Some((first, _)) = changes.first() {
        let name = first
            .components()
            .nth(depth)
            .context("a change outside its directory")?;
        let path = directory.path().join(name);
        let count = changes
            .iter()
            .take_while(|(other, _)| *other == path || other.is_below(&path))
            .count();
        let (here, others) = changes.split_at(count);
        changes = others;
        let (own, below) = match here {
            [(own, change), below @ ..] if *own == path => (Some(*change), below),
            below => (None, below),
        };
        if own == Some(Change::Removed) {
            // With all below it.
            layer.whiteout(&path)?;
            continue;
        }
        let inode = Inode::open(directory, name)?;
        if own == Some(Change::Written) {
            layer.add(&path, &inode)?;
        }
        // What was below a directory that is something else now has gone with it.
        if !below.is_empty()
            && let Some(directory) = directory.subdirectory(name)?
        {
            write_below(&directory, below, layer)?;
        }
    }
    Ok(())
}
