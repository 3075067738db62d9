//! A tar file of documents and blobs, which takes its name when it is whole. The same content gives
//! the same bytes. What is no file (a FIFO, `/dev/stdout`) is written into as it stands.

use std::collections::HashSet;
use std::fs::{File, Permissions};
use std::io::{BufWriter, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use tempfile::NamedTempFile;

use crate::layer::path::ImagePath;
use crate::layer::tar::{Entry, EntryKind, TarWriter, Timestamp};

/// An archive being written.
#[derive(Debug)]
pub(super) struct ArchiveFile {
    tar: TarWriter<BufWriter<File>>,
    /// What becomes the file, unless it is written in place.
    temporary: Option<NamedTempFile>,
    path: PathBuf,
    names: HashSet<String>,
}

impl ArchiveFile {
    /// Begins it: beside its later place, or in what is there if that is no file.
    pub(super) fn begin(path: &Path) -> Result<Self> {
        let context = || format!("write {}", path.display());
        let (temporary, file, path) = match place_of(path).with_context(context)? {
            Place::File(path) => {
                let temporary = tempfile::Builder::new()
                    .prefix(".windlass-img-")
                    .permissions(Permissions::from_mode(0o644))
                    .tempfile_in(directory_of(&path))
                    .with_context(context)?;
                let file = temporary.reopen().with_context(context)?;
                (Some(temporary), file, path)
            }
            Place::Stream => {
                let file = open_stream(path).with_context(context)?;
                (None, file, path.to_owned())
            }
        };
        Ok(ArchiveFile {
            tar: TarWriter::new(BufWriter::with_capacity(256 << 10, file)),
            temporary,
            path,
            names: HashSet::new(),
        })
    }

    /// Where there is room for what has to be written before it goes into the archive.
    pub(super) fn spool_directory(&self) -> PathBuf {
        match self.temporary {
            Some(_) => directory_of(&self.path).to_owned(),
            None => std::env::temp_dir(),
        }
    }

    /// Whether there is a file of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Adds a directory.
    pub(super) fn directory(&mut self, name: &str) -> Result<()> {
        let entry = entry(name, EntryKind::Directory, 0)?;
        self.tar
            .begin(&entry)
            .with_context(|| format!("write {}", self.path.display()))
    }

    /// Adds a file of `size` bytes.
    pub(super) fn file(&mut self, name: &str, mut content: impl Read, size: u64) -> Result<()> {
        let context = || format!("write {}", self.path.display());
        let entry = entry(name, EntryKind::File, size)?;
        self.tar.begin(&entry).with_context(context)?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            crate::sys::signal::check()?;
            let count = content.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            self.tar.data(&buffer[..count]).with_context(context)?;
        }
        self.names.insert(name.to_owned());
        Ok(())
    }

    /// Ends it and gives it its name, in place of the file that has it.
    pub(super) fn finish(self) -> Result<()> {
        let context = || format!("write {}", self.path.display());
        let mut file = self.tar.finish().with_context(context)?;
        file.flush().with_context(context)?;
        if let Some(temporary) = self.temporary {
            let fsync = file.get_ref().sync_all().context("fsync");
            fsync.with_context(context)?;
            temporary.persist(&self.path).with_context(context)?;
        }
        Ok(())
    }
}

/// What an archive is to be written to.
enum Place {
    /// A file at this path, where no symbolic link is.
    File(PathBuf),
    /// Something that is there and no file.
    Stream,
}

fn place_of(path: &Path) -> Result<Place> {
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => {
            let path = path.canonicalize();
            Ok(Place::File(path.context("resolve symbolic links")?))
        }
        Ok(_) => Ok(Place::Stream),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if path.is_symlink() {
                bail!("it is a symbolic link to nothing");
            }
            Ok(Place::File(path.to_owned()))
        }
        Err(error) => Err(error).context("stat"),
    }
}

/// Opens what is no file; a signal ends the wait for a FIFO's reader.
fn open_stream(path: &Path) -> Result<File> {
    loop {
        crate::sys::signal::check()?;
        match rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
            Err(Errno::INTR) => {}
            result => return Ok(result.context("open")?.into()),
        }
    }
}

/// Where a file's neighbours are.
fn directory_of(path: &Path) -> &Path {
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

fn entry(name: &str, kind: EntryKind, size: u64) -> Result<Entry> {
    let mode = if kind == EntryKind::Directory {
        0o755
    } else {
        0o644
    };
    Ok(Entry {
        path: ImagePath::parse(name.as_bytes())?,
        kind,
        size,
        mode,
        uid: 0,
        gid: 0,
        mtime: Timestamp::default(),
        atime: None,
        xattrs: Vec::new(),
    })
}
