//! The root file system being made, reached only through descriptors that we hold.
//!
//! No function here takes a host path. Names that an image gives are walked from the root's
//! descriptor with `openat2` (`RESOLVE_IN_ROOT`, no magic links, openat2(2), Linux 5.6); symbolic
//! links on the way are expanded by us, inside the root; the last component is never followed.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use rustix::fs::{
    AtFlags, Dir, DirEntry, FileType, Mode, OFlags, RawDir, RenameFlags, ResolveFlags, SeekFrom,
    Stat,
};
use rustix::io::Errno;

use super::listing::Listing;
use super::path::{DEEPEST_PATH, ImagePath};

/// The kernel's own limit on links in one path (`MAXSYMLINKS`, linux/namei.h).
const MOST_LINKS: usize = 40;

/// Directories are ours alone until everything is in place; then they get the image's mode.
const PRIVATE: Mode = Mode::RWXU;

/// A root file system.
#[derive(Debug)]
pub struct RootFs {
    root: Rc<Directory>,
    /// The directory reached last and the path that led to it: archives go directory by
    /// directory, so most entries need no walk.
    last: Option<(ImagePath, Rc<Directory>)>,
}

/// What to do about a component that isn't there, or that isn't a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Stop,
    Create,
}

/// A directory that a walk reached.
#[derive(Debug)]
pub struct Reached {
    /// The directory.
    pub directory: Rc<Directory>,
    /// Directories that had to be made on the way (or that replaced something else).
    pub made: Vec<ImagePath>,
}

impl RootFs {
    /// A root file system whose root is `root`, any descriptor of a directory.
    pub fn new(root: OwnedFd) -> Self {
        let root = Rc::new(Directory {
            path: ImagePath::root(),
            fd: root,
        });
        RootFs { root, last: None }
    }

    /// The root directory itself.
    pub fn root(&self) -> &Rc<Directory> {
        &self.root
    }

    /// The directory that `path` names, links followed within the root; nothing if there is none,
    /// or links lead in a circle.
    pub fn directory(&mut self, path: &ImagePath) -> Result<Option<Rc<Directory>>> {
        Ok(self
            .walk(path, Missing::Stop)?
            .map(|reached| reached.directory))
    }

    /// The directory that `path` names; what is missing is made, and what is in the way of a
    /// directory is removed (an upper layer's directory hides a lower layer's file).
    pub fn make_directories(&mut self, path: &ImagePath) -> Result<Reached> {
        self.walk(path, Missing::Create)?
            .with_context(|| format!("can't make directory {path}"))
    }

    /// A regular file for reading, links followed within the root; nothing if there is none.
    pub fn open_file(&self, path: &ImagePath) -> Result<Option<File>> {
        // Never wait for a FIFO's writer, never make a terminal ours.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let name = path.as_bytes();
        let file = match rustix::fs::openat2(&self.root.fd, name, flags, Mode::empty(), resolve) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => return Err(errno).with_context(|| format!("openat2 {path} in the root")),
        };
        let kind = file
            .metadata()
            .with_context(|| format!("fstat {path}"))?
            .file_type();
        if !kind.is_file() {
            bail!("{path} in the image is not a regular file");
        }
        Ok(Some(file))
    }

    /// Forgets the directory reached last: what its path means may have changed.
    pub fn forget(&mut self) {
        self.last = None;
    }

    fn walk(&mut self, path: &ImagePath, missing: Missing) -> Result<Option<Reached>> {
        if path.is_root() {
            return Ok(Some(Reached {
                directory: self.root.clone(),
                made: Vec::new(),
            }));
        }
        if let Some((last, directory)) = &self.last
            && last == path
        {
            return Ok(Some(Reached {
                directory: directory.clone(),
                made: Vec::new(),
            }));
        }
        let reached = match open_directory(self.root.fd.as_fd(), path.as_bytes()) {
            Ok(fd) => {
                let directory = Rc::new(Directory {
                    path: path.clone(),
                    fd,
                });
                Reached {
                    directory,
                    made: Vec::new(),
                }
            }
            Err(Errno::LOOP | Errno::NOTDIR | Errno::NOENT) => {
                match self.step_by_step(path, missing)? {
                    Some(reached) => reached,
                    None => return Ok(None),
                }
            }
            Err(errno) => return Err(errno).with_context(|| format!("openat2 {path} in the root")),
        };
        self.last = Some((path.clone(), reached.directory.clone()));
        Ok(Some(reached))
    }

    /// Walks one component at a time, expanding links inside the root, so that the directory's
    /// real path is known: whiteouts and metadata go by it.
    fn step_by_step(&self, path: &ImagePath, missing: Missing) -> Result<Option<Reached>> {
        let mut to_go: VecDeque<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
        let mut way: Vec<Rc<Directory>> = vec![self.root.clone()];
        let mut made = Vec::new();
        let mut links = 0;
        while let Some(name) = to_go.pop_front() {
            let Some(here) = way.last().cloned() else {
                bail!("walked out of the root")
            };
            match name.as_slice() {
                b"" | b"." => continue,
                // The root's parent is the root, chroot(2).
                b".." => {
                    if way.len() > 1 {
                        way.pop();
                    }
                    continue;
                }
                _ => {}
            }
            let below = match here.enter(&name) {
                Ok(below) => below,
                Err(Errno::LOOP | Errno::NOTDIR) => match here.read_link(&name)? {
                    Some(target) => {
                        links += 1;
                        if links > MOST_LINKS && missing == Missing::Stop {
                            return Ok(None);
                        }
                        if links > MOST_LINKS {
                            bail!("too many symbolic links on the way to {path}");
                        }
                        if target.starts_with(b"/") {
                            way.truncate(1);
                        }
                        for component in target.split(|&byte| byte == b'/').rev() {
                            to_go.push_front(component.to_vec());
                        }
                        continue;
                    }
                    None if missing == Missing::Stop => return Ok(None),
                    None => {
                        here.remove(&name)?;
                        here.make_and_enter(&name, &mut made)?
                    }
                },
                Err(Errno::NOENT) if missing == Missing::Stop => return Ok(None),
                Err(Errno::NOENT) => here.make_and_enter(&name, &mut made)?,
                Err(errno) => {
                    return Err(errno)
                        .with_context(|| format!("openat2 {}", here.path.join(&name)));
                }
            };
            if way.len() > DEEPEST_PATH {
                bail!("{path} is more than {DEEPEST_PATH} directories deep");
            }
            way.push(Rc::new(below));
        }
        Ok(way.pop().map(|directory| Reached { directory, made }))
    }
}

/// Opens a directory for walking on; a symbolic link anywhere in `name` is `ELOOP`.
fn open_directory(at: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    open_directory_resolved(at, name, OFlags::PATH, ResolveFlags::empty())
}

fn open_directory_resolved(
    at: BorrowedFd<'_>,
    name: &[u8],
    access: OFlags,
    further: ResolveFlags,
) -> rustix::io::Result<OwnedFd> {
    let flags = access | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
    let resolve = resolve | further;
    // EAGAIN: a rename or mount elsewhere raced with a `..` check (openat2(2)); bounded, because
    // somebody may be renaming in a loop on purpose.
    for _ in 0..64 {
        match rustix::fs::openat2(at, name, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => {}
            result => return result,
        }
    }
    Err(Errno::AGAIN)
}

/// Bytes of names that are read before they are removed, in each directory on the way down.
const REMOVED_AT_ONCE: usize = 8 << 10;

/// A directory that we hold. Every name that its methods take is a single component.
#[derive(Debug)]
pub struct Directory {
    path: ImagePath,
    fd: OwnedFd,
}

impl Directory {
    /// A directory of the host, as the root of what is below it.
    pub fn root(fd: OwnedFd) -> Self {
        Directory::of(ImagePath::root(), fd)
    }

    /// The directory that `fd` is, at `path`.
    pub(super) fn of(path: ImagePath, fd: OwnedFd) -> Self {
        Directory { path, fd }
    }

    /// Where it is: a path without symbolic links.
    pub fn path(&self) -> &ImagePath {
        &self.path
    }

    /// The descriptor: `O_PATH`, so good for `*at` calls only.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The same directory, opened for reading it and changing its metadata.
    pub fn readable(&self) -> Result<OwnedFd> {
        self.open(b".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
            .with_context(|| format!("openat {}", self.path))
    }

    /// What `name` is, links not followed; nothing if it isn't there.
    pub fn stat(&self, name: &[u8]) -> Result<Option<Stat>> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno).with_context(|| format!("fstatat {}", self.path.join(name))),
        }
    }

    /// Opens `name` itself, never what it links to.
    pub fn open(&self, name: &[u8], flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        rustix::fs::openat(
            &self.fd,
            name,
            flags | OFlags::NOFOLLOW | OFlags::CLOEXEC,
            mode,
        )
    }

    /// Makes the regular file `name`, which must not be there.
    pub fn create_file(&self, name: &[u8], mode: Mode) -> rustix::io::Result<OwnedFd> {
        self.open(name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, mode)
    }

    /// Makes the directory `name`, which must not be there.
    pub fn make_directory(&self, name: &[u8]) -> rustix::io::Result<()> {
        rustix::fs::mkdirat(&self.fd, name, PRIVATE)
    }

    /// Makes the symbolic link `name`, which must not be there.
    pub fn make_symlink(&self, name: &[u8], target: &[u8]) -> rustix::io::Result<()> {
        rustix::fs::symlinkat(target, &self.fd, name)
    }

    /// Makes a FIFO or device node.
    pub fn make_node(&self, name: &[u8], kind: FileType, device: u64) -> rustix::io::Result<()> {
        rustix::fs::mknodat(&self.fd, name, kind, Mode::RUSR | Mode::WUSR, device)
    }

    /// Makes `name` a further name of `old_name` in `old`, itself even if that is a symbolic link.
    pub fn make_link(
        &self,
        name: &[u8],
        old: &Directory,
        old_name: &[u8],
    ) -> rustix::io::Result<()> {
        rustix::fs::linkat(&old.fd, old_name, &self.fd, name, AtFlags::empty())
    }

    /// The names in this directory, sorted.
    pub fn names(&self) -> Result<Listing> {
        Listing::of([self])
    }

    /// Whether nothing is in this directory.
    pub fn is_empty(&self) -> Result<bool> {
        let mut entries = self.read()?;
        let other = entries.find(|entry| match entry {
            Ok(entry) => !matches!(entry.file_name().to_bytes(), b"." | b".."),
            Err(_) => true,
        });
        let other = other.transpose();
        Ok(other.with_context(|| self.unreadable())?.is_none())
    }

    /// Calls `take` with each name, in the file system's order. What is made or removed meanwhile may be
    /// among them or not (readdir(3p)).
    pub(super) fn each_entry(&self, mut take: impl FnMut(&DirEntry) -> Result<()>) -> Result<()> {
        for entry in self.read()? {
            let entry = entry.with_context(|| self.unreadable())?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                take(&entry)?;
            }
        }
        Ok(())
    }

    fn read(&self) -> Result<Dir> {
        Dir::new(self.readable()?).with_context(|| self.unreadable())
    }

    fn unreadable(&self) -> String {
        format!("getdents {}", self.path)
    }

    /// The directory `name`, if it is one.
    pub fn subdirectory(&self, name: &[u8]) -> Result<Option<Directory>> {
        match self.enter(name) {
            Ok(directory) => Ok(Some(directory)),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(errno) => Err(errno).with_context(|| format!("openat2 {}", self.path.join(name))),
        }
    }

    /// Removes `name` with everything below it, however deep a container made that. It is fine if it
    /// isn't there. What somebody mounted below it is not ours to remove: that is an error.
    pub fn remove(&self, name: &[u8]) -> Result<()> {
        if self.unlink(name)? {
            return Ok(());
        }
        if let Some(top) = self.enter_to_remove(name)? {
            top.remove_contents(1, &top)?;
        }
        self.remove_empty(name)
    }

    /// Removes all that is in this directory, which [`Directory::enter_to_remove`] gave. It is `depth - 1`
    /// directories below `top`. What lies too deep for a descriptor a level is moved to `top`, and goes
    /// when that is looked through again.
    fn remove_contents(&self, depth: usize, top: &Directory) -> Result<()> {
        // No list of names is made: an image decides how many there are, and the disk may be full.
        let mut buffer = Vec::with_capacity(REMOVED_AT_ONCE);
        let mut is_empty = false;
        while !is_empty {
            is_empty = true;
            rustix::fs::seek(&self.fd, SeekFrom::Start(0)).with_context(|| self.unreadable())?;
            let mut entries = RawDir::new(&self.fd, buffer.spare_capacity_mut());
            while let Some(entry) = entries.next() {
                let entry = entry.with_context(|| self.unreadable())?;
                let name = entry.file_name().to_bytes();
                if !matches!(name, b"." | b"..") {
                    is_empty = false;
                    self.remove_below(name, depth, top)?;
                }
            }
        }
        Ok(())
    }

    /// Removes `name`, which is `depth` directories below `top`, from there too.
    fn remove_below(&self, name: &[u8], depth: usize, top: &Directory) -> Result<()> {
        if self.unlink(name)? {
            return Ok(());
        }
        if depth == DEEPEST_PATH {
            return self.bring_up(name, top);
        }
        if let Some(directory) = self.enter_to_remove(name)? {
            directory.remove_contents(depth + 1, top)?;
        }
        self.remove_empty(name)
    }

    /// Moves the directory `name` to `top`, under a name that is free there.
    fn bring_up(&self, name: &[u8], top: &Directory) -> Result<()> {
        let mut number = 0_u64;
        loop {
            let free = format!(".deep-{number}");
            let flags = RenameFlags::NOREPLACE;
            match rustix::fs::renameat_with(&self.fd, name, &top.fd, &*free, flags) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                Err(Errno::EXIST) => number += 1,
                Err(errno) => {
                    return Err(errno)
                        .with_context(|| format!("renameat2 {}", self.path.join(name)));
                }
            }
        }
    }

    /// Removes what is no directory; says whether `name` is gone.
    fn unlink(&self, name: &[u8]) -> Result<bool> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            // unlink(2) of a directory: EISDIR on Linux, EPERM in POSIX.
            Err(Errno::ISDIR | Errno::PERM) => Ok(false),
            Err(errno) => Err(errno).with_context(|| format!("unlinkat {}", self.path.join(name))),
        }
    }

    fn remove_empty(&self, name: &[u8]) -> Result<()> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno).with_context(|| format!("unlinkat {}", self.path.join(name))),
        }
    }

    /// The directory `name`, if it is one, and one of this very mount: opened to be read.
    fn enter_to_remove(&self, name: &[u8]) -> Result<Option<Directory>> {
        let path = self.path.join(name);
        match open_directory_resolved(self.fd.as_fd(), name, OFlags::RDONLY, ResolveFlags::NO_XDEV)
        {
            Ok(fd) => Ok(Some(Directory { path, fd })),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(Errno::XDEV) => bail!("something is mounted on {path}: unmount it first"),
            Err(errno) => Err(errno).with_context(|| format!("openat2 {path}")),
        }
    }

    fn enter(&self, name: &[u8]) -> rustix::io::Result<Directory> {
        let fd = open_directory(self.fd.as_fd(), name)?;
        Ok(Directory {
            path: self.path.join(name),
            fd,
        })
    }

    fn make_and_enter(&self, name: &[u8], made: &mut Vec<ImagePath>) -> Result<Directory> {
        let path = self.path.join(name);
        self.make_directory(name)
            .with_context(|| format!("mkdirat {path}"))?;
        let directory = self
            .enter(name)
            .with_context(|| format!("openat2 {path}"))?;
        made.push(path);
        Ok(directory)
    }

    /// The target of the link `name`; nothing if it is something else.
    fn read_link(&self, name: &[u8]) -> Result<Option<Vec<u8>>> {
        match rustix::fs::readlinkat(&self.fd, name, Vec::new()) {
            Ok(target) => Ok(Some(target.into_bytes())),
            Err(Errno::INVAL) => Ok(None),
            Err(errno) => {
                Err(errno).with_context(|| format!("readlinkat {}", self.path.join(name)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn rootfs(path: &std::path::Path) -> RootFs {
        RootFs::new(File::open(path).unwrap().into())
    }

    fn image_path(name: &str) -> ImagePath {
        ImagePath::parse(name.as_bytes()).unwrap()
    }

    #[test]
    fn links_stay_in_the_root() {
        let outside = tempfile::tempdir().unwrap();
        let inside = tempfile::tempdir().unwrap();
        symlink(outside.path(), inside.path().join("absolute")).unwrap();
        symlink("../../../../../../../../..", inside.path().join("up")).unwrap();
        symlink("loop", inside.path().join("loop")).unwrap();
        let mut rootfs = rootfs(inside.path());

        let reached = rootfs
            .make_directories(&image_path("absolute/new"))
            .unwrap();
        assert!(!outside.path().join("new").exists());
        let expected = outside.path().to_str().unwrap().to_owned() + "/new";
        assert_eq!(reached.directory.path().to_string(), expected);
        assert!(
            inside
                .path()
                .join(expected.trim_start_matches('/'))
                .is_dir()
        );

        let up = rootfs.directory(&image_path("up")).unwrap().unwrap();
        assert!(up.path().is_root());
        assert!(rootfs.directory(&image_path("loop/x")).unwrap().is_none());
        assert!(rootfs.make_directories(&image_path("loop/x")).is_err());
        assert!(
            rootfs
                .directory(&image_path("missing/x"))
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn what_is_in_the_way_of_a_directory_goes() {
        let inside = tempfile::tempdir().unwrap();
        std::fs::write(inside.path().join("a"), "file").unwrap();
        let mut rootfs = rootfs(inside.path());
        assert!(rootfs.directory(&image_path("a/b")).unwrap().is_none());
        let reached = rootfs.make_directories(&image_path("a/b")).unwrap();
        assert_eq!(reached.made, [image_path("a"), image_path("a/b")]);
        assert!(inside.path().join("a/b").is_dir());
    }

    #[test]
    fn removal_goes_however_deep_a_tree_is() {
        let inside = tempfile::tempdir().unwrap();
        let directory = Directory::root(File::open(inside.path()).unwrap().into());
        directory.make_directory(b"tree").unwrap();
        let mut deepest = directory.subdirectory(b"tree").unwrap().unwrap();
        // More than there may be descriptors, and names like those of what comes up.
        for _ in 0..3000 {
            deepest.make_directory(b".deep-0").unwrap();
            deepest.create_file(b".deep-1", Mode::RUSR).unwrap();
            deepest = deepest.subdirectory(b".deep-0").unwrap().unwrap();
        }
        let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let few = rustix::process::Rlimit {
            current: Some(512),
            ..limits
        };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, few).unwrap();
        let removed = directory.remove(b"tree");
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limits).unwrap();
        removed.unwrap();
        assert!(!inside.path().join("tree").exists());
    }

    #[test]
    fn removal_does_not_follow() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("canary"), "").unwrap();
        let inside = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(inside.path().join("tree/deep")).unwrap();
        symlink(outside.path(), inside.path().join("tree/deep/link")).unwrap();
        let rootfs = rootfs(inside.path());
        rootfs.root().remove(b"tree").unwrap();
        assert!(!inside.path().join("tree").exists());
        assert!(outside.path().join("canary").exists());
    }
}
