//! Files on disk become entries of a layer.

use std::fs::File;
use std::io::{Read, Write};

use anyhow::{Context, Result, bail};
use rustix::fs::{FileType, SeekFrom, Stat};
use rustix::io::Errno;

use super::first_names::FirstNames;
use crate::layer::ids::{IdMapping, ROOTLESS_XATTR, rootless_owner};
use crate::layer::inode::{Inode, Xattrs};
use crate::layer::metadata::belongs_to_host;
use crate::layer::path::ImagePath;
use crate::layer::tar::{Entry, EntryKind, TarWriter, Timestamp};
use crate::layer::whiteout;
use crate::memory_budget::MemoryBudget;
use crate::sys::signal;
use crate::warnings::Warnings;

/// What the caller decides about a new layer.
#[derive(Debug, Clone, Default)]
pub struct PackOptions {
    /// Whose the files are on the host: undone in the layer.
    pub mapping: IdMapping,
    /// No time in the layer is later than this, in seconds since the epoch.
    pub latest_time: Option<i64>,
    /// The memory of what is remembered of hard links.
    pub memory: MemoryBudget,
}

/// Bytes read at once.
const BUFFER: usize = 256 << 10;

/// Writes a layer from files on disk.
#[derive(Debug)]
pub struct LayerWriter<W> {
    tar: TarWriter<W>,
    options: PackOptions,
    names: FirstNames,
    warnings: Warnings,
    buffer: Vec<u8>,
}

impl<W: Write> LayerWriter<W> {
    /// Writes to `sink`.
    pub fn new(sink: W, options: PackOptions) -> Self {
        LayerWriter {
            tar: TarWriter::new(sink),
            names: FirstNames::new(&options.memory),
            options,
            warnings: Warnings::default(),
            buffer: vec![0; BUFFER],
        }
    }

    /// Adds a file as it is on disk, under `path` in the image. A socket is left out: it means
    /// nothing without the process that listens on it.
    pub fn add(&mut self, path: &ImagePath, inode: &Inode) -> Result<()> {
        self.add_with(path, inode, inode.xattrs()?)
    }

    /// As [`LayerWriter::add`], with its attributes read before.
    pub(super) fn add_with(
        &mut self,
        path: &ImagePath,
        inode: &Inode,
        xattrs: Xattrs,
    ) -> Result<()> {
        signal::check()?;
        if path.components().any(whiteout::is_reserved) {
            bail!("{path}: a layer can't hold a name that begins with '.wh.', which means removal");
        }
        self.write_entry(path, inode, xattrs)
            .with_context(|| format!("add {path} to the layer"))
    }

    fn write_entry(&mut self, path: &ImagePath, inode: &Inode, xattrs: Xattrs) -> Result<()> {
        let stat = inode.stat();
        let Some(kind) = self.kind(path, inode)? else {
            self.warnings
                .add("socket", || format!("{path}: a socket, left out"));
            return Ok(());
        };
        let is_file = kind == EntryKind::File;
        let (uid, gid) = self.owner(stat, &xattrs)?;
        let entry = Entry {
            path: path.clone(),
            size: if is_file { size(stat) } else { 0 },
            kind,
            mode: stat.st_mode & 0o7777,
            uid,
            gid,
            mtime: self.mtime(stat),
            atime: None,
            xattrs: self.xattrs_in_image(path, xattrs),
        };
        self.tar.begin(&entry).context("write the layer")?;
        if is_file && entry.size > 0 {
            self.copy_data(inode.data()?, stat, entry.size)?;
        }
        Ok(())
    }

    /// Says that what the layers below have at `path` is gone.
    pub fn whiteout(&mut self, path: &ImagePath) -> Result<()> {
        let Some((directory, name)) = path.split_last() else {
            bail!("the root directory can't be removed");
        };
        if path.components().any(whiteout::is_reserved) {
            bail!("{path}: names that begin with '.wh.' can't be in an image");
        }
        self.marker(&directory.join(&whiteout::of(name)))
    }

    /// Says that all that the layers below have in a directory is gone.
    pub fn opaque(&mut self, directory: &ImagePath) -> Result<()> {
        self.marker(&directory.join(whiteout::OPAQUE))
    }

    /// Ends the layer; returns the sink.
    pub fn finish(self) -> Result<W> {
        self.warnings.summarize();
        self.tar.finish().context("write the layer")
    }

    /// Whiteouts have no metadata of their own, so that they are the same whenever they are made.
    fn marker(&mut self, path: &ImagePath) -> Result<()> {
        let entry = Entry {
            path: path.clone(),
            kind: EntryKind::File,
            size: 0,
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: Timestamp::default(),
            atime: None,
            xattrs: Vec::new(),
        };
        self.tar.begin(&entry).context("write the layer")
    }

    /// What the entry is; nothing for a socket.
    fn kind(&mut self, path: &ImagePath, inode: &Inode) -> Result<Option<EntryKind>> {
        let stat = inode.stat();
        if inode.kind() != FileType::Directory && stat.st_nlink > 1 {
            if let Some(first) = self.names.take_one(stat) {
                return Ok(Some(EntryKind::HardLink(first)));
            }
            if inode.kind() != FileType::Socket {
                self.names.insert(stat, path)?;
            }
        }
        let device = || {
            let device = stat.st_rdev;
            (rustix::fs::major(device), rustix::fs::minor(device))
        };
        Ok(Some(match inode.kind() {
            FileType::RegularFile => EntryKind::File,
            FileType::Directory => EntryKind::Directory,
            FileType::Symlink => EntryKind::Symlink(inode.link_target()?),
            FileType::Fifo => EntryKind::Fifo,
            FileType::CharacterDevice => EntryKind::CharDevice(device().0, device().1),
            FileType::BlockDevice => EntryKind::BlockDevice(device().0, device().1),
            FileType::Socket => return Ok(None),
            FileType::Unknown => bail!("fstat gives a type that isn't known"),
        }))
    }

    /// User and group in the image.
    fn owner(&self, stat: &Stat, xattrs: &Xattrs) -> Result<(u32, u32)> {
        let mapping = &self.options.mapping;
        if !mapping.rootless {
            return mapping.owner_in_image(stat.st_uid, stat.st_gid);
        }
        let noted = xattrs.iter().find(|(name, _)| name == ROOTLESS_XATTR);
        // Without a note the container's root owns it.
        noted.map_or(Ok((0, 0)), |(_, value)| {
            rootless_owner(value).context("attribute user.rootlesscontainers")
        })
    }

    fn mtime(&self, stat: &Stat) -> Timestamp {
        let time = Timestamp {
            seconds: stat.st_mtime,
            nanoseconds: u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
        };
        match self.options.latest_time {
            Some(latest) if time.seconds >= latest => Timestamp {
                seconds: latest,
                nanoseconds: 0,
            },
            _ => time,
        }
    }

    fn xattrs_in_image(&mut self, path: &ImagePath, xattrs: Xattrs) -> Xattrs {
        let mapping = &self.options.mapping;
        let mut kept = Vec::new();
        for (name, value) in xattrs {
            let shown = name.escape_ascii().to_string();
            if belongs_to_host(&name) {
                continue;
            }
            if value.is_empty() {
                // In PAX, an empty value takes a record back (POSIX.1-2024 pax).
                self.warnings.add("empty-xattr", || {
                    format!(
                        "{path}: attribute {shown} is empty, which a layer can't hold: left out"
                    )
                });
                continue;
            }
            if name.contains(&b'=') {
                self.warnings.add("xattr-name", || {
                    format!("{path}: no layer can hold an attribute named {shown}: left out")
                });
                continue;
            }
            let value = match &name[..] {
                b"security.capability" => mapping.capability_in_image(value),
                _ => value,
            };
            kept.push((name, value));
        }
        kept
    }

    fn copy_data(&mut self, mut file: File, stat: &Stat, size: u64) -> Result<()> {
        // A 512-byte block is what st_blocks counts (inode(7)).
        let has_holes = u64::try_from(stat.st_blocks).unwrap_or(0) * 512 < size;
        if !has_holes {
            return self.copy(&mut file, size);
        }
        let mut position = 0;
        while position < size {
            let data = match rustix::fs::seek(&file, SeekFrom::Data(position)) {
                Ok(data) => data.min(size),
                // No data from here to the end.
                Err(Errno::NXIO) => size,
                Err(errno) => return Err(errno).context("lseek SEEK_DATA"),
            };
            self.tar.zeros(data - position)?;
            if data == size {
                break;
            }
            let hole = rustix::fs::seek(&file, SeekFrom::Hole(data)).context("lseek SEEK_HOLE")?;
            let hole = hole.min(size);
            rustix::fs::seek(&file, SeekFrom::Start(data)).context("lseek")?;
            self.copy(&mut file, hole - data)?;
            position = hole;
        }
        // What was cut off looks like a hole.
        let now = rustix::fs::fstat(&file).context("fstat")?;
        if self::size(&now) < size {
            bail!("the file became shorter while it was read");
        }
        Ok(())
    }

    fn copy(&mut self, file: &mut File, mut count: u64) -> Result<()> {
        while count > 0 {
            signal::check()?;
            let wanted = usize::try_from(count).unwrap_or(usize::MAX).min(BUFFER);
            let length = file.read(&mut self.buffer[..wanted]).context("read")?;
            if length == 0 {
                bail!("the file became shorter while it was read");
            }
            self.tar
                .data(&self.buffer[..length])
                .context("write the layer")?;
            count -= length as u64;
        }
        Ok(())
    }
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}
