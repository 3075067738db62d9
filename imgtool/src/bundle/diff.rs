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
use crate::layer::rootfs::Directory;
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

/// All changes of a bundle's root file system, by path. Mount points aren't the image's, nor is
/// what is in them.
pub fn changes(bundle: &ContainerBundle) -> Result<Vec<(ImagePath, ChangeKind)>> {
    let mount_points = bundle.mount_points()?;
    let mut changes = match bundle.record.rootfs {
        RootfsKind::Overlay => overlay_changes(bundle, &mount_points)?,
        RootfsKind::Flat => flat_changes(bundle)?,
    };
    changes.retain(|(path, _)| {
        !mount_points
            .iter()
            .any(|point| path == point || path.is_below(point))
    });
    changes.sort_by(|(one, _), (other, _)| one.components().cmp(other.components()));
    Ok(changes)
}

fn overlay_changes(
    bundle: &ContainerBundle,
    mount_points: &[ImagePath],
) -> Result<Vec<(ImagePath, ChangeKind)>> {
    let store = bundle.store()?;
    let mut layers = Vec::new();
    for directory in store.directories_of(&bundle.record.layers).iter().rev() {
        layers.push(open(directory)?);
    }
    let upper = bundle.upper()?;
    let mut changes = Vec::new();
    let lower = LowerDirectory::new(layers);
    compare(upper.root(), &lower, mount_points, &mut changes)?;
    Ok(changes)
}

/// Notes what an upper directory changes of what is below it.
fn compare(
    upper: &Directory,
    lower: &LowerDirectory,
    mount_points: &[ImagePath],
    changes: &mut Vec<(ImagePath, ChangeKind)>,
) -> Result<()> {
    for name in upper.names()? {
        let path = upper.path().join(&name);
        let Some(inode) = Inode::find(upper, &name)? else {
            continue;
        };
        let below = lower.child(&name)?;
        if is_whiteout(&inode)? {
            if !matches!(below, Lower::Nothing) {
                changes.push((path, ChangeKind::Deleted));
            }
            continue;
        }
        let kind = match below {
            Lower::Nothing => ChangeKind::Added,
            Lower::File | Lower::Directory(_) => ChangeKind::Changed,
        };
        changes.push((path.clone(), kind));
        if inode.kind() != FileType::Directory || mount_points.contains(&path) {
            continue;
        }
        let nothing = LowerDirectory::new(Vec::new());
        let below = match below {
            Lower::Directory(below) if is_opaque(&inode)? => {
                deleted_below(upper, &name, &below, &path, changes)?;
                nothing
            }
            Lower::Directory(below) => below,
            Lower::Nothing | Lower::File => nothing,
        };
        compare(&inode.directory()?, &below, mount_points, changes)?;
    }
    Ok(())
}

/// An opaque directory hides all that was in it: what isn't made anew is deleted.
fn deleted_below(
    upper: &Directory,
    name: &[u8],
    below: &LowerDirectory,
    path: &ImagePath,
    changes: &mut Vec<(ImagePath, ChangeKind)>,
) -> Result<()> {
    let Some(directory) = upper.subdirectory(name)? else {
        return Ok(());
    };
    for name in below.names()? {
        let is_there = directory.stat(&name)?.is_some();
        if !is_there && !matches!(below.child(&name)?, Lower::Nothing) {
            changes.push((path.join(&name), ChangeKind::Deleted));
        }
    }
    Ok(())
}

/// A tree of its own is compared with what was noted of it when it was unpacked.
fn flat_changes(bundle: &ContainerBundle) -> Result<Vec<(ImagePath, ChangeKind)>> {
    let recorded = RecordedBundle::open(&bundle.path)?;
    let differences = mtree::compare(recorded.manifest()?, &recorded.rootfs()?, &mtree::UMOCI)?;
    let kind = |difference| match difference {
        Difference::Missing => ChangeKind::Deleted,
        Difference::Extra => ChangeKind::Added,
        Difference::Changed { .. } => ChangeKind::Changed,
    };
    let named = differences.into_iter().filter(|(path, _)| !path.is_root());
    Ok(named
        .map(|(path, difference)| (path, kind(difference)))
        .collect())
}

fn open(path: &Path) -> Result<Directory> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(CWD, path, flags, Mode::empty())
        .with_context(|| format!("open layer {}", path.display()))?;
    Ok(Directory::root(directory))
}
