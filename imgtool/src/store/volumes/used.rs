//! The volumes of one bundle, while it is being made.

use std::path::PathBuf;

use anyhow::Result;

use super::{Volume, VolumeName, Volumes};
use crate::bundle::options::Label;
use crate::layer::path::ImagePath;
use crate::layer::rootfs::RootFs;
use crate::warnings::warn;

/// Volumes that a bundle is going to use. Dropped without [`UsedVolumes::keep`], it removes those
/// that nobody has named.
#[derive(Debug)]
pub struct UsedVolumes {
    volumes: Volumes,
    names: Vec<VolumeName>,
    anonymous: Vec<Volume>,
}

impl Volumes {
    /// Begins to collect what a bundle uses.
    pub fn begin_use(self) -> UsedVolumes {
        UsedVolumes {
            volumes: self,
            names: Vec::new(),
            anonymous: Vec::new(),
        }
    }
}

impl UsedVolumes {
    /// The directory of a volume, which is made if it isn't there, and filled from `from`, a path
    /// of the image, if it is empty.
    pub fn take(
        &mut self,
        name: Option<&VolumeName>,
        labels: &[Label],
        rootfs: &mut RootFs,
        from: Option<&str>,
    ) -> Result<PathBuf> {
        let volume = if let Some(name) = name {
            self.volumes.find_or_create(name, labels)?
        } else {
            let volume = self.volumes.create_anonymous(labels)?;
            self.anonymous.push(volume.clone());
            volume
        };
        let source = match from {
            Some(path) => rootfs.directory(&ImagePath::parse(path.as_bytes())?)?,
            None => None,
        };
        volume.fill(source.as_deref())?;
        self.names.push(volume.name.clone());
        Ok(volume.data())
    }

    /// Their names.
    pub fn names(&self) -> &[VolumeName] {
        &self.names
    }

    /// Keeps the volumes: the bundle is there. Until then nobody else can remove them.
    pub fn keep(mut self) {
        self.anonymous.clear();
    }
}

impl Drop for UsedVolumes {
    fn drop(&mut self) {
        for volume in &self.anonymous {
            if let Err(error) = self.volumes.remove(volume) {
                let name = &volume.name;
                warn(|| format!("can't remove volume {name}, which was just made: {error:#}"));
            }
        }
    }
}
