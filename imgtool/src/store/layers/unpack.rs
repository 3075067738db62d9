//! Making layers of the store.

use std::collections::VecDeque;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{LAYERS, LayerChain, chain_ids};
use crate::bundle::start_layer;
use crate::copy::Transfer;
use crate::flock::flock;
use crate::layer::apply::{Applied, Applier, ApplyOptions};
use crate::layer::ids::in_user_namespace;
use crate::layer::inode::Inode;
use crate::layer::limits::Limits;
use crate::layer::metadata::Metadata;
use crate::layer::path::ImagePath;
use crate::layer::rootfs::RootFs;
use crate::layer::stream::LayerStream;
use crate::layout::digest::Digest;
use crate::layout::resolve::{Image, Layer};
use crate::overlay::unmount_from;
use crate::progress::{Item, ItemProgress, Outcome, Progress};
use crate::store::Store;
use crate::warnings::Warnings;

impl Store {
    /// The layers of an image, unpacked: those that aren't are now, verified on the way. They stay
    /// while this store is open; a bundle's reference ([`crate::store::bundles`]) keeps them longer.
    pub fn unpacked_layers(&self, image: &Image, limits: &Limits) -> Result<LayerChain> {
        self.unpacked(&image.layers()?, limits)
    }

    /// The same of layers of which no image may have been made yet, the lowest first.
    pub fn unpacked(&self, layers: &[Layer<'_>], limits: &Limits) -> Result<LayerChain> {
        self.unpacked_meanwhile(layers, limits, None)
    }

    /// The same of layers whose blobs may still be on their way. A layer is made of a blob only
    /// once that is here.
    pub fn unpacked_meanwhile(
        &self,
        layers: &[Layer<'_>],
        limits: &Limits,
        coming: Option<Coming<'_>>,
    ) -> Result<LayerChain> {
        let diff_ids: Vec<Digest> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
        let chain = self.chain_of(&diff_ids);
        let is_missing = |number: &usize| !chain.directories[*number].exists();
        let missing: Vec<usize> = (0..layers.len()).filter(is_missing).collect();
        if missing.is_empty() {
            return Ok(chain);
        }
        if !can_share_layers() {
            bail!("only the host's root can mount an overlay of layers: use --flat");
        }
        self.unpack(&chain, layers, &missing, limits, coming)?;
        Ok(chain)
    }

    /// Where the layers of these diffIDs are, or would be.
    pub fn chain_of(&self, diff_ids: &[Digest]) -> LayerChain {
        let ids = chain_ids(diff_ids);
        let directories = self.directories_of(&ids);
        LayerChain { ids, directories }
    }

    /// Where the unpacked layers of these chainIDs are, or would be.
    pub fn directories_of(&self, ids: &[Digest]) -> Vec<PathBuf> {
        ids.iter().map(|id| self.layer_directory(id)).collect()
    }

    /// Where the unpacked layer of a chainID is, or would be.
    pub(in crate::store) fn layer_directory(&self, id: &Digest) -> PathBuf {
        self.layers_directory()
            .join(id.algorithm().name())
            .join(id.hex())
    }

    /// Where unpacked layers are.
    pub(super) fn layers_directory(&self) -> PathBuf {
        self.layout().path().join(LAYERS)
    }

    /// Unpacks some layers, the lowest first; while one is applied, the next is being inflated.
    fn unpack(
        &self,
        chain: &LayerChain,
        layers: &[Layer<'_>],
        missing: &[usize],
        limits: &Limits,
        coming: Option<Coming<'_>>,
    ) -> Result<()> {
        let of_layer = |number: usize| format!("layer {}", layers[number].descriptor.digest);
        let mut bytes_left = limits.bytes;
        let mut to_start = missing.iter().peekable();
        let mut started = VecDeque::new();
        for &number in missing {
            while started.len() <= LAYERS_AHEAD
                && let Some(&&next) = to_start.peek()
                && (started.is_empty() || layers[next].inflates_in_little_memory())
            {
                let layer = &layers[next];
                let digest = &layer.descriptor.digest;
                if let Some(coming) = coming {
                    if started.is_empty() {
                        coming.transfer.wait_for(digest)?;
                    } else if !coming.transfer.has_arrived(digest) {
                        break;
                    }
                }
                let progress = coming.map(|coming| coming.begin(next, layer));
                let stream = start_layer(self.layout(), layer, limits, progress);
                started.push_back(stream.with_context(|| of_layer(next))?);
                to_start.next();
            }
            let Some(mut stream) = started.pop_front() else {
                break;
            };
            stream.bytes_allowed = bytes_left;
            let (below, from_here) = chain.directories.split_at(number);
            let unpacked = unpack_layer(&from_here[0], below, stream, limits);
            if let Some(coming) = coming {
                coming.end(number, &unpacked);
            }
            bytes_left -= unpacked.with_context(|| of_layer(number))?;
        }
        Ok(())
    }
}

/// Blobs of layers that are on their way.
#[derive(Debug, Clone, Copy)]
pub struct Coming<'a> {
    /// Their way.
    pub transfer: &'a Transfer<'a>,
    /// Where the unpacking of each is shown too.
    pub progress: &'a Progress,
    /// The first layer's number there.
    pub number: usize,
}

impl Coming<'_> {
    fn begin(&self, number: usize, layer: &Layer<'_>) -> ItemProgress {
        let item = Item {
            what: "unpack",
            digest: layer.descriptor.digest.clone(),
            size: layer.descriptor.size,
        };
        self.progress.begin(self.number + number, &item);
        self.progress.of(self.number + number)
    }

    fn end(&self, number: usize, unpacked: &Result<u64>) {
        let outcome = match unpacked {
            Ok(_) => Outcome::Done,
            Err(_) => Outcome::Failed,
        };
        self.progress.end(self.number + number, outcome);
    }
}

/// Whether we may unpack layers into a store: that takes overlays, and devices.
pub fn can_share_layers() -> bool {
    rustix::process::geteuid().is_root() && !in_user_namespace()
}

/// How many layers are inflated before it is their turn; some 2 MiB of each may wait.
const LAYERS_AHEAD: usize = 1;

/// Unpacks one layer on top of others, the lowest first, unless somebody else does meanwhile.
/// Returns its uncompressed bytes.
fn unpack_layer(
    target: &Path,
    below: &[PathBuf],
    stream: LayerStream,
    limits: &Limits,
) -> Result<u64> {
    let Some(making) = Making::begin(target)? else {
        return Ok(0);
    };
    let bytes = making.fill(below, stream, limits)?;
    making.complete(target)?;
    Ok(bytes)
}
/// A layer in the making: `.HEX` beside where it is to be, locked as long as its maker lives.
pub(super) struct Making {
    path: PathBuf,
    _lock: File,
}

const UPPER: &str = "upper";
const WORK: &str = "work";
const PLACE: &str = "place";

impl Making {
    /// Takes the right to make a layer; waits for whoever else makes it. Nothing if it is there.
    pub(super) fn begin(target: &Path) -> Result<Option<Self>> {
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else {
            bail!("{} is no layer's place", target.display());
        };
        make_private(parent)?;
        let path = parent.join(format!(".{}", name.display()));
        let lock = loop {
            make_directory(&path)?;
            let Some(lock) = lock(&path)? else {
                continue;
            };
            break lock;
        };
        let making = Making { path, _lock: lock };
        if target.exists() {
            return Ok(None);
        }
        making.empty()?;
        for name in [UPPER, WORK, PLACE] {
            make_directory(&making.path.join(name))?;
        }
        Ok(Some(making))
    }

    /// Applies the layer on top of others, the lowest first. Returns its uncompressed bytes.
    pub(super) fn fill(
        &self,
        below: &[PathBuf],
        stream: LayerStream,
        limits: &Limits,
    ) -> Result<u64> {
        let options = ApplyOptions {
            limits: limits.clone(),
            for_overlay: true,
            ..ApplyOptions::default()
        };
        let upper = self.path.join(UPPER);
        let mut applier = if let Some(top) = below.last() {
            copy_directory_metadata(top, &upper)?;
            let chain = LayerChain {
                ids: Vec::new(),
                directories: below.to_vec(),
            };
            let overlay = chain.overlay(None, upper.clone(), self.path.join(WORK));
            let mount = overlay.detached(&self.path.join(PLACE))?;
            Applier::on_top(open_directory_at(mount.as_fd(), Path::new("."))?, options)?
        } else {
            Applier::new(open_directory_at(CWD, &upper)?, options)?
        };
        let mut tar = stream.entries(limits.tar);
        applier.apply_layer(&mut tar)?;
        let bytes = tar.into_inner().finish()?;
        // All descriptors in the overlay go, and the mount with them: what was in its memory alone is
        // in the upper directory then.
        let Applied { rootfs, .. } = applier.finish()?;
        drop(rootfs);
        Ok(bytes)
    }

    /// What has been made.
    pub(super) fn tree(&self) -> Result<RootFs> {
        let upper = open_directory_at(CWD, &self.path.join(UPPER))?;
        Ok(RootFs::new(upper))
    }

    /// Makes it a layer of the store, once it is on disk.
    fn complete(self, target: &Path) -> Result<()> {
        let upper = self.path.join(UPPER);
        let context = || format!("put the layer at {}", target.display());
        rustix::fs::syncfs(open_directory_at(CWD, &upper)?).with_context(context)?;
        rustix::fs::rename(&upper, target).with_context(context)
    }

    fn empty(&self) -> Result<()> {
        unmount_from(&self.path.join(PLACE), true)?;
        let directory = RootFs::new(open_directory_at(CWD, &self.path)?);
        let root = directory.root();
        root.names()?.try_for_each(|name| root.remove(&name?))
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        let removed = self
            .empty()
            .and_then(|()| std::fs::remove_dir(&self.path).context("rmdir"));
        if let Err(error) = removed {
            let path = self.path.display();
            crate::warnings::warn(|| format!("can't remove {path}: {error:#}"));
        }
    }
}

/// Makes a directory and those above it. Images hold set-user-ID programs: nobody else may get at
/// them (CVE-2021-41103).
pub(super) fn make_private(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("make {}", path.display()))
}

fn make_directory(path: &Path) -> Result<()> {
    match rustix::fs::mkdir(path, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno).with_context(|| format!("mkdir {}", path.display())),
    }
}

/// Waits for the lock on a directory; nothing if the directory went away meanwhile.
fn lock(path: &Path) -> Result<Option<File>> {
    let context = || format!("flock {}", path.display());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(directory) => File::from(directory),
        Err(Errno::NOENT) => return Ok(None),
        Err(errno) => return Err(errno).with_context(context),
    };
    flock(&directory, FlockOperation::LockExclusive).with_context(context)?;
    let ours = rustix::fs::fstat(&directory).with_context(context)?;
    Ok(match rustix::fs::lstat(path) {
        Ok(there) if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino) => Some(directory),
        Ok(_) | Err(Errno::NOENT) => None,
        Err(errno) => return Err(errno).with_context(context),
    })
}

pub(super) fn open_directory_at(at: impl AsFd, path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, path, flags, Mode::empty())
        .with_context(|| format!("open {}", path.display()))
}

/// Gives a directory the owner, mode, attributes and times of another: the root of an overlay looks
/// as its upper directory does.
pub fn copy_directory_metadata(from: &Path, to: &Path) -> Result<()> {
    let from = RootFs::new(open_directory_at(CWD, from)?);
    let metadata = Metadata::of_existing(&Inode::open(from.root(), b".")?)?;
    let target = open_directory_at(CWD, to)?;
    let mut warnings = Warnings::default();
    let owner = metadata.owner_unlike(None);
    metadata
        .set(target.as_fd(), &ImagePath::root(), owner, &mut warnings)
        .with_context(|| format!("make {} as its layers' root is", to.display()))?;
    warnings.summarize();
    Ok(())
}
