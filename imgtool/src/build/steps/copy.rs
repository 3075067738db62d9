//! Files into the root file system being built.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use rustix::fs::{FileType, Gid, Mode, OFlags, Uid};

use super::permissions::Permissions;
use super::tree::{Found, Tree, Visited};
use crate::build::context::ignore::Ignore;
use crate::layer::inode::Inode;
use crate::layer::metadata::Metadata;
use crate::layer::path::ImagePath;
use crate::layer::rootfs::{Directory, RootFs};
use crate::layer::tar::Timestamp;
use crate::warnings::Warnings;

/// How copies differ from what is copied.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    /// Whose they are; nothing for whose the originals are.
    pub owner: Option<(u32, u32)>,
    /// What becomes of their permissions.
    pub permissions: Option<Permissions>,
    /// When directories that had to be made were made.
    pub now: Timestamp,
}

impl Manner {
    fn mode(&self, mode: u32, is_directory: bool) -> u32 {
        let permissions = self.permissions.as_ref();
        permissions.map_or(mode, |permissions| permissions.of(mode, is_directory))
    }
}

/// Copies into one root file system.
#[derive(Debug)]
pub struct Copier<'a> {
    root: &'a mut RootFs,
    manner: Manner,
    warnings: Warnings,
    /// What directories are to look like when all is in them.
    directories: BTreeMap<ImagePath, Metadata>,
}

impl<'a> Copier<'a> {
    /// Copies into `root`.
    pub fn new(root: &'a mut RootFs, manner: Manner) -> Self {
        Copier {
            root,
            manner,
            warnings: Warnings::default(),
            directories: BTreeMap::new(),
        }
    }

    /// Copies what a source found: a directory's contents into the directory `destination`, a file
    /// into it, or to it where it says a file's name.
    pub fn copy(
        &mut self,
        tree: &Tree,
        found: &Found,
        excludes: &Ignore,
        destination: &Destination,
    ) -> Result<()> {
        let target = self.target(found, destination)?;
        tree.walk_without(found, excludes, &mut |visited| {
            self.add(&target, &visited)
                .with_context(|| format!("copy {}{}", found.path, visited.relative))
        })
    }

    /// Writes a file.
    pub fn write(&mut self, name: &str, content: &[u8], destination: &Destination) -> Result<()> {
        let target = self.file_target(name.as_bytes(), destination)?;
        let metadata = Metadata {
            owner: Some(self.manner.owner.unwrap_or((0, 0))),
            mode: self.manner.mode(0o644, false),
            times: (self.manner.now, self.manner.now),
            xattrs: Vec::new(),
        };
        self.file(&target, &metadata, &mut &content[..])
    }

    /// Writes a file with this metadata, from wherever it comes.
    pub fn write_from(
        &mut self,
        name: &str,
        mut metadata: Metadata,
        content: &mut dyn std::io::Read,
        destination: &Destination,
    ) -> Result<()> {
        let target = self.file_target(name.as_bytes(), destination)?;
        metadata.owner = Some(self.manner.owner.unwrap_or((0, 0)));
        metadata.mode = self.manner.mode(metadata.mode, false);
        self.file(&target, &metadata, content)
    }

    /// Gives directories their metadata, the innermost first.
    pub fn finish(mut self) -> Result<()> {
        for (path, metadata) in std::mem::take(&mut self.directories).into_iter().rev() {
            let directory = self.root.directory(&path)?;
            let directory = directory.with_context(|| format!("{path} went away"))?;
            let file = directory.readable()?;
            let owner = metadata.owner_unlike(None);
            metadata.set(file.as_fd(), &path, owner, &mut self.warnings)?;
        }
        self.warnings.summarize();
        Ok(())
    }

    /// Makes a directory if there is none.
    pub fn directory(&mut self, path: &ImagePath) -> Result<Rc<Directory>> {
        if let Some(directory) = self.root.directory(path)? {
            return Ok(directory);
        }
        let mut nearest = path.clone();
        while let Some((above, name)) = nearest.split_last() {
            if let Some(directory) = self.root.directory(&above)? {
                if directory.stat(name)?.is_some() {
                    bail!("{nearest} is no directory");
                }
                break;
            }
            nearest = above;
        }
        let reached = self.root.make_directories(path)?;
        for made in reached.made {
            let metadata = Metadata {
                owner: Some(self.manner.owner.unwrap_or((0, 0))),
                mode: 0o755,
                times: (self.manner.now, self.manner.now),
                xattrs: Vec::new(),
            };
            self.directories.insert(made, metadata);
        }
        Ok(reached.directory)
    }

    /// Makes a directory that is to look so, if there is none.
    fn make_like(&mut self, path: &ImagePath, metadata: Metadata) -> Result<()> {
        if self.root.directory(path)?.is_none() {
            let directory = self.directory(path)?;
            self.directories.insert(directory.path().clone(), metadata);
        }
        Ok(())
    }

    /// Where the copy of a source itself is to be.
    fn target(&mut self, found: &Found, destination: &Destination) -> Result<Target> {
        let is_directory = found.directory().is_some();
        let mut destination = destination.clone();
        if destination.keeps_parents {
            // As docker/dockerfile has it, the destination is a directory then, slash or not.
            destination.is_directory = true;
            for parent in &found.parents {
                destination.path = destination.path.join(&parent.name);
                let metadata = self.metadata(&parent.inode()?)?;
                self.make_like(&destination.path, metadata)?;
            }
            if is_directory && !found.called.is_empty() {
                destination.path = destination.path.join(&found.called);
                let metadata = self.metadata(&found.inode()?)?;
                self.make_like(&destination.path, metadata)?;
            }
        }
        if is_directory {
            let directory = self.directory(&destination.path)?;
            return Ok(Target::Directory(directory.path().clone()));
        }
        self.file_target(&found.called, &destination)
    }

    fn file_target(&mut self, name: &[u8], destination: &Destination) -> Result<Target> {
        let there = self.root.directory(&destination.path)?;
        let (directory, name) = if destination.is_directory || there.is_some() {
            (self.directory(&destination.path)?, name.to_vec())
        } else {
            let split = destination.path.split_last();
            let (above, name) = split.context("the root is a directory")?;
            (self.directory(&above)?, name.to_vec())
        };
        Ok(Target::File(directory, name))
    }

    fn add(&mut self, target: &Target, visited: &Visited<'_>) -> Result<()> {
        let inode = visited.inode;
        let metadata = self.metadata(inode)?;
        match target {
            Target::File(..) => self.inode(target, inode, metadata),
            // What is in the directory is copied, not the directory.
            Target::Directory(_) if visited.relative.is_root() => Ok(()),
            Target::Directory(path) => {
                let path = below(path, visited.relative);
                let Some((above, name)) = path.split_last() else {
                    return Ok(());
                };
                // As BuildKit has it, one that is there stays as it is.
                if visited.only_on_the_way {
                    return self.make_like(&path, metadata);
                }
                if inode.kind() == FileType::Directory {
                    let directory = self.directory(&path)?;
                    self.directories.insert(directory.path().clone(), metadata);
                    return Ok(());
                }
                let directory = self.directory(&above)?;
                self.inode(&Target::File(directory, name.to_vec()), inode, metadata)
            }
        }
    }

    fn metadata(&self, inode: &Inode) -> Result<Metadata> {
        let mut metadata = Metadata::of_existing(inode)?;
        metadata.owner = self.manner.owner.or(metadata.owner);
        let is_directory = inode.kind() == FileType::Directory;
        metadata.mode = self.manner.mode(metadata.mode, is_directory);
        Ok(metadata)
    }

    /// Anything but a directory.
    fn inode(&mut self, target: &Target, inode: &Inode, metadata: Metadata) -> Result<()> {
        let Target::File(directory, name) = target else {
            bail!("it is no directory");
        };
        let kind = inode.kind();
        let path = directory.path().join(name);
        if kind == FileType::RegularFile {
            let mut data = inode.data()?;
            return self.file(target, &metadata, &mut data);
        }
        make_way(directory, name)?;
        match kind {
            FileType::Symlink => directory.make_symlink(name, &inode.link_target()?),
            FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice => {
                directory.make_node(name, kind, inode.stat().st_rdev)
            }
            _ => {
                self.warnings
                    .add("socket", || format!("{path}: a socket, left out"));
                return Ok(());
            }
        }
        .with_context(|| format!("make {path}"))?;
        let file = directory
            .open(name, OFlags::PATH, Mode::empty())
            .with_context(|| format!("open {path}"))?;
        let owner = metadata
            .owner
            .map(|(uid, gid)| (Uid::from_raw(uid), Gid::from_raw(gid)));
        let is_symlink = kind == FileType::Symlink;
        metadata.set_on_special(file.as_fd(), &path, owner, is_symlink, &mut self.warnings)
    }

    fn file(
        &mut self,
        target: &Target,
        metadata: &Metadata,
        content: &mut dyn std::io::Read,
    ) -> Result<()> {
        let Target::File(directory, name) = target else {
            bail!("it is no file");
        };
        let path = directory.path().join(name);
        make_way(directory, name)?;
        let file = directory
            .create_file(name, Mode::RUSR | Mode::WUSR)
            .with_context(|| format!("create {path}"))?;
        let mut file = std::fs::File::from(file);
        copy_bytes(content, &mut file).with_context(|| format!("write {path}"))?;
        let owner = metadata
            .owner
            .map(|(uid, gid)| (Uid::from_raw(uid), Gid::from_raw(gid)));
        metadata.set(file.as_fd(), &path, owner, &mut self.warnings)
    }
}

/// Where COPY puts things.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The path, links not yet followed.
    pub path: ImagePath,
    /// It was written with a slash at its end, or is for several sources.
    pub is_directory: bool,
    /// `--parents`: below it, sources are where they were.
    pub keeps_parents: bool,
}

#[derive(Debug)]
enum Target {
    Directory(ImagePath),
    File(Rc<Directory>, Vec<u8>),
}

fn below(directory: &ImagePath, relative: &ImagePath) -> ImagePath {
    relative
        .components()
        .fold(directory.clone(), |path, name| path.join(name))
}

/// What is replaced goes; a directory is never replaced by a file.
fn make_way(directory: &Directory, name: &[u8]) -> Result<()> {
    let Some(stat) = directory.stat(name)? else {
        return Ok(());
    };
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        bail!("{} is a directory", directory.path().join(name));
    }
    directory.remove(name)
}

fn copy_bytes(source: &mut dyn std::io::Read, target: &mut std::fs::File) -> Result<()> {
    use std::io::Write as _;
    let mut buffer = vec![0; 256 << 10];
    loop {
        crate::sys::signal::check()?;
        match source.read(&mut buffer)? {
            0 => return Ok(()),
            count => target.write_all(&buffer[..count])?,
        }
    }
}
