//! The layout's directory: blobs and index.json, through one descriptor.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, Dir, FlockOperation, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::blob::{INCOMING_PREFIX, Incoming};
use super::digest::{Digest, Hasher};
use super::document::{Descriptor, Index};

/// Bytes of a manifest, index or configuration. Registries stop at 4 MiB for manifests.
pub const LARGEST_DOCUMENT: u64 = 8 << 20;

/// An OCI image layout.
#[derive(Debug)]
pub struct Layout {
    path: PathBuf,
    directory: File,
}

impl Layout {
    /// Opens a layout.
    pub fn open(path: &Path) -> Result<Self> {
        let directory = open_directory(path)
            .with_context(|| format!("can't open image layout {}", path.display()))?;
        let layout = Layout {
            path: path.to_owned(),
            directory,
        };
        layout.check_marker()?;
        Ok(layout)
    }

    /// Opens a layout for changing it, or makes an empty one where there is nothing or an empty
    /// directory; says which. Waits for whoever is changing it; the right to do so lasts until
    /// the layout is dropped.
    pub fn open_or_create(path: &Path) -> Result<(Self, Created)> {
        let made_directory = match std::fs::create_dir(path) {
            Ok(()) => true,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => false,
            Err(error) => {
                return Err(error).with_context(|| format!("mkdir {}", path.display()));
            }
        };
        let directory = open_directory(path)
            .with_context(|| format!("can't open image layout {}", path.display()))?;
        let layout = Layout {
            path: path.to_owned(),
            directory,
        };
        layout.lock()?;
        let is_empty = std::fs::read_dir(path)
            .with_context(|| format!("read directory {}", path.display()))?
            .next()
            .is_none();
        if !is_empty {
            layout.check_marker()?;
            return Ok((layout, Created::Nothing));
        }
        let created = if made_directory {
            Created::Directory
        } else {
            Created::Contents
        };
        if let Err(error) = layout.initialize() {
            layout.remove_created(created);
            return Err(error);
        }
        Ok((layout, created))
    }

    fn initialize(&self) -> Result<()> {
        for name in ["blobs", "blobs/sha256"] {
            rustix::fs::mkdirat(&self.directory, name, Mode::from_raw_mode(0o755))
                .with_context(|| format!("mkdirat {name} in {}", self.path.display()))?;
        }
        self.write("index.json", &serde_json::to_vec(&Index::empty())?)?;
        self.write("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)
    }

    /// Takes back what [`Layout::open_or_create`] made.
    pub fn remove_created(&self, created: Created) {
        if created == Created::Nothing {
            return;
        }
        for (name, flags) in [
            ("oci-layout", AtFlags::empty()),
            ("index.json", AtFlags::empty()),
            ("blobs/sha256", AtFlags::REMOVEDIR),
            ("blobs", AtFlags::REMOVEDIR),
        ] {
            if let Err(errno) = rustix::fs::unlinkat(&self.directory, name, flags)
                && errno != Errno::NOENT
            {
                eprintln!("windlass-img: warning: can't remove {name}: {errno}");
            }
        }
        if created == Created::Directory
            && let Err(error) = std::fs::remove_dir(&self.path)
        {
            eprintln!(
                "windlass-img: warning: can't remove {}: {error}",
                self.path.display()
            );
        }
    }

    /// Where the layout is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the right to change this layout. What an earlier change left behind when it was
    /// killed is removed.
    fn lock(&self) -> Result<()> {
        rustix::fs::flock(&self.directory, FlockOperation::LockExclusive)
            .with_context(|| format!("flock {}", self.path.display()))?;
        let listing = self.open_at(".", OFlags::RDONLY | OFlags::DIRECTORY)?;
        for entry in Dir::new(listing).context("read the layout's directory")? {
            let entry = entry.context("read the layout's directory")?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(INCOMING_PREFIX) {
                std::fs::remove_dir_all(self.path.join(&name))
                    .with_context(|| format!("remove {name}, which a killed load left"))?;
            }
        }
        Ok(())
    }

    /// A directory for blobs on their way in.
    pub fn incoming(&self) -> Result<Incoming> {
        let directory = self
            .directory
            .try_clone()
            .context("dup the layout's descriptor")?;
        Incoming::new(directory)
    }

    /// The directory of the blobs whose digests use `digest`'s algorithm.
    pub fn blobs(&self, digest: &Digest) -> Result<File> {
        let name = format!("blobs/{}", digest.algorithm().name());
        Ok(self
            .open_at(&name, OFlags::RDONLY | OFlags::DIRECTORY)?
            .into())
    }

    /// The index of all images here.
    pub fn index(&self) -> Result<Index> {
        let in_layout = || format!("{}/index.json", self.path.display());
        let file = self.open_file("index.json")?;
        let bytes = read_at_most(file, LARGEST_DOCUMENT).with_context(in_layout)?;
        Index::parse(&bytes, None).with_context(in_layout)
    }

    /// Replaces the index: atomically, so that readers need no lock.
    pub fn write_index(&self, index: &Index) -> Result<()> {
        self.write("index.json", &serde_json::to_vec(index)?)
    }

    /// Opens a descriptor's blob, whose length has to be as the descriptor says. The content is
    /// for the caller to verify.
    pub fn open_blob(&self, descriptor: &Descriptor) -> Result<File> {
        let digest = &descriptor.digest;
        let name = format!("blobs/{}/{}", digest.algorithm().name(), digest.hex());
        let file = self.open_file(&name)?;
        let length = file
            .metadata()
            .with_context(|| format!("fstat blob {digest}"))?
            .len();
        if length != descriptor.size {
            bail!(
                "blob {digest} has {length} bytes, but its descriptor says {}",
                descriptor.size
            );
        }
        Ok(file)
    }

    /// Reads and verifies a document's blob.
    pub fn read_document(&self, descriptor: &Descriptor) -> Result<Vec<u8>> {
        let digest = &descriptor.digest;
        if descriptor.size > LARGEST_DOCUMENT {
            bail!(
                "document {digest} of {} bytes is above our limit of {LARGEST_DOCUMENT}",
                descriptor.size
            );
        }
        let bytes = read_at_most(self.open_blob(descriptor)?, LARGEST_DOCUMENT)?;
        let found = Hasher::digest(digest.algorithm(), &bytes);
        if found != *digest {
            bail!("blob {digest} is corrupt: its content is {found}");
        }
        Ok(bytes)
    }

    fn check_marker(&self) -> Result<()> {
        let path = self.path.display();
        let not_a_layout = || format!("{path} is not an OCI image layout");
        let file = self.open_file("oci-layout").with_context(not_a_layout)?;
        let bytes = read_at_most(file, 4096).with_context(not_a_layout)?;
        let marker: serde_json::Value =
            serde_json::from_slice(&bytes).with_context(not_a_layout)?;
        match marker
            .get("imageLayoutVersion")
            .and_then(serde_json::Value::as_str)
        {
            Some(version) if version.starts_with("1.") => Ok(()),
            _ => bail!("{path}: unsupported imageLayoutVersion in oci-layout"),
        }
    }

    /// Opens a regular file of the layout. A layout may be a stranger's: nothing leads out of it,
    /// and no FIFO can make us wait.
    fn open_file(&self, name: &str) -> Result<File> {
        let file =
            File::from(self.open_at(name, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?);
        if !file
            .metadata()
            .with_context(|| format!("fstat {name}"))?
            .is_file()
        {
            bail!("{}/{name} is not a regular file", self.path.display());
        }
        Ok(file)
    }

    fn open_at(&self, name: &str, flags: OFlags) -> Result<rustix::fd::OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let flags = flags | OFlags::CLOEXEC;
        rustix::fs::openat2(self.directory.as_fd(), name, flags, Mode::empty(), resolve)
            .with_context(|| format!("can't open {}/{name}", self.path.display()))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let context = || format!("write {}/{name}", self.path.display());
        let temporary = format!(".{name}.{}", std::process::id());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let fd =
            rustix::fs::openat(&self.directory, &*temporary, flags, mode).with_context(context)?;
        let result = File::from(fd).write_all(bytes).and_then(|()| {
            Ok(rustix::fs::renameat(
                &self.directory,
                &*temporary,
                &self.directory,
                name,
            )?)
        });
        if let Err(error) = result {
            let removed = rustix::fs::unlinkat(&self.directory, &*temporary, AtFlags::empty());
            debug_assert!(matches!(removed, Ok(()) | Err(Errno::NOENT)), "{removed:?}");
            return Err(error).with_context(context);
        }
        Ok(())
    }
}

/// What opening a layout made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It was there.
    Nothing,
    /// The files in an empty directory.
    Contents,
    /// The directory too.
    Directory,
}

/// Reads a file of at most `limit` bytes.
pub fn read_at_most(file: File, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .context("read")?;
    if bytes.len() as u64 > limit {
        bail!("larger than our limit of {limit} bytes");
    }
    Ok(bytes)
}

fn open_directory(path: &Path) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}
