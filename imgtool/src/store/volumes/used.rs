//! The volumes of one bundle, while it is being made.

use std::path::PathBuf;

use anyhow::Result;

use super::{DATA, NewVolume, Volume, VolumeName, Volumes};
use crate::bundle::options::Label;
use crate::layer::path::ImagePath;
use crate::layer::rootfs::RootFs;

/// Volumes that a bundle is going to use. Those that weren't there yet come into being with
/// [`UsedVolumes::keep`]; until then nobody else sees them, so that they may go again.
#[derive(Debug)]
pub struct UsedVolumes {
    volumes: Volumes,
    names: Vec<VolumeName>,
    new: Vec<NewVolume>,
}

impl Volumes {
    /// Begins to collect what a bundle uses.
    pub fn begin_use(self) -> UsedVolumes {
        UsedVolumes {
            volumes: self,
            names: Vec::new(),
            new: Vec::new(),
        }
    }
}

impl UsedVolumes {
    /// Where the directory of a volume will be, which is made if it isn't there, and filled from
    /// `from`, a path of the image, if it is empty.
    pub fn take(
        &mut self,
        name: Option<&VolumeName>,
        labels: &[Label],
        rootfs: &mut RootFs,
        from: Option<&str>,
    ) -> Result<PathBuf> {
        let source = match from {
            Some(path) => rootfs.directory(&ImagePath::parse(path.as_bytes())?)?,
            None => None,
        };
        let volume = match name {
            Some(name) => match self.find(name)? {
                Some(volume) => volume,
                None => self.begin(self.volumes.begin(name, labels, false)?),
            },
            None => self.begin(self.volumes.begin_anonymous(labels)?),
        };
        volume.fill(source.as_deref())?;
        let data = self.volumes.path_of(&volume.name).join(DATA);
        self.names.push(volume.name);
        Ok(data)
    }

    /// A volume that is there, or that this bundle has begun.
    fn find(&self, name: &VolumeName) -> Result<Option<Volume>> {
        let mut begun = self.new.iter().map(|new| &new.volume);
        match begun.find(|volume| volume.name == *name) {
            Some(volume) => Ok(Some(volume.clone())),
            None => self.volumes.find(name),
        }
    }

    fn begin(&mut self, new: NewVolume) -> Volume {
        let volume = new.volume.clone();
        self.new.push(new);
        volume
    }

    /// Their names.
    pub fn names(&self) -> &[VolumeName] {
        &self.names
    }

    /// Makes them everybody's: the bundle is as good as there. Until then nobody else can remove
    /// those that were there before.
    pub fn keep(self) -> Result<()> {
        for new in self.new {
            self.volumes.publish(new)?;
        }
        Ok(())
    }
}
