//! Which of an index's images is wanted.

use super::document::Platform;

/// The platform that an image is wanted for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedPlatform {
    /// The operating system, as Go names it.
    pub os: String,
    /// The CPU, as Go names it.
    pub architecture: String,
    /// The variant of the CPU; unless given, what this machine runs.
    pub variant: Option<String>,
}

impl Default for WantedPlatform {
    /// This machine's.
    fn default() -> Self {
        WantedPlatform {
            os: "linux".to_owned(),
            architecture: host_architecture().to_owned(),
            variant: None,
        }
    }
}

impl WantedPlatform {
    /// Whether an index's entry may be for it. One that doesn't say is for all.
    pub fn fits(&self, platform: Option<&Platform>) -> bool {
        platform.is_none_or(|platform| {
            platform.os == self.os
                && platform.architecture == self.architecture
                && self.variant_fits(platform.variant.as_deref().unwrap_or_default())
        })
    }

    /// x86-64 has levels that a machine may lack; every arm64 runs v8.
    fn variant_fits(&self, variant: &str) -> bool {
        match (&self.variant, self.architecture.as_str()) {
            (Some(wanted), _) => wanted == variant,
            (None, "amd64") => matches!(variant, "" | "v1"),
            (None, "arm64") => matches!(variant, "" | "v8"),
            _ => true,
        }
    }

    /// The best entry for it. image-spec image-index.md: the first that fits is the one to use; an
    /// entry that says what it is for is better than one that doesn't.
    pub fn best<'a, T>(
        &self,
        entries: impl Iterator<Item = &'a T> + Clone,
        platform: impl Fn(&T) -> Option<&Platform>,
    ) -> Option<&'a T> {
        let mut fitting = entries.filter(|entry| self.fits(platform(entry)));
        let first = fitting.next()?;
        if platform(first).is_some() {
            return Some(first);
        }
        Some(
            fitting
                .find(|entry| platform(entry).is_some())
                .unwrap_or(first),
        )
    }
}

impl std::fmt::Display for WantedPlatform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// A platform for a message.
pub fn platform_name(platform: Option<&Platform>) -> String {
    platform.map_or_else(
        || "unnamed platform".to_owned(),
        |platform| {
            format!(
                "{}/{}",
                platform.os.escape_debug(),
                platform.architecture.escape_debug()
            )
        },
    )
}

/// This machine's architecture, as Go names it.
pub fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}
