//! Who may change a layout at the same time.
//!
//! Two locks, both flock(2), so that they end with their process:
//! - on the layout's directory: shared by all that add blobs, exclusive for what removes blobs;
//! - on `oci-layout`: held while index.json is read, changed and replaced.

use std::fs::File;

use anyhow::{Context, Result};
use rustix::fs::{Dir, FlockOperation, OFlags};
use rustix::io::Errno;

use super::blob::INCOMING_PREFIX;
use super::store::{Layout, TEMPORARY_PREFIX};
use crate::flock::flock;
use crate::warnings::warn;

impl Layout {
    /// Takes the right to add to this layout. What earlier changes left behind when they were
    /// killed is removed if nobody else is at work.
    pub(super) fn lock_to_change(&self) -> Result<()> {
        match rustix::fs::flock(&self.directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => self.remove_leftovers(),
            Err(Errno::WOULDBLOCK) => {}
            Err(errno) => {
                return Err(errno).with_context(|| format!("flock {}", self.path.display()));
            }
        }
        // Somebody else may get in between, which is fine: nothing has been begun.
        self.wait_for(FlockOperation::LockShared)
    }

    /// Takes the right to remove blobs: waits for all that add some, and keeps them waiting.
    pub(super) fn lock_to_remove(&self) -> Result<()> {
        self.wait_for(FlockOperation::LockExclusive)?;
        self.remove_leftovers();
        Ok(())
    }

    /// Whether nobody else is at work on this layout now; then nobody will be until it is dropped.
    pub(super) fn try_lock_to_remove(&self) -> bool {
        rustix::fs::flock(&self.directory, FlockOperation::NonBlockingLockExclusive).is_ok()
    }

    /// Keeps other writers off index.json until the result is dropped.
    pub(super) fn lock_index(&self) -> Result<File> {
        let marker = File::from(self.open_at("oci-layout", OFlags::RDONLY | OFlags::NOCTTY)?);
        rustix::fs::flock(&marker, FlockOperation::LockExclusive)
            .with_context(|| format!("flock {}/oci-layout", self.path.display()))?;
        Ok(marker)
    }

    fn wait_for(&self, operation: FlockOperation) -> Result<()> {
        flock(&self.directory, operation).with_context(|| format!("flock {}", self.path.display()))
    }

    /// Removes what killed changes left. Only for who has the layout alone. What can't be removed
    /// (another user's) is in nobody's way.
    fn remove_leftovers(&self) {
        let names = self.names().unwrap_or_else(|error| {
            warn(|| format!("can't look for what killed changes left: {error:#}"));
            Vec::new()
        });
        for name in names {
            let removed = if name.starts_with(INCOMING_PREFIX) {
                std::fs::remove_dir_all(self.path.join(&name))
            } else if name.starts_with(TEMPORARY_PREFIX) {
                std::fs::remove_file(self.path.join(&name))
            } else {
                continue;
            };
            if let Err(error) = removed {
                warn(|| {
                    let name = name.escape_debug();
                    format!("can't remove {name}, which a killed change left: {error}")
                });
            }
        }
    }

    /// The names in the layout's directory; one that isn't UTF-8 is nobody's that we know.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let context = || format!("read directory {}", self.path.display());
        let listing = self.open_at(".", OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut names = Vec::new();
        for entry in Dir::new(listing).with_context(context)? {
            let entry = entry.with_context(context)?;
            if let Ok(name) = entry.file_name().to_str()
                && !matches!(name, "." | "..")
            {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }
}
