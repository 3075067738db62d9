//! An overlay's upper directory becomes an unpacked layer of the store as it is.

use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::next_chain_id;
use crate::layout::digest::Digest;
use crate::store::Store;

impl Store {
    /// Makes `upper` the unpacked layer of `diff_id` on top of the layer whose chainID is `below`;
    /// returns the chainID. `upper` is on the store's file system, is mounted nowhere, and holds
    /// exactly what the layer's archive does (`layer::diff::overlay::write_upper`). If the layer is
    /// there already, `upper` stays where it is.
    pub fn adopt_layer(
        &self,
        upper: &Path,
        below: Option<&Digest>,
        diff_id: &Digest,
    ) -> Result<Digest> {
        let id = next_chain_id(below, diff_id);
        let target = self.layer_directory(&id);
        let context = || format!("put the layer at {}", target.display());
        if let Some(parent) = target.parent() {
            super::unpack::make_private(parent)?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory =
            rustix::fs::openat(CWD, upper, flags, Mode::empty()).with_context(context)?;
        rustix::fs::syncfs(directory).with_context(context)?;
        match rustix::fs::rename(upper, &target) {
            // A directory that isn't empty, which layers hardly ever are, or an empty one.
            Ok(()) | Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(id),
            Err(errno) => Err(errno).with_context(context),
        }
    }
}
