//! Where a bundle came from and what it looked like then: `umoci.json` and the manifest beside it,
//! as umoci writes and reads them, so that either tool can repack what the other unpacked.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::layer::ids::{IdMapping, IdRange};
use crate::layer::rootfs::RootFs;
use crate::layout::document::Descriptor;
use crate::layout::store::LARGEST_DOCUMENT;
use crate::memory_budget::MemoryBudget;
use crate::mtree::{self, FileDigests, Manifest};
use crate::read_at_most::read_at_most;

/// The name of the file that says where a bundle came from.
pub(super) const RECORD: &str = "umoci.json";
/// The version of its format, which umoci has had since 0.4.
const VERSION: &str = "2";

/// Where a bundle came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// From the layout's index to the image's manifest.
    pub way: Vec<Descriptor>,
    /// Whose its files are on the host.
    pub mapping: IdMapping,
}

#[derive(Debug, Serialize, Deserialize)]
struct RecordFile {
    umoci_version: String,
    from_descriptor_path: DescriptorPath,
    map_options: MapOptions,
    /// A way of writing whiteouts that umoci had for a while.
    #[serde(default, skip_serializing_if = "is_zero")]
    whiteout_mode: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct DescriptorPath {
    descriptor_walk: Vec<Descriptor>,
}

#[derive(Debug, Serialize, Deserialize)]
struct MapOptions {
    uid_mappings: Option<Vec<IdRange>>,
    gid_mappings: Option<Vec<IdRange>>,
    rootless: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl Record {
    /// As `umoci.json` has it.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let ranges = |ranges: &Vec<IdRange>| (!ranges.is_empty()).then(|| ranges.clone());
        let file = RecordFile {
            umoci_version: VERSION.to_owned(),
            from_descriptor_path: DescriptorPath {
                descriptor_walk: self.way.clone(),
            },
            map_options: MapOptions {
                uid_mappings: ranges(&self.mapping.users),
                gid_mappings: ranges(&self.mapping.groups),
                rootless: self.mapping.rootless,
            },
            whiteout_mode: 0,
        };
        let mut json = serde_json::to_vec(&file)?;
        json.push(b'\n');
        Ok(json)
    }

    fn from_json(json: &[u8]) -> Result<Self> {
        let file: RecordFile = serde_json::from_slice(json)?;
        if file.umoci_version != VERSION {
            let version = file.umoci_version.escape_debug();
            bail!("it has version '{version}', we know version {VERSION}");
        }
        if file.whiteout_mode != 0 {
            bail!("its whiteout_mode is one that umoci gave up");
        }
        let options = file.map_options;
        Ok(Record {
            way: file.from_descriptor_path.descriptor_walk,
            mapping: IdMapping {
                users: options.uid_mappings.unwrap_or_default(),
                groups: options.gid_mappings.unwrap_or_default(),
                rootless: options.rootless,
            },
        })
    }

    /// The image's manifest.
    pub fn image(&self) -> Result<&Descriptor> {
        let last = self.way.last();
        last.with_context(|| format!("{RECORD} names no image"))
    }

    /// The name of the manifest of the bundle's files.
    pub(super) fn manifest_name(&self) -> Result<String> {
        let digest = &self.image()?.digest;
        Ok(format!(
            "{}_{}.mtree",
            digest.algorithm().name(),
            digest.hex()
        ))
    }
}

/// Writes the manifest of a tree.
pub(super) fn write_manifest(file: File, rootfs: &RootFs, digests: &FileDigests) -> Result<()> {
    let sink = BufWriter::with_capacity(128 << 10, file);
    mtree::write(rootfs, &mtree::UMOCI, digests, sink).context("write the bundle's manifest")
}

/// A bundle that is to be repacked.
#[derive(Debug)]
pub struct RecordedBundle {
    path: PathBuf,
    directory: OwnedFd,
    /// Where it came from.
    pub record: Record,
}

impl RecordedBundle {
    /// Opens a bundle that we or umoci unpacked.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(path, flags, Mode::empty())
            .with_context(|| format!("open bundle {}", path.display()))?;
        let mut bundle = RecordedBundle {
            path: path.to_owned(),
            directory,
            record: Record {
                way: Vec::new(),
                mapping: IdMapping::default(),
            },
        };
        let json = read_at_most(bundle.open_file(RECORD)?, LARGEST_DOCUMENT)?;
        bundle.record = Record::from_json(&json)
            .with_context(|| format!("{}", bundle.path.join(RECORD).display()))?;
        Ok(bundle)
    }

    /// Its root file system.
    pub fn rootfs(&self) -> Result<RootFs> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let rootfs = rustix::fs::openat(&self.directory, "rootfs", flags, Mode::empty())
            .with_context(|| format!("open {}", self.path.join("rootfs").display()))?;
        Ok(RootFs::new(rootfs))
    }

    /// What its files looked like when it was unpacked.
    pub fn manifest(&self, memory: &MemoryBudget) -> Result<Manifest> {
        let name = self.record.manifest_name()?;
        Manifest::read(self.open_file(&name)?, memory)
            .with_context(|| format!("{}", self.path.join(name).display()))
    }

    /// Makes it a bundle of the image that it has become: from here on, changes are those since
    /// now. Killed in between, it is one of the old image or of the new one.
    pub fn refresh(&self, way: Vec<Descriptor>) -> Result<()> {
        let record = Record {
            way,
            mapping: self.record.mapping.clone(),
        };
        let name = record.manifest_name()?;
        self.replace(&name, |file| {
            write_manifest(file, &self.rootfs()?, &FileDigests::default())
        })?;
        self.replace(RECORD, |mut file| {
            file.write_all(&record.to_json()?).context("write")
        })?;
        let old = self.record.manifest_name()?;
        if old != name {
            match rustix::fs::unlinkat(&self.directory, &*old, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno).with_context(|| format!("unlinkat {old}")),
            }
        }
        Ok(())
    }

    fn replace(&self, name: &str, fill: impl FnOnce(File) -> Result<()>) -> Result<()> {
        let context = || format!("write {}", self.path.join(name).display());
        let temporary = format!(".{name}.{}", std::process::id());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let flags = flags | OFlags::NOFOLLOW;
        let mode = Mode::from_raw_mode(0o644);
        let file =
            rustix::fs::openat(&self.directory, &*temporary, flags, mode).with_context(context)?;
        let result = fill(file.into()).and_then(|()| {
            rustix::fs::renameat(&self.directory, &*temporary, &self.directory, name)
                .context("renameat")
        });
        if result.is_err() {
            let removed = rustix::fs::unlinkat(&self.directory, &*temporary, AtFlags::empty());
            debug_assert!(matches!(removed, Ok(()) | Err(Errno::NOENT)), "{removed:?}");
        }
        result.with_context(context)
    }

    fn open_file(&self, name: &str) -> Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let path = self.path.join(name);
        let fd = rustix::fs::openat(&self.directory, name, flags, Mode::empty())
            .with_context(|| format!("open {} (was the bundle made by unpack?)", path.display()))?;
        Ok(fd.into())
    }
}
