//! `raw runtime-config`: an image's config.json alone.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use rustix::fs::{Mode, OFlags};

use crate::bundle::config::{self, ConfigOptions};
use crate::cli::arguments::MappingArguments;
use crate::layer::rootfs::RootFs;
use crate::layout::Layout;
use crate::layout::reference::ImageReference;
use crate::layout::resolve::Image;

/// Writes the config.json that a bundle of an image would have.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: windlass-img raw runtime-config --image images:debian config.json"
)]
pub struct RuntimeConfig {
    /// The image; the tag is 'latest' unless given.
    #[arg(long, value_name = "LAYOUT[:TAG]")]
    image: ImageReference,

    /// Where the image is unpacked: names of users and groups are looked up in it. Without it, an
    /// image whose user has a name gets root's numbers, with a warning.
    #[arg(long, value_name = "ROOTFS")]
    rootfs: Option<PathBuf>,

    #[command(flatten)]
    mapping: MappingArguments,

    /// The file to write.
    #[arg(value_name = "CONFIG.JSON")]
    file: PathBuf,
}

impl RuntimeConfig {
    pub(super) fn run(self) -> Result<()> {
        let layout = Layout::open(&self.image.layout)?;
        let image = Image::find(&layout, &self.image.tag)?;
        config::check_platform(&image.config)?;
        let rootfs = match self
            .rootfs
            .as_deref()
            .filter(|path| !path.as_os_str().is_empty())
        {
            Some(path) => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let fd = rustix::fs::open(path, flags, Mode::empty())
                    .with_context(|| format!("open {}", path.display()))?;
                Some(RootFs::new(fd))
            }
            None => None,
        };
        let mapping = self.mapping.mapping()?;
        let options = ConfigOptions::default();
        let json = config::convert(&image.config, rootfs.as_ref(), &mapping, options)
            .with_context(|| format!("can't make a config.json of {}", self.image))?;
        std::fs::write(&self.file, json).with_context(|| format!("write {}", self.file.display()))
    }
}
