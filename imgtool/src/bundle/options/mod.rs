//! What the caller says of a bundle's config.json.

use anyhow::Result;
use clap::Args;

use super::create::BundleInMaking;
use super::runtime_config::RuntimeConfig;

/// What the caller says of the container's process, mounts and limits.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Container")]
pub struct BundleOptions {}

impl BundleOptions {
    /// Changes what the image's configuration gave. Mounts that are added here get their mount
    /// points in the init layer; `making.rootfs` shows the image, for volumes that begin with
    /// what it has.
    // Skeleton: the options come next.
    #[allow(clippy::unused_self, clippy::unnecessary_wraps)]
    pub(super) fn configure(
        &self,
        config: &mut RuntimeConfig,
        making: &mut BundleInMaking<'_>,
    ) -> Result<()> {
        for path in making.image.config.volumes.keys() {
            config.mounts.push(super::config::volume(path)?);
        }
        Ok(())
    }
}
