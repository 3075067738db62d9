//! `--override-os`, `--override-arch`, `--override-variant`: skopeo's way to choose of an index.

use clap::Args;

use crate::layout::platform::WantedPlatform;

/// Which of an index's images is wanted.
#[derive(Debug, Args)]
pub struct PlatformArguments {
    /// The operating system of the image, as Go names it, in place of this machine's.
    #[arg(long = "override-os", value_name = "OS")]
    os: Option<String>,

    /// The CPU of the image, as Go names it, in place of this machine's.
    #[arg(long = "override-arch", value_name = "ARCH")]
    arch: Option<String>,

    /// The variant of the CPU.
    #[arg(long = "override-variant", value_name = "VARIANT")]
    variant: Option<String>,
}

impl PlatformArguments {
    /// The platform.
    pub fn wanted(&self) -> WantedPlatform {
        let here = WantedPlatform::default();
        WantedPlatform {
            os: self.os.clone().unwrap_or(here.os),
            architecture: self.arch.clone().unwrap_or(here.architecture),
            variant: self.variant.clone(),
        }
    }
}
