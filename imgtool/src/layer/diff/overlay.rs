//! A layer from an overlay's upper directory (the kernel's filesystems/overlayfs.rst): what a
//! container wrote, its whiteouts and opaque directories turned into image-spec's.

use std::io::Write;

use anyhow::{Result, bail};
use rustix::fs::FileType;

use super::writer::LayerWriter;
use crate::layer::inode::{Inode, Xattrs};
use crate::layer::path::ImagePath;
use crate::layer::rootfs::{Directory, RootFs};

/// How overlay's attributes are named: the second with the mount option `userxattr`.
const NAMESPACES: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];

/// Writes all of an upper directory. Of the directories `without_contents` only themselves: what
/// a mount covers is none of the image's.
pub fn write_upper<W: Write>(
    upper: &RootFs,
    without_contents: &[ImagePath],
    layer: &mut LayerWriter<W>,
) -> Result<()> {
    let root = upper.root();
    let inode = Inode::open(root, b".")?;
    write_directory(root, &inode, without_contents, layer)
}

fn write_directory<W: Write>(
    directory: &Directory,
    inode: &Inode,
    without_contents: &[ImagePath],
    layer: &mut LayerWriter<W>,
) -> Result<()> {
    let path = directory.path();
    let xattrs = inode.xattrs()?;
    if overlay_xattr(&xattrs, b"redirect").is_some() {
        bail!(
            "{path} was renamed inside an overlay with redirect_dir=on, which no layer can say: \
             mount it with redirect_dir=off"
        );
    }
    let opaque = says_opaque(&xattrs);
    layer.add_with(path, inode, xattrs)?;
    if without_contents.contains(path) {
        return Ok(());
    }
    if opaque {
        layer.opaque(path)?;
    }
    for name in directory.names()? {
        let name = name?;
        let path = path.join(&name);
        // A container that runs may remove what it has just made.
        let Some(inode) = Inode::find(directory, &name)? else {
            continue;
        };
        if inode.kind() == FileType::Directory {
            write_directory(&inode.directory()?, &inode, without_contents, layer)?;
        } else {
            write_file(&path, &inode, layer)?;
        }
    }
    Ok(())
}

/// Whether a file of an upper directory says that what is below it is gone.
pub fn is_whiteout(inode: &Inode) -> Result<bool> {
    Ok(match inode.kind() {
        FileType::CharacterDevice => inode.stat().st_rdev == 0,
        FileType::RegularFile if inode.stat().st_size == 0 => {
            overlay_xattr(&inode.xattrs()?, b"whiteout").is_some()
        }
        _ => false,
    })
}

/// Whether a directory of an upper directory hides all that the layers below have in it.
pub fn is_opaque(inode: &Inode) -> Result<bool> {
    Ok(says_opaque(&inode.xattrs()?))
}

/// "x" only says that there are whiteouts by attribute in it.
fn says_opaque(xattrs: &Xattrs) -> bool {
    overlay_xattr(xattrs, b"opaque") == Some(b"y")
}

fn write_file<W: Write>(path: &ImagePath, inode: &Inode, layer: &mut LayerWriter<W>) -> Result<()> {
    if is_whiteout(inode)? {
        return layer.whiteout(path);
    }
    let xattrs = inode.xattrs()?;
    if inode.kind() == FileType::RegularFile && overlay_xattr(&xattrs, b"metacopy").is_some() {
        bail!(
            "{path} has only its metadata in an overlay with metacopy=on: mount it with \
             metacopy=off"
        );
    }
    layer.add_with(path, inode, xattrs)
}

/// An attribute of overlay's own. None of them goes into a layer.
fn overlay_xattr<'a>(xattrs: &'a Xattrs, wanted: &[u8]) -> Option<&'a [u8]> {
    let is_wanted = |name: &[u8]| {
        NAMESPACES
            .iter()
            .any(|namespace| name.strip_prefix(*namespace) == Some(wanted))
    };
    xattrs
        .iter()
        .find(|(name, _)| is_wanted(name))
        .map(|(_, value)| &value[..])
}
