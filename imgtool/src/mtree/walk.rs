//! Walks a tree as manifests list it: in each directory first what is no directory, then the
//! directories, both sorted.

use anyhow::Result;

use crate::layer::inode::Inode;
use crate::layer::listing::FilesFirst;
use crate::layer::path::ImagePath;
use crate::layer::rootfs::{Directory, RootFs};
use crate::sys::signal;

/// Who is told what the walk comes to.
pub(super) trait Visitor {
    /// A directory; what is in it follows.
    fn enter(&mut self, path: &ImagePath, inode: &Inode) -> Result<()>;
    /// Anything else.
    fn file(&mut self, path: &ImagePath, inode: &Inode) -> Result<()>;
    /// The end of what is in the directory entered last.
    fn leave(&mut self) -> Result<()>;
}

/// Walks all of a tree.
pub(super) fn walk(root: &RootFs, visitor: &mut impl Visitor) -> Result<()> {
    let root = root.root();
    walk_directory(root, &Inode::open(root, b".")?, visitor)
}

fn walk_directory(directory: &Directory, inode: &Inode, visitor: &mut impl Visitor) -> Result<()> {
    signal::check()?;
    visitor.enter(directory.path(), inode)?;
    for entry in FilesFirst::of(directory)? {
        let (name, is_directory) = entry?;
        let inode = Inode::open(directory, &name)?;
        let below = if is_directory {
            directory.subdirectory(&name)?
        } else {
            None
        };
        match below {
            Some(below) => walk_directory(&below, &inode, visitor)?,
            None => visitor.file(&directory.path().join(&name), &inode)?,
        }
    }
    visitor.leave()
}
