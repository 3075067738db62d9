//! Removing unpacked layers that nothing needs.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{CWD, Mode, OFlags};

use crate::layer::rootfs::RootFs;
use crate::layout::digest::Digest;
use crate::overlay::unmount_from;
use crate::store::Store;
use crate::sys::signal;

impl Store {
    /// Removes every unpacked layer but those in `needed`, and what the making of others left; says
    /// how many. Only for who has the store alone.
    pub(in crate::store) fn collect_layers(&self, needed: &HashSet<Digest>) -> Result<u64> {
        let mut collected = 0;
        for (id, path) in self.layers_here()? {
            signal::check()?;
            if id.is_none_or(|id| !needed.contains(&id)) {
                remove_layer(&path)?;
                collected += 1;
            }
        }
        Ok(collected)
    }

    /// Removes an unpacked layer that no bundle needs. Only for who has the store alone.
    pub fn remove_layer(&self, id: &Digest) -> Result<()> {
        remove_layer(&self.layer_directory(id))
    }

    /// All that is where unpacked layers are; without a chainID what isn't whole.
    pub(in crate::store) fn layers_here(&self) -> Result<Vec<(Option<Digest>, PathBuf)>> {
        let mut layers = Vec::new();
        for algorithm in names(&self.layers_directory())? {
            let directory = self.layers_directory().join(&algorithm);
            for name in names(&directory)? {
                let id = format!("{algorithm}:{name}").parse().ok();
                layers.push((id, directory.join(name)));
            }
        }
        Ok(layers)
    }
}

/// Removes a layer under another name: it is whole, or not there.
fn remove_layer(path: &Path) -> Result<()> {
    let context = || format!("remove layer {}", path.display());
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        bail!("{} is no layer's place", path.display());
    };
    let name = name.to_string_lossy();
    let doomed = if name.starts_with('.') {
        name.into_owned()
    } else {
        let doomed = format!(".removed-{name}");
        rustix::fs::rename(path, directory.join(&doomed)).with_context(context)?;
        doomed
    };
    unmount_from(&directory.join(&doomed).join("place"), true)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = rustix::fs::openat(CWD, directory, flags, Mode::empty()).with_context(context)?;
    RootFs::new(parent)
        .root()
        .remove(doomed.as_bytes())
        .with_context(context)
}

/// The names in a directory; none if it isn't there.
fn names(directory: &Path) -> Result<Vec<String>> {
    let context = || format!("read directory {}", directory.display());
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(context),
    };
    let mut names = Vec::new();
    for entry in entries {
        // What isn't UTF-8 is nobody's that we know.
        names.extend(entry.with_context(context)?.file_name().into_string().ok());
    }
    Ok(names)
}
