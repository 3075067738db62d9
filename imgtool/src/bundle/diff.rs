//! What a container has changed of its image.

use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{CWD, FileType, Mode, OFlags};

use super::container_bundle::ContainerBundle;
use super::container_record::RootfsKind;
use super::record::RecordedBundle;
use crate::layer::diff::overlay::{is_opaque, is_whiteout};
use crate::layer::inode::Inode;
use crate::layer::lower::{Lower, LowerDirectory};
use crate::layer::path::ImagePath;
use crate::layer::path_list::PathList;
use crate::layer::rootfs::Directory;
use crate::memory_budget::MemoryBudget;
use crate::mtree::{self, Difference};

/// What became of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It was there, and is other than it was; or a directory in which something is.
    Changed,
    /// It is gone.
    Deleted,
}

/// All changes of a bundle's root file system. Mount points aren't the image's, nor is what is in them.
pub fn changes(bundle: &ContainerBundle) -> Result<PathList<ChangeKind>> {
    let memory = MemoryBudget::default();
    let mut changes = PathList::new(&memory);
    each_change(bundle, &memory, &mut |path, kind| changes.push(path, kind))?;
    Ok(changes)
}

/// Whether there are any.
pub fn has_changes(bundle: &ContainerBundle) -> Result<bool> {
    let mut any = false;
    each_change(bundle, &MemoryBudget::default(), &mut |_, _| {
        any = true;
        Ok(())
    })?;
    Ok(any)
}

/// Who is told of changes.
type Tell<'a> = dyn FnMut(ImagePath, ChangeKind) -> Result<()> + 'a;

fn each_change(bundle: &ContainerBundle, memory: &MemoryBudget, tell: &mut Tell<'_>) -> Result<()> {
    let mount_points = bundle.mount_points()?;
    let mut tell = |path: ImagePath, kind| {
        let mut points = mount_points.iter();
        if points.any(|point| path == *point || path.is_below(point)) {
            return Ok(());
        }
        tell(path, kind)
    };
    match bundle.record.rootfs {
        RootfsKind::Overlay => overlay_changes(bundle, &mount_points, &mut tell),
        RootfsKind::Flat => flat_changes(bundle, memory, &mut tell),
    }
}

fn overlay_changes(
    bundle: &ContainerBundle,
    mount_points: &[ImagePath],
    tell: &mut Tell<'_>,
) -> Result<()> {
    let store = bundle.store()?;
    let mut layers = Vec::new();
    for directory in store.directories_of(&bundle.record.layers).iter().rev() {
        layers.push(open(directory)?);
    }
    let upper = bundle.upper()?;
    compare(
        upper.root(),
        &LowerDirectory::new(layers),
        mount_points,
        tell,
    )
}

/// Tells what an upper directory changes of what is below it.
fn compare(
    upper: &Directory,
    lower: &LowerDirectory,
    mount_points: &[ImagePath],
    tell: &mut Tell<'_>,
) -> Result<()> {
    for name in upper.names()? {
        let name = name?;
        let path = upper.path().join(&name);
        let Some(inode) = Inode::find(upper, &name)? else {
            continue;
        };
        let below = lower.child(&name)?;
        if is_whiteout(&inode)? {
            if !matches!(below, Lower::Nothing) {
                tell(path, ChangeKind::Deleted)?;
            }
            continue;
        }
        let kind = match below {
            Lower::Nothing => ChangeKind::Added,
            Lower::File | Lower::Directory(_) => ChangeKind::Changed,
        };
        tell(path.clone(), kind)?;
        if inode.kind() != FileType::Directory || mount_points.contains(&path) {
            continue;
        }
        let nothing = LowerDirectory::new(Vec::new());
        let below = match below {
            Lower::Directory(below) if is_opaque(&inode)? => {
                deleted_below(upper, &name, &below, &path, tell)?;
                nothing
            }
            Lower::Directory(below) => below,
            Lower::Nothing | Lower::File => nothing,
        };
        compare(&inode.directory()?, &below, mount_points, tell)?;
    }
    Ok(())
}

/// An opaque directory hides all that was in it: what isn't made anew is deleted.
fn deleted_below(
    upper: &Directory,
    name: &[u8],
    below: &LowerDirectory,
    path: &ImagePath,
    tell: &mut Tell<'_>,
) -> Result<()> {
    let Some(directory) = upper.subdirectory(name)? else {
        return Ok(());
    };
    for name in below.names()? {
        let name = name?;
        let is_there = directory.stat(&name)?.is_some();
        if !is_there && !matches!(below.child(&name)?, Lower::Nothing) {
            tell(path.join(&name), ChangeKind::Deleted)?;
        }
    }
    Ok(())
}

/// A tree of its own is compared with what was noted of it when it was unpacked.
fn flat_changes(
    bundle: &ContainerBundle,
    memory: &MemoryBudget,
    tell: &mut Tell<'_>,
) -> Result<()> {
    let recorded = RecordedBundle::open(&bundle.path)?;
    let manifest = recorded.manifest(memory)?;
    let rootfs = recorded.rootfs()?;
    mtree::compare(manifest, &rootfs, &mtree::UMOCI, |path, difference| {
        let kind = match difference {
            Difference::Missing => ChangeKind::Deleted,
            Difference::Extra => ChangeKind::Added,
            Difference::Changed { .. } => ChangeKind::Changed,
        };
        if path.is_root() {
            return Ok(());
        }
        tell(path, kind)
    })
}

fn open(path: &Path) -> Result<Directory> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(CWD, path, flags, Mode::empty())
        .with_context(|| format!("open layer {}", path.display()))?;
    Ok(Directory::root(directory))
}
