//! Applies layers to a root file system, the lowest first.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::added::Added;
use super::ids::{IdMapping, in_user_namespace};
use super::inode::Inode;
use super::limits::Limits;
use super::metadata::Metadata;
use super::path::ImagePath;
use super::rootfs::{Directory, RootFs};
use super::tar::{Entry, EntryKind, TarReader};
use super::whiteout::Whiteout;
use crate::memory_budget::MemoryShare;
use crate::mtree::FileDigests;
use crate::sys::signal;
use crate::warnings::Warnings;

/// What the caller decides about unpacking. Nothing in it comes from an image.
#[derive(Debug, Clone, Default)]
pub struct ApplyOptions {
    /// Whose the files are on the host.
    pub mapping: IdMapping,
    /// How much an image may make us do.
    pub limits: Limits,
    /// A directory entry on top of a symbolic link to a directory keeps the link.
    pub keep_dirlinks: bool,
    /// Files' digests are taken while they are written, for a manifest of the tree.
    pub take_digests: bool,
    /// The tree is, or goes into, an overlay, whose whiteouts are character devices 0:0: an image's
    /// own such device, which nothing could open anyway, is left out.
    pub for_overlay: bool,
}

/// A root file system while layers are being applied to it.
#[derive(Debug)]
pub struct Applier {
    rootfs: RootFs,
    options: ApplyOptions,
    /// Owner of a file that we make, where that is known to hold everywhere in the tree.
    own: Option<(u32, u32)>,
    /// Device nodes can't be made; empty files stand for them.
    devices_as_files: bool,
    /// Directories that aren't in `directories` have their metadata already: those of layers that
    /// were applied before we began, and those of which we had too many.
    on_top: bool,
    /// How directories are to be at the end. Until then they are mode 0700 and ours, so that
    /// read-only directories can be filled, times survive, group and ACL inheritance can't touch
    /// what we make, and nobody else gets in.
    directories: BTreeMap<ImagePath, Metadata>,
    /// Bytes that they take.
    directories_memory: usize,
    layers: usize,
    /// What the current layer added: its whiteouts leave it alone.
    added: Added,
    /// The memory of what is remembered here beyond the directories that may be.
    remembered: MemoryShare,
    digests: FileDigests,
    warnings: Warnings,
}

/// A tree that layers have been applied to.
#[derive(Debug)]
pub struct Applied {
    /// The tree.
    pub rootfs: RootFs,
    /// Digests of its files, if they were asked for.
    pub digests: FileDigests,
}

impl Applier {
    /// Starts with `root`, an empty directory.
    pub fn new(root: OwnedFd, options: ApplyOptions) -> Result<Self> {
        // Modes are exactly what we ask for; we ask for nothing that others could use.
        rustix::process::umask(Mode::empty());
        rustix::fs::fchmod(&root, Mode::RWXU).context("fchmod rootfs")?;
        let stat = rustix::fs::fstat(&root).context("fstat rootfs")?;
        let caller = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        // A file system that gives new files its own idea of an owner (grpid, NFS squash) shows
        // it on the root.
        let own = ((stat.st_uid, stat.st_gid) == caller).then_some(caller);
        let implied = Metadata::of_implied_directory(&options.mapping)?;
        let directories_memory = memory(&ImagePath::root(), &implied);
        let remembered = options.limits.memory.share();
        Ok(Applier {
            rootfs: RootFs::new(root),
            devices_as_files: options.mapping.rootless || in_user_namespace(),
            options,
            own,
            on_top: false,
            directories: BTreeMap::from([(ImagePath::root(), implied)]),
            directories_memory,
            remembered,
            layers: 0,
            added: Added::default(),
            digests: FileDigests::default(),
            warnings: Warnings::default(),
        })
    }

    /// Starts with the root of a tree that other layers have been applied to and finished: an
    /// overlay over them. Its directories stay as they are wherever the new layers don't say
    /// otherwise.
    pub fn on_top(root: OwnedFd, options: ApplyOptions) -> Result<Self> {
        let tree = RootFs::new(root.try_clone().context("dup rootfs")?);
        let existing = Metadata::of_existing(&Inode::open(tree.root(), b".")?)?;
        let mut applier = Applier::new(root, options)?;
        applier.on_top = true;
        applier.layers = 1;
        let root = applier.rootfs.root().clone();
        inherit_nothing(&root, &existing)?;
        applier.remember_directory(ImagePath::root(), existing);
        Ok(applier)
    }

    /// Applies one layer on top of those before it.
    pub fn apply_layer<R: BufRead>(&mut self, tar: &mut TarReader<R>) -> Result<()> {
        self.added = Added::default();
        self.count_remembered()?;
        while let Some(entry) = tar.next_entry()? {
            signal::check()?;
            self.bound_directories()?;
            match Whiteout::of(&entry.path, &entry.kind)? {
                Some(whiteout) => self.apply_whiteout(&whiteout)?,
                None => self.apply_entry(entry, tar)?,
            }
        }
        self.layers += 1;
        Ok(())
    }

    /// Gives every directory its owner, attributes, mode and times, children before parents.
    pub fn finish(mut self) -> Result<Applied> {
        let directories = std::mem::take(&mut self.directories);
        self.set_on_directories(&directories)?;
        self.warnings.summarize();
        Ok(Applied {
            rootfs: self.rootfs,
            digests: self.digests,
        })
    }

    fn set_on_directories(&mut self, directories: &BTreeMap<ImagePath, Metadata>) -> Result<()> {
        // A directory of the layers below may be anybody's.
        let own = self.own.filter(|_| !self.on_top);
        self.rootfs.forget();
        for (path, metadata) in directories.iter().rev() {
            let directory = self
                .rootfs
                .directory(path)?
                .with_context(|| format!("directory {path} went away while we unpacked"))?;
            metadata.set(
                directory.readable()?.as_fd(),
                path,
                metadata.owner_unlike(own),
                &mut self.warnings,
            )?;
        }
        self.rootfs.forget();
        Ok(())
    }

    fn apply_entry<R: BufRead>(&mut self, mut entry: Entry, tar: &mut TarReader<R>) -> Result<()> {
        let metadata = Metadata::of(&mut entry, &self.options.mapping, &mut self.warnings)
            .with_context(|| format!("{}", entry.path))?;
        let Some((parent, name)) = entry.path.split_last() else {
            // CVE-2021-29136: an entry for the root that is a link sends later layers elsewhere.
            if entry.kind != EntryKind::Directory {
                bail!("the archive makes the root directory something else than a directory");
            }
            let root = self.rootfs.root().clone();
            self.clear_attributes(&root)?;
            self.remember_directory(ImagePath::root(), metadata);
            return Ok(());
        };
        let parent = self.parent(&parent)?;
        let path = parent.path().join(name);
        match &entry.kind {
            EntryKind::Directory => self.make_directory(&parent, name, &path, metadata)?,
            EntryKind::File => self.make_file(&parent, name, &path, &metadata, tar)?,
            EntryKind::HardLink(old) => self.make_hard_link(&parent, name, &path, old)?,
            EntryKind::Symlink(target) => {
                self.replacing(&parent, name, &path, || parent.make_symlink(name, target))?;
                self.set_on_special(&parent, name, &path, &metadata, true)?;
            }
            EntryKind::Fifo => {
                self.make_node(&parent, name, &path, &metadata, FileType::Fifo, (0, 0))?;
            }
            EntryKind::CharDevice(major, minor) => {
                self.make_device(
                    &parent,
                    name,
                    &path,
                    &metadata,
                    FileType::CharacterDevice,
                    (*major, *minor),
                )?;
            }
            EntryKind::BlockDevice(major, minor) => {
                self.make_device(
                    &parent,
                    name,
                    &path,
                    &metadata,
                    FileType::BlockDevice,
                    (*major, *minor),
                )?;
            }
        }
        self.note_added(&path)
    }

    /// The directory to work in, made if no entry made it.
    fn parent(&mut self, path: &ImagePath) -> Result<Rc<Directory>> {
        self.note_nearest(path)?;
        let reached = self.rootfs.make_directories(path)?;
        for made in reached.made {
            self.forget_below(&made);
            self.note_new_directory(&made)?;
            let implied = Metadata::of_implied_directory(&self.options.mapping)?;
            self.remember_directory(made, implied);
        }
        Ok(reached.directory)
    }

    fn make_directory(
        &mut self,
        parent: &Directory,
        name: &[u8],
        path: &ImagePath,
        metadata: Metadata,
    ) -> Result<()> {
        if let Err(errno) = parent.make_directory(name) {
            if errno != Errno::EXIST {
                return Err(errno).with_context(|| format!("mkdirat {path}"));
            }
            let there = parent
                .stat(name)?
                .map(|stat| FileType::from_raw_mode(stat.st_mode));
            if there == Some(FileType::Symlink) && self.options.keep_dirlinks {
                let link = parent.path().join(name);
                if self.rootfs.directory(&link)?.is_some() {
                    return self.set_on_special(parent, name, path, &metadata, true);
                }
            }
            if there != Some(FileType::Directory) {
                self.replacing(parent, name, path, || parent.make_directory(name))?;
                self.note_new_directory(path)?;
            } else if self.on_top
                && let Some(directory) = parent.subdirectory(name)?
            {
                self.note(&directory)?;
                self.clear_attributes(&directory)?;
            }
        } else {
            self.note_new_directory(path)?;
        }
        self.remember_directory(path.clone(), metadata);
        Ok(())
    }

    fn make_file<R: BufRead>(
        &mut self,
        parent: &Directory,
        name: &[u8],
        path: &ImagePath,
        metadata: &Metadata,
        tar: &mut TarReader<R>,
    ) -> Result<()> {
        let owner = metadata.owner_unlike(self.own);
        // Most files are made as they are to be, and only their times are left to set.
        let as_made = owner.is_none() && metadata.xattrs.is_empty() && metadata.mode & 0o7000 == 0;
        let mode = if as_made { metadata.mode } else { 0o600 };
        let mode = Mode::from_raw_mode(mode);
        let fd = self.replacing(parent, name, path, || parent.create_file(name, mode))?;
        let mut file = File::from(fd);
        let mut hasher = self.options.take_digests.then(Sha256::new);
        loop {
            let data = tar.data()?;
            if data.is_empty() {
                break;
            }
            let length = data.len();
            if let Some(hasher) = &mut hasher {
                hasher.update(data);
            }
            file.write_all(data)
                .with_context(|| format!("write {path}"))?;
            tar.consume(length);
            signal::check()?;
        }
        if let Some(hasher) = hasher {
            let stat = rustix::fs::fstat(&file).with_context(|| format!("fstat {path}"))?;
            self.digests.insert(stat.st_ino, hasher.finalize().into());
        }
        if as_made {
            let times = metadata.timestamps();
            rustix::fs::futimens(&file, &times).with_context(|| format!("futimens {path}"))
        } else {
            metadata.set(file.as_fd(), path, owner, &mut self.warnings)
        }
    }

    fn make_hard_link(
        &mut self,
        parent: &Directory,
        name: &[u8],
        path: &ImagePath,
        old: &ImagePath,
    ) -> Result<()> {
        let missing = || format!("hard link {path}: its target {old} is not in the image");
        let (old_parent, old_name) = old
            .split_last()
            .with_context(|| format!("hard link {path}: its target is the root directory"))?;
        let old_directory = self.rootfs.directory(&old_parent)?.with_context(missing)?;
        let there = old_directory.stat(old_name)?.with_context(missing)?;
        if FileType::from_raw_mode(there.st_mode) == FileType::Directory {
            bail!("hard link {path}: its target {old} is a directory");
        }
        if old_directory.path().join(old_name) == *path {
            bail!("hard link {path}: its target is itself");
        }
        self.replacing(parent, name, path, || {
            parent.make_link(name, &old_directory, old_name)
        })
        .with_context(|| format!("hard link to {old}"))
    }

    fn make_device(
        &mut self,
        parent: &Directory,
        name: &[u8],
        path: &ImagePath,
        metadata: &Metadata,
        kind: FileType,
        device: (u32, u32),
    ) -> Result<()> {
        if self.options.for_overlay && kind == FileType::CharacterDevice && device == (0, 0) {
            self.warnings.add("whiteout-device", || {
                format!("{path}: a character device 0:0 means nothing is there in an overlay")
            });
            parent.remove(name)?;
            self.forget_below(path);
            return Ok(());
        }
        if !self.devices_as_files {
            return self.make_node(parent, name, path, metadata, kind, device);
        }
        let (major, minor) = device;
        self.warnings.add("device", || {
            format!("{path}: an empty file in place of device {major}:{minor} (rootless)")
        });
        let mode = Mode::RUSR | Mode::WUSR;
        let fd = self.replacing(parent, name, path, || parent.create_file(name, mode))?;
        // A file that a whiteout removed may have had this inode.
        let stat = rustix::fs::fstat(&fd).with_context(|| format!("fstat {path}"))?;
        self.digests.forget(stat.st_ino);
        metadata.set(
            fd.as_fd(),
            path,
            metadata.owner_unlike(self.own),
            &mut self.warnings,
        )
    }

    fn make_node(
        &mut self,
        parent: &Directory,
        name: &[u8],
        path: &ImagePath,
        metadata: &Metadata,
        kind: FileType,
        (major, minor): (u32, u32),
    ) -> Result<()> {
        let device = rustix::fs::makedev(major, minor);
        self.replacing(parent, name, path, || parent.make_node(name, kind, device))?;
        self.set_on_special(parent, name, path, metadata, false)
    }

    fn set_on_special(
        &mut self,
        parent: &Directory,
        name: &[u8],
        path: &ImagePath,
        metadata: &Metadata,
        is_symlink: bool,
    ) -> Result<()> {
        let node = parent
            .open(name, OFlags::PATH, Mode::empty())
            .with_context(|| format!("openat {path}"))?;
        let owner = metadata.owner_unlike(self.own);
        metadata.set_on_special(node.as_fd(), path, owner, is_symlink, &mut self.warnings)
    }

    /// Makes `name`, and if something is there already, removes that with all below it first.
    fn replacing<T>(
        &mut self,
        parent: &Directory,
        name: &[u8],
        path: &ImagePath,
        make: impl Fn() -> rustix::io::Result<T>,
    ) -> Result<T> {
        match make() {
            Err(Errno::EXIST) => {
                parent.remove(name)?;
                self.forget_below(path);
                make().with_context(|| format!("make {path} in place of what was there"))
            }
            result => result.with_context(|| format!("make {path}")),
        }
    }

    fn apply_whiteout(&mut self, whiteout: &Whiteout) -> Result<()> {
        if self.layers == 0 {
            // Whiteouts are about lower layers only.
            return Ok(());
        }
        let (Whiteout::Name { directory, .. } | Whiteout::Opaque { directory }) = whiteout;
        let Some(directory) = self.rootfs.directory(directory)? else {
            return Ok(());
        };
        if self.added.is_below_new(directory.path()) {
            return Ok(());
        }
        self.note(&directory)?;
        match whiteout {
            Whiteout::Name { name, .. } => self.hide(&directory, name),
            Whiteout::Opaque { .. } => self.hide_all(&directory),
        }
    }

    fn hide_all(&mut self, directory: &Directory) -> Result<()> {
        for name in directory.names()? {
            let name = name?;
            self.bound_directories()?;
            self.note(directory)?;
            self.hide(directory, &name)?;
        }
        Ok(())
    }

    /// Removes what lower layers have at `name`, wherever the current layer added nothing.
    fn hide(&mut self, parent: &Directory, name: &[u8]) -> Result<()> {
        let path = parent.path().join(name);
        if self.added.is_below_new(&path) {
            return Ok(());
        }
        if !self.added.contains(&path) {
            parent.remove(name)?;
            self.forget_below(&path);
            return Ok(());
        }
        match parent.subdirectory(name)? {
            Some(directory) => self.hide_all(&directory),
            None => Ok(()),
        }
    }

    /// Notes what the directory looks like in which the way to `path` begins to be new.
    fn note_nearest(&mut self, path: &ImagePath) -> Result<()> {
        if !self.on_top {
            return Ok(());
        }
        let mut next = Some(path.clone());
        while let Some(path) = next {
            if let Some(directory) = self.rootfs.directory(&path)? {
                return self.note(&directory);
            }
            next = path.split_last().map(|(parent, _)| parent);
        }
        Ok(())
    }

    /// Notes what a directory looks like that has its metadata, to give it back at the end: what is
    /// done in it changes its times. Meanwhile it passes nothing on to what is made in it.
    fn note(&mut self, directory: &Directory) -> Result<()> {
        let path = directory.path();
        if !self.on_top || self.directories.contains_key(path) {
            return Ok(());
        }
        let existing = Metadata::of_existing(&Inode::open(directory, b".")?)?;
        inherit_nothing(directory, &existing)?;
        self.remember_directory(path.clone(), existing);
        Ok(())
    }

    /// Takes the attributes of a directory of the layers below away: an entry for it says all that
    /// it is to have.
    fn clear_attributes(&mut self, directory: &Directory) -> Result<()> {
        if !self.on_top {
            return Ok(());
        }
        let path = directory.path();
        let existing = Metadata::of_existing(&Inode::open(directory, b".")?)?;
        let file = directory.readable()?;
        for (name, _) in existing.xattrs {
            rustix::fs::fremovexattr(&file, &name[..])
                .with_context(|| format!("fremovexattr {path} {}", name.escape_ascii()))?;
        }
        Ok(())
    }

    /// Drops what was known about a path that is gone.
    fn forget_below(&mut self, path: &ImagePath) {
        self.rootfs.forget();
        if let Some(metadata) = self.directories.remove(path) {
            self.directories_memory -= memory(path, &metadata);
        }
        // What is below begins with the path and a slash, so all of it is side by side, and
        // nothing else between: "a-b" sorts before "a/b", "a0" behind.
        let (first, end) = (path.join(b""), [path.as_bytes(), b"0"].concat());
        while let Some((below, _)) = self.directories.range(first.clone()..).next()
            && (path.is_root() || below.as_bytes() < &end[..])
        {
            let below = below.clone();
            if let Some(metadata) = self.directories.remove(&below) {
                self.directories_memory -= memory(&below, &metadata);
            }
        }
    }

    fn remember_directory(&mut self, path: ImagePath, metadata: Metadata) {
        let added = memory(&path, &metadata);
        if let Some(old) = self.directories.insert(path.clone(), metadata) {
            self.directories_memory -= memory(&path, &old);
        }
        self.directories_memory += added;
    }

    /// Gives directories their metadata now, if there are too many, to have the memory back. Whoever
    /// comes to one of them again notes it anew, as if a layer below had it, so none may be in use. The
    /// root stays closed to others, and what a caller without root's rights couldn't enter again stays
    /// open to him.
    fn bound_directories(&mut self) -> Result<()> {
        if self.directories_memory <= self.options.limits.directories {
            return Ok(());
        }
        let is_root = rustix::process::geteuid().is_root();
        let all = std::mem::take(&mut self.directories);
        let (kept, finished) = all.into_iter().partition(|(path, metadata)| {
            path.is_root() || !is_root && metadata.mode & 0o700 != 0o700
        });
        self.directories = kept;
        self.set_on_directories(&finished)?;
        self.on_top = true;
        self.directories_memory = self
            .directories
            .iter()
            .map(|(path, metadata)| memory(path, metadata))
            .sum();
        self.count_remembered()
            .context("the image has too many directories that their owner can't enter")
    }

    fn note_new_directory(&mut self, path: &ImagePath) -> Result<()> {
        if self.layers > 0 {
            self.added.insert_new_directory(path);
        }
        self.count_added()
    }

    fn note_added(&mut self, path: &ImagePath) -> Result<()> {
        if self.layers > 0 {
            self.added.insert(path);
        }
        self.count_added()
    }

    fn count_added(&mut self) -> Result<()> {
        self.count_remembered()
            .context("the layer has too many files in directories of the layers below it")
    }

    fn count_remembered(&mut self) -> Result<()> {
        let allowed = self.options.limits.directories;
        let directories = self.directories_memory.saturating_sub(allowed);
        Ok(self.remembered.hold(self.added.memory() + directories)?)
    }
}

/// Keeps a directory from passing its group (inode(7), `S_ISGID`) or its default ACL (acl(5)) on to
/// what is made in it.
fn inherit_nothing(directory: &Directory, existing: &Metadata) -> Result<()> {
    const DEFAULT_ACL: &[u8] = b"system.posix_acl_default";
    let path = directory.path();
    if existing.mode & 0o2000 != 0 {
        let file = directory.readable()?;
        rustix::fs::fchmod(file, Mode::RWXU).with_context(|| format!("fchmod {path}"))?;
    }
    if existing.xattrs.iter().any(|(name, _)| name == DEFAULT_ACL) {
        let file = directory.readable()?;
        rustix::fs::fremovexattr(file, DEFAULT_ACL)
            .with_context(|| format!("fremovexattr {path}"))?;
    }
    Ok(())
}

/// Roughly the bytes that a directory's entry takes.
fn memory(path: &ImagePath, metadata: &Metadata) -> usize {
    let xattrs: usize = metadata
        .xattrs
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    // Half of a B-tree's room may be free, and a block of the heap costs some bytes itself.
    2 * size_of::<(ImagePath, Metadata)>() + 32 + path.as_bytes().len() + xattrs
}
