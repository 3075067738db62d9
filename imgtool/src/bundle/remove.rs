//! `unbundle`: a container's bundle goes, with what the container wrote.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags};

use super::container_record::{CONTAINER_RECORD, ContainerRecord};
use super::create::{INIT, UPPER, WORK};
use super::directory::{CONFIG, ROOTFS, UNFINISHED_CONFIG};
use super::lock::BundleLock;
use super::record;
use crate::boot::boot_id;
use crate::layer::rootfs::RootFs;
use crate::network::{self, hook};
use crate::overlay::unmount_from;
use crate::store::Store;
use crate::store::volumes::{VolumeName, Volumes};
use crate::warnings;

/// Removes the bundle at `path`: unmounts its root file system, removes what the container wrote,
/// and lets its layers go. What is in the directory that isn't the bundle's stays. It is fine if
/// there is nothing, or if an earlier removal was killed. With `with_volumes` its volumes go too,
/// but for those that have a name.
pub fn remove(path: &Path, with_volumes: bool) -> Result<()> {
    let nothing = || warnings::note(|| format!("there is no {} to remove", path.display()));
    if !path.exists() {
        nothing();
        return Ok(());
    }
    // Who reads it, for a commit, reads all of it.
    let _lock = BundleLock::take(open_directory(path)?, FlockOperation::LockExclusive)?;
    if !path.exists() {
        nothing();
        return Ok(());
    }
    let Some(record) = ContainerRecord::read(path)? else {
        bail!(
            "{} is no bundle of ours: it has no {CONTAINER_RECORD} (one that unpack made is \
             removed by rm -r)",
            path.display()
        );
    };
    if let Some(process) = user_of(path, &record)? {
        bail!(
            "a container of {} runs (process {process}): end and delete it first",
            path.display()
        );
    }
    // The store may be gone already.
    let store = record.store.join("oci-layout").exists();
    let store = if store {
        Some(Store::open(&record.store)?)
    } else {
        None
    };
    remove_recorded(path, &record, store.as_ref())?;
    match store {
        Some(store) if with_volumes => remove_volumes(&record.volumes, &store),
        _ => Ok(()),
    }
}

/// Removes volumes that nobody has named and no other bundle uses.
fn remove_volumes(names: &[VolumeName], store: &Store) -> Result<()> {
    let volumes = Volumes::open_to_remove(store.layout().path())?;
    let users = store.users_of_volumes()?;
    for name in names {
        if users.contains_key(name) {
            continue;
        }
        if let Some(volume) = volumes.find(name)?
            && volume.record.anonymous
        {
            volumes.remove(&volume)?;
        }
    }
    Ok(())
}

/// Removes a bundle that nobody uses. The record goes last of what is in it, so that what is left
/// can be removed after a crash.
pub(crate) fn remove_recorded(
    path: &Path,
    record: &ContainerRecord,
    store: Option<&Store>,
) -> Result<()> {
    hook::detach_bundle(&path.join(network::RECORD)).context("disconnect its containers")?;
    if let Some(store) = store {
        store.begin_to_remove_bundle(&record.id)?;
    }
    let directory = open_directory(path)?;
    let contents = RootFs::new(directory.try_clone().context("dup")?.into());
    // Without it, no runtime makes a container of what is left.
    contents.root().remove(CONFIG.as_bytes())?;
    let rootfs = path.join(ROOTFS);
    while unmount_from(&rootfs, false).with_context(|| {
        format!(
            "something is at work in {} (its directory or an open file)",
            rootfs.display()
        )
    })? {}
    let names = [
        ROOTFS,
        UPPER,
        WORK,
        INIT,
        UNFINISHED_CONFIG,
        record::RECORD,
        network::RECORD,
    ];
    for name in names.into_iter().chain(super::host_files::NAMES) {
        contents.root().remove(name.as_bytes())?;
    }
    for name in contents.root().names()? {
        let name = name?;
        if name.ends_with(b".mtree") {
            contents.root().remove(&name)?;
        }
    }
    let unfinished = format!(".{CONTAINER_RECORD}.unfinished");
    for name in [&unfinished, CONTAINER_RECORD] {
        contents.root().remove(name.as_bytes())?;
    }
    if let Some(store) = store {
        store.forget_bundle(&record.id)?;
    }
    match std::fs::remove_dir(path) {
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
            warnings::warn(|| format!("{} stays: it holds files of others", path.display()));
            Ok(())
        }
        result => result.with_context(|| format!("rmdir {}", path.display())),
    }
}

fn open_directory(path: &Path) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(CWD, path, flags, Mode::empty())
        .with_context(|| format!("open {}", path.display()))?;
    Ok(directory.into())
}

/// A process whose root directory a bundle's root file system is, whatever runtime put it there:
/// a mount is the same file system in every mount namespace. One that was unmounted under its
/// container (`umount -l`) is known by the record.
pub(crate) fn user_of(bundle: &Path, record: &ContainerRecord) -> Result<Option<u32>> {
    let rootfs = bundle.join(ROOTFS);
    let mut roots: Vec<(u64, u64)> = Vec::new();
    match std::fs::metadata(&rootfs) {
        Ok(root) => roots.push((root.dev(), root.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("stat {}", rootfs.display())),
    }
    if let Some(mounted) = &record.mounted
        && mounted.boot == boot_id()?
    {
        roots.push((mounted.device, mounted.inode));
    }
    for entry in std::fs::read_dir("/proc").context("read /proc")? {
        let entry = entry.context("read /proc")?;
        let name = entry.file_name();
        let Some(process) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // It may have ended by now.
        if let Ok(root) = std::fs::metadata(entry.path().join("root"))
            && roots.contains(&(root.dev(), root.ino()))
        {
            return Ok(Some(process));
        }
    }
    Ok(None)
}
