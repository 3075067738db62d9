//! A layer that puts a tree of the host into an image.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{FileType, Mode, OFlags};

use super::writer::LayerWriter;
use crate::layer::inode::Inode;
use crate::layer::path::ImagePath;
use crate::layer::rootfs::{Directory, RootFs};

/// Writes the file or tree at `source`, a path of the host, as `target` in the image. With
/// `opaque`, nothing of the layers below remains in that directory.
pub fn insert<W: Write>(
    source: &Path,
    target: &ImagePath,
    opaque: bool,
    layer: &mut LayerWriter<W>,
) -> Result<()> {
    let context = || format!("open {}", source.display());
    // Its own name is written nowhere, so a trailing slash or `..` in it does no harm; a link is
    // inserted as a link.
    let source = source.components().as_path();
    let (parent, name) = match (source.parent(), source.file_name()) {
        (Some(parent), Some(name)) => (parent, name.as_encoded_bytes()),
        _ => (source, &b"."[..]),
    };
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::open(parent, flags, Mode::empty()).with_context(context)?;
    let parent = RootFs::new(parent);
    if opaque {
        layer.opaque(target)?;
    }
    let inode = Inode::open(parent.root(), name).with_context(context)?;
    let below = parent.root().subdirectory(name)?;
    add(target, &inode, below.as_ref(), layer)
}

/// Writes a directory, and all that is in it, as the image's root.
pub fn add_tree<W: Write>(directory: &Directory, layer: &mut LayerWriter<W>) -> Result<()> {
    let inode = Inode::open(directory, b".")?;
    add(&ImagePath::root(), &inode, Some(directory), layer)
}

fn add<W: Write>(
    path: &ImagePath,
    inode: &Inode,
    directory: Option<&Directory>,
    layer: &mut LayerWriter<W>,
) -> Result<()> {
    layer.add(path, inode)?;
    if inode.kind() != FileType::Directory {
        return Ok(());
    }
    let directory = directory.with_context(|| format!("{path} stopped being a directory"))?;
    for name in directory.names()? {
        let name = name?;
        let inode = Inode::open(directory, &name)?;
        let below = directory.subdirectory(&name)?;
        add(&path.join(&name), &inode, below.as_ref(), layer)?;
    }
    Ok(())
}
