//! Which start of the machine this is.

use anyhow::{Context, Result};

/// A word that no other start of the machine has (/proc/sys/kernel/random/boot_id).
pub(crate) fn boot_id() -> Result<String> {
    const FILE: &str = "/proc/sys/kernel/random/boot_id";
    let id = std::fs::read_to_string(FILE).with_context(|| format!("read {FILE}"))?;
    Ok(id.trim().to_owned())
}
