//! Where a bundle is by now: at its path, somewhere else, on a file system that isn't mounted, or gone.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::bundle_place::Found;
use super::bundles::BundleReference;
use crate::bundle::container_record::ContainerRecord;

/// Where a bundle is.
#[derive(Debug)]
pub enum Whereabouts {
    /// At this path.
    At(PathBuf, Box<ContainerRecord>),
    /// Perhaps on a file system that isn't mounted where it was.
    Unreachable,
    /// It was removed, by whatever means.
    Gone,
}

impl BundleReference {
    /// Finds the bundle. One whose record can't be read is an error: whatever it is, it may be in use.
    pub fn find(&self) -> Result<Whereabouts> {
        if let Some(record) = self.record_at(&self.path)? {
            return Ok(Whereabouts::At(self.path.clone(), record));
        }
        let Some(place) = &self.place else {
            return Ok(Whereabouts::Gone);
        };
        let directory = match place.look(&self.path)? {
            Found::There(directory) => directory,
            Found::NotMounted => return Ok(Whereabouts::Unreachable),
            Found::Removed => return Ok(Whereabouts::Gone),
        };
        let name = format!("/proc/self/fd/{}", directory.as_raw_fd());
        if self.record_at(Path::new(&name))?.is_none() {
            return Ok(Whereabouts::Gone);
        }
        let path = std::fs::read_link(&name).with_context(|| format!("readlink {name}"))?;
        Ok(match self.record_at(&path)? {
            Some(record) => Whereabouts::At(path, record),
            None => Whereabouts::Unreachable,
        })
    }

    fn record_at(&self, path: &Path) -> Result<Option<Box<ContainerRecord>>> {
        let record = ContainerRecord::read(path)?;
        Ok(record.filter(|record| record.id == self.id).map(Box::new))
    }
}
