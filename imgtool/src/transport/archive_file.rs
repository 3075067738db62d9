//! A tar file of documents and blobs, which takes its name when it is whole. The same content gives
//! the same bytes.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use crate::layer::path::ImagePath;
use crate::layer::tar::{Entry, EntryKind, TarWriter, Timestamp};

/// An archive being written.
#[derive(Debug)]
pub(super) struct ArchiveFile {
    tar: TarWriter<BufWriter<File>>,
    temporary: NamedTempFile,
    path: PathBuf,
    names: HashSet<String>,
}

impl ArchiveFile {
    /// Begins it beside its later place.
    pub(super) fn begin(path: &Path) -> Result<Self> {
        let context = || format!("write {}", path.display());
        let temporary = tempfile::Builder::new()
            .prefix(".windlass-img-")
            .tempfile_in(directory_of(path))
            .with_context(context)?;
        let file = temporary.reopen().with_context(context)?;
        Ok(ArchiveFile {
            tar: TarWriter::new(BufWriter::with_capacity(256 << 10, file)),
            temporary,
            path: path.to_owned(),
            names: HashSet::new(),
        })
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

    /// Ends it and gives it its name, in place of what has it.
    pub(super) fn finish(self) -> Result<()> {
        let context = || format!("write {}", self.path.display());
        let mut file = self.tar.finish().with_context(context)?;
        file.flush().with_context(context)?;
        let mode = rustix::fs::Mode::from_raw_mode(0o644);
        rustix::fs::fchmod(file.get_ref(), mode).with_context(context)?;
        self.temporary.persist(&self.path).with_context(context)?;
        Ok(())
    }
}

/// Where a file's neighbours are.
pub(super) fn directory_of(path: &Path) -> &Path {
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
