//! A new volume begins with what the image has where it is mounted.
//!
//! The tree is written as a layer and applied as one, so that owners, attributes, hard links and
//! holes come over as they do everywhere else. What is interrupted begins again (`filling`), or
//! goes on (`filled`): what a container has written is never taken away.

use std::io::{BufReader, BufWriter};
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::DATA;
use crate::layer::apply::{Applier, ApplyOptions};
use crate::layer::diff::{LayerWriter, PackOptions, add_tree};
use crate::layer::limits::Limits;
use crate::layer::rootfs::{Directory, RootFs};
use crate::layer::tar::TarReader;

/// The copy in the making.
pub(super) const FILLING: &str = "filling";
/// The copy, whole; its entries are being moved into the data.
pub(super) const FILLED: &str = "filled";

/// Fills the volume whose directory is `volume`, which nobody else is at work on, from a directory
/// of the image, unless something is in it.
pub(super) fn fill(volume: &OwnedFd, from: Option<&Directory>) -> Result<()> {
    go_on(volume)?;
    let Some(from) = from else { return Ok(()) };
    if !directory(&open(volume, DATA)?)?.is_empty()? {
        return Ok(());
    }
    rustix::fs::mkdirat(volume, FILLING, Mode::RWXU).context("mkdirat 'filling'")?;
    let copied = copy(from, open(volume, FILLING)?);
    if let Err(error) = copied {
        remove(volume, FILLING)?;
        return Err(error);
    }
    rustix::fs::renameat(volume, FILLING, volume, FILLED).context("rename 'filling'")?;
    move_in(volume)
}

/// Ends what was interrupted.
fn go_on(volume: &OwnedFd) -> Result<()> {
    remove(volume, FILLING)?;
    match open(volume, FILLED) {
        Ok(_) => move_in(volume),
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno).context("open 'filled'"),
    }
}

/// Moves the copy's entries into the data. What a container has made meanwhile stays.
fn move_in(volume: &OwnedFd) -> Result<()> {
    let filled = open(volume, FILLED).context("open 'filled'")?;
    let data = open(volume, DATA).context("open the volume's data")?;
    for name in directory(&filled)?.names()? {
        let name = name?;
        let moved =
            rustix::fs::renameat_with(&filled, &*name, &data, &*name, RenameFlags::NOREPLACE);
        match moved {
            Ok(()) | Err(Errno::EXIST | Errno::NOTEMPTY) => {}
            Err(errno) => {
                return Err(errno).with_context(|| format!("rename {}", name.escape_ascii()));
            }
        }
    }
    let stat = rustix::fs::fstat(&filled).context("fstat 'filled'")?;
    let (uid, gid) = (stat.st_uid, stat.st_gid);
    let owner = (
        rustix::fs::Uid::from_raw(uid),
        rustix::fs::Gid::from_raw(gid),
    );
    rustix::fs::fchown(&data, Some(owner.0), Some(owner.1)).context("fchown the volume's data")?;
    rustix::fs::fchmod(&data, Mode::from_raw_mode(stat.st_mode & 0o7777))
        .context("fchmod the volume's data")?;
    remove(volume, FILLED)
}

fn copy(from: &Directory, to: OwnedFd) -> Result<()> {
    let (reader, writer) = std::io::pipe().context("pipe")?;
    let limits = Limits::default();
    let options = PackOptions {
        memory: limits.memory.clone(),
        ..PackOptions::default()
    };
    std::thread::scope(|scope| {
        let applying = scope.spawn(move || -> Result<()> {
            let mut tar = TarReader::new(BufReader::new(reader), limits.tar);
            let options = ApplyOptions {
                limits,
                ..ApplyOptions::default()
            };
            let mut applier = Applier::new(to, options)?;
            applier.apply_layer(&mut tar)?;
            applier.finish()?;
            Ok(())
        });
        let written = write(from, options, BufWriter::with_capacity(256 << 10, writer));
        let applied = applying.join();
        match (written, applied) {
            // If it is the pipe that broke, the other side knows why.
            (_, Ok(Err(error))) | (Err(error), Ok(Ok(()))) => Err(error),
            (Ok(()), Ok(Ok(()))) => Ok(()),
            (_, Err(_)) => bail!("the copying thread failed"),
        }
    })
}

fn write(from: &Directory, options: PackOptions, to: BufWriter<std::io::PipeWriter>) -> Result<()> {
    let mut layer = LayerWriter::new(to, options);
    add_tree(from, &mut layer)?;
    let mut rest = layer.finish()?;
    std::io::Write::flush(&mut rest).context("write the copy")
}

fn directory(fd: &OwnedFd) -> Result<Directory> {
    Ok(Directory::root(fd.try_clone().context("dup")?))
}

fn open(volume: &OwnedFd, name: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(volume, name, flags, Mode::empty())
}

/// Removes a directory of ours with all that is in it; it is fine if it isn't there.
fn remove(volume: &OwnedFd, name: &str) -> Result<()> {
    match rustix::fs::unlinkat(volume, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::NOTEMPTY) => {}
        Err(errno) => return Err(errno).with_context(|| format!("unlinkat '{name}'")),
    }
    let volume = RootFs::new(volume.try_clone().context("dup")?);
    volume.root().remove(name.as_bytes())
}
