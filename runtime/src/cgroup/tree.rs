//! Walking a cgroup and all below it.
//!
//! A container that may make cgroups of its own chooses their names and how deep they are nested:
//! the walk goes from descriptor to descriptor, holds one of them at a time, and takes any name.

use std::ffi::{CStr, CString};
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, openat};

use super::files;
use crate::error::{CallContext as _, Result};

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// What is done in each cgroup of a walk.
pub(super) trait Visitor {
    /// On entering a cgroup.
    fn enter(&mut self, cgroup: BorrowedFd<'_>) -> Result<()>;

    /// When all below the cgroup `name` of `parent` have been left, and it is being left. The
    /// outermost cgroup is not left.
    fn leave(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> Result<()>;
}

/// Walks the cgroup at `path` and all below it. Those that are gone are passed over.
pub(super) fn walk(path: &str, visitor: &mut dyn Visitor) -> Result<()> {
    use std::os::fd::AsFd as _;

    let mut here = match files::open(path, DIRECTORY) {
        Err(errno) if files::is_gone(errno) => return Ok(()),
        result => result.call(|| format!("open({path:?}, O_DIRECTORY)"))?,
    };
    let below = |directory: &OwnedFd| match sub_directories(directory) {
        Err(errno) if files::is_gone(errno) => Ok(Vec::new()),
        result => result.call(|| format!("getdents64(below {path:?})")),
    };
    visitor.enter(here.as_fd())?;
    let mut to_do = vec![below(&here)?];
    let mut names: Vec<CString> = Vec::new();
    while let Some(level) = to_do.last_mut() {
        if let Some(name) = level.pop() {
            match openat(&here, &name, DIRECTORY, Mode::empty()) {
                Err(errno) if files::is_gone(errno) => {}
                result => {
                    here = result.call(|| format!("openat(below {path:?}, {name:?})"))?;
                    visitor.enter(here.as_fd())?;
                    to_do.push(below(&here)?);
                    names.push(name);
                }
            }
        } else {
            to_do.pop();
            if let Some(name) = names.pop() {
                here = match openat(&here, c"..", DIRECTORY, Mode::empty()) {
                    // Someone has removed the tree that we stand in.
                    Err(errno) if files::is_gone(errno) => return Ok(()),
                    result => result.call(|| format!("openat(below {path:?}, \"..\")"))?,
                };
                visitor.leave(here.as_fd(), &name)?;
            }
        }
    }
    Ok(())
}

/// The names of the directories in `directory`.
fn sub_directories(directory: &OwnedFd) -> rustix::io::Result<Vec<CString>> {
    let mut names = Vec::new();
    each_sub_directory(directory, |name| {
        names.push(name.to_owned());
        true
    })?;
    Ok(names)
}

/// Tells `more` the name of each directory in `directory`, until it wants no more.
pub(super) fn each_sub_directory(
    directory: &OwnedFd,
    mut more: impl FnMut(&CStr) -> bool,
) -> rustix::io::Result<()> {
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut entries = rustix::fs::RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        let is_below = entry.file_type() == FileType::Directory && name != c"." && name != c"..";
        if is_below && !more(name) {
            break;
        }
    }
    Ok(())
}
