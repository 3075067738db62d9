//! The container's root file system, reached only through a descriptor.
//!
//! Nothing in here takes a path of the container as a path of the host: [`RootFd`] resolves it
//! with openat2(2) and `RESOLVE_IN_ROOT`, so that no symbolic link, no `..` and nobody who swaps
//! directories meanwhile can lead out of the rootfs, and everything that follows works on the
//! descriptor that came out (design rule 2; docs/decisions/descriptors-only.md).

pub mod bind;
pub mod cgroups;
pub mod console;
pub mod copy_up;
pub mod device;
mod guard;
pub mod mask;
pub mod mount;
pub mod move_root;
pub mod pivot;
pub mod unmount;

use std::cell::RefCell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags, openat, openat2,
};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use crate::error::{CallContext, Error, ErrorContext, Result};
use crate::plan::OwnMount;
use crate::sys::exec::leave_to_exec;
use bind::FromRuntime;

/// The root of the container's file system.
#[derive(Debug)]
pub struct RootFd {
    fd: OwnedFd,
    /// The directory in which the last mount point was made, with its path: the next is often made
    /// beside it. Forgotten as soon as a path is resolved that may lead to it or above, as something
    /// may then be mounted over it.
    made_in: RefCell<Option<(String, OwnedFd)>>,
    /// The path on which an empty file system has been mounted: nothing has to be looked for there.
    empty: RefCell<Option<String>>,
}

/// What a mount point has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A directory.
    Directory,
    /// Anything else: a file is made if nothing is there.
    File,
}

/// Whether a path in which no link is followed leads neither to `known` nor to what is above it.
fn is_elsewhere(path: &str, known: &str) -> bool {
    let parts = || path.split('/').filter(|part| !part.is_empty());
    let goes_straight = parts().all(|part| part != "." && part != "..");
    let mut above = known.split('/').filter(|part| !part.is_empty());
    goes_straight && parts().any(|part| above.next() != Some(part))
}

/// As many links as the kernel follows in one path (path_resolution(7)).
const MOST_LINKS: usize = 40;
/// No path has more directories than `PATH_MAX` has room for (path_resolution(7)).
const DEEPEST: usize = 4096 / 2;

impl RootFd {
    /// Takes the directory `path` of the host as the rootfs, and makes it a mount of its own if it
    /// is to be one. What is mounted in a shared mount appears on the host too: where the mount
    /// that holds the rootfs may be shared, it is made private in this namespace first, and the
    /// copy of it that becomes the root is private with it. `from_runtime` opens it where the root
    /// of a user namespace may not go.
    ///
    /// # Errors
    /// With the path, when it is not there or not a directory.
    pub fn open(
        path: &str,
        own_mount: OwnMount,
        from_runtime: &mut FromRuntime<'_>,
    ) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = match openat(rustix::fs::CWD, path, flags, Mode::empty()) {
            Err(Errno::ACCESS) => from_runtime().context(|| format!("open rootfs {path}"))?,
            result => result.call(|| format!("open rootfs {path}"))?,
        };
        if own_mount == OwnMount::None {
            return Ok(RootFd::of(directory));
        }
        if own_mount == OwnMount::OnItselfInShared {
            make_holder_private(&directory)
                .context(|| format!("make the mount of {path} private"))?;
        }
        let tree = open_tree(
            &directory,
            "",
            OpenTreeFlags::OPEN_TREE_CLONE
                | OpenTreeFlags::OPEN_TREE_CLOEXEC
                | OpenTreeFlags::AT_RECURSIVE
                | OpenTreeFlags::AT_EMPTY_PATH,
        )
        .call(|| format!("open_tree({path}, OPEN_TREE_CLONE|AT_RECURSIVE)"))?;
        attach(tree.as_fd(), directory.as_fd()).call(|| format!("move_mount(rootfs, {path})"))?;
        leave_to_exec(directory);
        Ok(RootFd::of(tree))
    }

    /// Takes a directory that is a root already, such as a running container's.
    pub fn of(fd: OwnedFd) -> Self {
        RootFd {
            fd,
            made_in: RefCell::new(None),
            empty: RefCell::new(None),
        }
    }

    /// The descriptor of the root itself.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Resolves a path inside the container to an `O_PATH` descriptor.
    ///
    /// # Errors
    /// openat2(2)'s.
    pub fn resolve(&self, path: &str) -> Result<OwnedFd, Errno> {
        self.open_beneath(path, OFlags::PATH, ResolveFlags::empty())
    }

    /// Opens a path inside the container.
    ///
    /// # Errors
    /// openat2(2)'s.
    pub fn open_beneath(
        &self,
        path: &str,
        flags: OFlags,
        resolve: ResolveFlags,
    ) -> Result<OwnedFd, Errno> {
        let may_lead_there =
            |known: &str| resolve != ResolveFlags::NO_SYMLINKS || !is_elsewhere(path, known);
        let forgotten = self
            .made_in
            .borrow_mut()
            .take_if(|(known, _)| may_lead_there(known));
        if let Some((_, directory)) = forgotten {
            leave_to_exec(directory);
        }
        let resolve = resolve | ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        // EAGAIN: a rename or mount elsewhere raced with "..", and the kernel could not tell
        // whether the path stayed inside (openat2(2)); it asks to try again.
        for _ in 0..128 {
            let result = openat2(
                &self.fd,
                path,
                flags | OFlags::CLOEXEC,
                Mode::empty(),
                resolve,
            );
            if !matches!(result, Err(Errno::AGAIN)) {
                return result;
            }
        }
        Err(Errno::AGAIN)
    }

    /// Resolves a mount point, making it, and the directories above it, where nothing is there.
    /// A dangling symbolic link on the way is followed inside the rootfs, and its target made.
    ///
    /// # Errors
    /// With the path and the call that failed; for a path that a link leads into /proc.
    pub fn mount_point(&self, path: &str, wanted: Wanted) -> Result<OwnedFd> {
        self.mount_point_for(path, || Ok(wanted))
    }

    /// The same; `wanted` is asked only when there is something to make.
    ///
    /// # Errors
    /// As [`RootFd::mount_point`], and those of `wanted`.
    pub fn mount_point_for(
        &self,
        path: &str,
        wanted: impl FnOnce() -> Result<Wanted>,
    ) -> Result<OwnedFd> {
        match self.existing_mount_point(path)? {
            Some(target) => Ok(target),
            None => self.make(path, wanted()?),
        }
    }

    /// Resolves a mount point; `None` if nothing is there.
    ///
    /// # Errors
    /// As [`RootFd::mount_point`].
    pub fn existing_mount_point(&self, path: &str) -> Result<Option<OwnedFd>> {
        // A path without links is where it says, which the plan has looked at.
        let found = match self.open_beneath(path, OFlags::PATH, ResolveFlags::NO_SYMLINKS) {
            Err(Errno::LOOP) => self.resolve(path).map(|target| (target, true)),
            result => result.map(|target| (target, false)),
        };
        match found {
            Ok((target, linked)) => {
                if linked {
                    guard::check(self, &target, path)?;
                }
                Ok(Some(target))
            }
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(Error::call(format!("openat2(rootfs, {path:?})"), errno)),
        }
    }

    /// Resolves a directory, making it and those above it where they are missing.
    ///
    /// # Errors
    /// As [`RootFd::mount_point`], and when something else is there.
    pub fn directory(&self, path: &str) -> Result<OwnedFd> {
        let known = self
            .made_in
            .borrow_mut()
            .take_if(|(known, _)| known == path);
        if let Some((_, directory)) = known {
            return Ok(directory);
        }
        match self.open_beneath(
            path,
            OFlags::PATH | OFlags::DIRECTORY,
            ResolveFlags::empty(),
        ) {
            Err(Errno::NOENT) => self.make(path, Wanted::Directory),
            result => result.call(|| format!("openat2(rootfs, {path:?}, O_DIRECTORY)")),
        }
    }

    /// Takes note that a new and empty file system has been mounted at `path`.
    fn mounted_empty(&self, path: &str) {
        self.empty.replace(Some(path.to_owned()));
    }

    /// Makes a directory beside the mount point that was made last, or as the first in an empty file
    /// system; `None` if that was elsewhere, or something of this name is there already.
    fn make_beside(&self, path: &str) -> Option<OwnedFd> {
        let (parent, name) = split(path)?;
        if self
            .empty
            .borrow_mut()
            .take_if(|empty| empty == parent)
            .is_some()
        {
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            let directory = self.open_beneath(parent, flags, ResolveFlags::NO_SYMLINKS);
            self.made_in
                .replace(Some((parent.to_owned(), directory.ok()?)));
        }
        let last = self.made_in.borrow();
        let (_, at) = last.as_ref().filter(|(known, _)| known == parent)?;
        rustix::fs::mkdirat(at, name, Mode::from_raw_mode(0o755)).ok()?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(at, name, flags, Mode::empty()).ok()
    }

    /// As [`RootFd::mount_point`], for a path of which the caller knows that it isn't there.
    fn make(&self, path: &str, wanted: Wanted) -> Result<OwnedFd> {
        let mut pending = path.to_owned();
        for _ in 0..MOST_LINKS {
            match self.make_or_find_link(&pending, wanted)? {
                Made::Is(fd) => return Ok(fd),
                Made::Link(instead) => pending = instead,
            }
        }
        Err(Error::call(
            format!("mkdir {path:?} in the rootfs"),
            Errno::LOOP,
        ))
    }

    /// Makes what is missing of `path`, up to a dangling link, whose replacement path it gives.
    fn make_or_find_link(&self, path: &str, wanted: Wanted) -> Result<Made> {
        let parts: Vec<&str> = path
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
            .collect();
        let (existing, mut at) = self.deepest_existing(&parts, path)?;
        for (index, name) in parts.iter().enumerate().skip(existing) {
            if *name == ".." {
                return Err(Error::new(format!(
                    "{path:?} goes up from a directory that does not exist in the rootfs"
                )));
            }
            let last = index + 1 == parts.len();
            let made = if last && wanted == Wanted::File {
                make_file(&at, name)
            } else {
                make_directory(&at, name)
            };
            match made.call(|| format!("mkdirat(rootfs, {:?})", parts[..=index].join("/")))? {
                Some(next) if last => {
                    let parent = std::mem::replace(&mut at, next);
                    self.made_in
                        .replace(Some((format!("/{}", parts[..index].join("/")), parent)));
                }
                Some(next) => leave_to_exec(std::mem::replace(&mut at, next)),
                None => return follow(&at, &parts, index).map(Made::Link),
            }
        }
        Ok(Made::Is(at))
    }

    /// How many of the parts exist, and the descriptor of the last one that does.
    fn deepest_existing(&self, parts: &[&str], path: &str) -> Result<(usize, OwnedFd)> {
        // The whole path is what the caller has just not found.
        for existing in (0..parts.len().max(1)).rev() {
            let prefix = format!("/{}", parts[..existing].join("/"));
            match self.resolve(&prefix) {
                Err(Errno::NOENT) => {}
                result => {
                    return result
                        .map(|fd| (existing, fd))
                        .call(|| format!("openat2(rootfs, {prefix:?}) for {path:?}"));
                }
            }
        }
        Err(Error::call("openat2(rootfs, \"/\")", Errno::NOENT))
    }
}

/// Makes the mount private that a directory is in: its root is the nearest directory upwards that
/// is the root of a mount.
fn make_holder_private(directory: &OwnedFd) -> Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = openat(directory, ".", flags, Mode::empty()).call(|| "openat(rootfs, \".\")")?;
    for _ in 0..DEEPEST {
        if is_mount_root(&at).call(|| "statx(directory of the rootfs)")? {
            mount::set_propagation(at.as_fd(), libc::MS_PRIVATE)?;
            leave_to_exec(at);
            return Ok(());
        }
        let parent = openat(&at, "..", flags, Mode::empty()).call(|| "openat(rootfs, \"..\")")?;
        leave_to_exec(std::mem::replace(&mut at, parent));
    }
    Err(Error::new("no directory above it is the root of a mount"))
}

/// `STATX_ATTR_MOUNT_ROOT` (statx(2), Linux 5.8).
fn is_mount_root(directory: &OwnedFd) -> Result<bool, Errno> {
    let status = rustix::fs::statx(directory, "", AtFlags::EMPTY_PATH, StatxFlags::empty())?;
    Ok(status.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// The path with its dangling link at `index` replaced by what the link says.
fn follow(at: &OwnedFd, parts: &[&str], index: usize) -> Result<String> {
    let target = rustix::fs::readlinkat(at, parts[index], Vec::new())
        .call(|| format!("readlinkat(rootfs, {:?})", parts[..=index].join("/")))?;
    let target = target.to_string_lossy();
    let rest = parts[index + 1..].join("/");
    Ok(if target.starts_with('/') {
        format!("{target}/{rest}")
    } else {
        format!("/{}/{target}/{rest}", parts[..index].join("/"))
    })
}

enum Made {
    Is(OwnedFd),
    Link(String),
}

/// Makes the directory if need be and opens it; `None` if a symbolic link stands there.
fn make_directory(parent: &OwnedFd, name: &str) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
        Ok(()) => {
            return openat(parent, name, flags | OFlags::DIRECTORY, Mode::empty()).map(Some);
        }
        Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let fd = openat(parent, name, flags, Mode::empty())?;
    match file_type(&fd)? {
        FileType::Directory => Ok(Some(fd)),
        FileType::Symlink => Ok(None),
        _ => Err(Errno::NOTDIR),
    }
}

/// Makes the file if need be and opens it; `None` if a symbolic link stands there.
fn make_file(parent: &OwnedFd, name: &str) -> Result<Option<OwnedFd>, Errno> {
    let regular = FileType::RegularFile;
    match rustix::fs::mknodat(parent, name, regular, Mode::from_raw_mode(0o644), 0) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(parent, name, flags, Mode::empty())?;
    Ok((file_type(&fd)? != FileType::Symlink).then_some(fd))
}

/// The type of what a descriptor stands for.
pub(crate) fn file_type(fd: impl AsFd) -> Result<FileType, Errno> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode))
}

/// Puts a detached mount onto what `target` stands for: no path is looked up again.
pub(crate) fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    move_mount(
        mount,
        "",
        target,
        "",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH,
    )
}

/// A copy of the mount that a descriptor stands in, rooted there.
pub(crate) fn clone_tree(of: BorrowedFd<'_>, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    flags.set(OpenTreeFlags::AT_RECURSIVE, recursive);
    open_tree(of, "", flags)
}

/// Splits a path of the container into its directory and its last name.
pub(crate) fn split(path: &str) -> Option<(&str, &str)> {
    let (directory, name) = path.trim_end_matches('/').rsplit_once('/')?;
    (!name.is_empty() && name != "." && name != "..").then_some((directory, name))
}

/// fstatat(2) without following a link.
pub(crate) fn stat_of(parent: impl AsFd, name: &str) -> Result<rustix::fs::Stat, Errno> {
    rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_elsewhere_is_neither_there_nor_above() {
        for elsewhere in ["/sys", "/sys/fs/cgroup", "/device", "/dev2/", "/a/dev"] {
            assert!(is_elsewhere(elsewhere, "/dev"), "{elsewhere}");
        }
        assert!(is_elsewhere("/run/lock", "/run/user"));
        assert!(!is_elsewhere("/run", "/run/user"));
        for perhaps_not in ["/", "/dev", "//dev/", "/run/../dev", "/./dev", ""] {
            assert!(!is_elsewhere(perhaps_not, "/dev"), "{perhaps_not}");
        }
    }

    fn root() -> (tempfile::TempDir, RootFd) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("rootfs")).unwrap();
        let root = RootFd::open(
            directory.path().join("rootfs").to_str().unwrap(),
            OwnMount::None,
            &mut || Err(Error::call("open", Errno::ACCESS)),
        )
        .unwrap();
        (directory, root)
    }

    #[test]
    fn missing_mount_points_are_made_inside() {
        let (directory, root) = root();
        let fd = root.mount_point("/a/b/../b/c", Wanted::File);
        assert!(fd.is_err(), "`..` below what is missing is refused");
        root.mount_point("/a/b/c", Wanted::File).unwrap();
        assert!(directory.path().join("rootfs/a/b/c").is_file());
        root.mount_point("/a/d/", Wanted::Directory).unwrap();
        assert!(directory.path().join("rootfs/a/d").is_dir());
    }

    #[test]
    fn links_never_lead_out() {
        let (directory, root) = root();
        let rootfs = directory.path().join("rootfs");
        symlink("/outside", rootfs.join("absolute")).unwrap();
        symlink("../../../../outside2", rootfs.join("relative")).unwrap();
        root.mount_point("/absolute/x", Wanted::Directory).unwrap();
        root.mount_point("/relative/x", Wanted::File).unwrap();
        assert!(rootfs.join("outside/x").is_dir());
        assert!(rootfs.join("outside2/x").is_file());
        assert!(!directory.path().join("outside2").exists());
    }

    #[test]
    fn a_loop_of_links_ends() {
        let (directory, root) = root();
        symlink("loop2", directory.path().join("rootfs/loop1")).unwrap();
        symlink("loop1", directory.path().join("rootfs/loop2")).unwrap();
        assert!(root.mount_point("/loop1/x", Wanted::Directory).is_err());
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let (directory, root) = root();
        std::fs::write(directory.path().join("rootfs/file"), "").unwrap();
        let error = root.directory("/file/x").unwrap_err().to_string();
        assert!(error.contains("not a directory"), "{error}");
    }
}
