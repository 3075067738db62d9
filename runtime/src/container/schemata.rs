//! `update --l3-cache-schema` and `--mem-bw-schema`: what the container's resctrl group shares out.

use super::state::Container;
use crate::error::{Error, Result};
use crate::plan::resctrl_group;
use crate::resctrl::Resctrl;

/// Writes a new line for the L3 cache, or for the memory bandwidth, or both.
///
/// # Errors
/// When this host has no resctrl, or not that part of it, when the container has no group, and the
/// kernel's.
pub fn update_schemata(
    container: &Container,
    cache: Option<&str>,
    bandwidth: Option<&str>,
) -> Result<()> {
    let resctrl = Resctrl::detect();
    let can = |part: fn(&Resctrl) -> bool| resctrl.as_ref().is_some_and(part);
    if cache.is_some() && !can(|resctrl| resctrl.cache) {
        return Err(Error::new("Intel RDT/CAT: l3 cache schema is not enabled"));
    }
    if bandwidth.is_some() && !can(|resctrl| resctrl.bandwidth) {
        return Err(Error::new(
            "Intel RDT/MBA: memory bandwidth schema is not enabled",
        ));
    }
    let lines: Vec<&str> = cache.into_iter().chain(bandwidth).collect();
    if let Some(line) = lines.iter().find(|line| line.contains('\n')) {
        return Err(Error::new(format!("{line:?} is more than one line")));
    }
    let config = container.config()?;
    let spec = config.spec()?;
    let wanted = spec.linux.intel_rdt.as_ref().ok_or_else(|| {
        Error::new("the container has no resctrl group")
            .hint("one is made only when config.json has /linux/intelRdt")
    })?;
    let (group, _) = resctrl_group(wanted, resctrl.as_ref())?;
    group.share_out(container.directory.id(), &lines)
}
