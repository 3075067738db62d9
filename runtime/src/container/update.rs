//! `update`: new limits for a container.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use super::directory::ContainerDirectory;
use super::state::{CONFIG_COPY, Container, Status};
use crate::cgroup::{self, Hierarchies, systemd};
use crate::error::{CallContext as _, Error, Result};
use crate::plan::update::{asked, updated};
use crate::report::Listener;
use crate::spec::read_config;
use crate::spec::resources::Resources;

/// The limits as the last `update` has left them, in the form of `linux.resources`; until there
/// was one, config.json has them.
pub const RESOURCES_FILE: &str = "resources.json";

/// Gives a container the limits that `change` asks for. The others stay as they are, and so does a
/// paused container. On failure all is as it was.
///
/// # Errors
/// `container not running`, and when the host can't honour the limits, or the kernel refuses one.
pub fn update(
    container: &Container,
    change: &Resources<'_>,
    listener: &dyn Listener,
) -> Result<()> {
    let _lock = container.directory.lock()?;
    let state = container.created()?;
    if container.status()? == Status::Stopped {
        return Err(Error::new("container not running"));
    }
    let hierarchies = Hierarchies::detect()?;
    let ignored = cgroup::ignored(change, hierarchies.layout);
    let mut warnings: Vec<_> = ignored.iter().map(|i| i.reason).collect();
    warnings.dedup();
    for warning in warnings {
        listener.warn(warning);
    }
    let kept = container.directory.file(RESOURCES_FILE);
    let updated_before = kept.exists();
    let text = read_config(&if updated_before {
        kept
    } else {
        container.directory.file(CONFIG_COPY)
    })?;
    let before = || -> Result<Resources<'_>> {
        Ok(if updated_before {
            text.parse()?
        } else {
            text.spec()?.linux.resources.unwrap_or_default()
        })
    };
    let after = updated(before()?, change);
    let wanted = asked(change, &after);
    let mut writes = cgroup::writes(&wanted, &hierarchies)?;
    let record = Record::write(&container.directory, &after)?;
    let Some(unit) = &state.unit else {
        state.cgroups.update(&writes)?;
        return record.keep();
    };
    state.cgroups.check(&writes)?;
    systemd::update(unit, &mut writes, hierarchies.layout, &mut |warning| {
        listener.warn(warning);
    })?;
    let written = state.cgroups.update(&writes);
    if written.is_err() {
        // The kernel has refused what systemd has taken; that one is the error to show.
        let wanted = asked(change, &before()?);
        let mut writes = cgroup::writes(&wanted, &hierarchies)?;
        let layout = hierarchies.layout;
        drop(systemd::update(unit, &mut writes, layout, &mut |_| ()));
    }
    written?;
    record.keep()
}

/// The new limits, written down but not yet in the place of the old ones.
struct Record {
    new: PathBuf,
    kept: PathBuf,
}

impl Record {
    fn write(directory: &ContainerDirectory, resources: &Resources<'_>) -> Result<Self> {
        let kept = directory.file(RESOURCES_FILE);
        let new = kept.with_extension("new");
        let text = serde_json::to_vec(resources)
            .map_err(|error| Error::new(format!("{RESOURCES_FILE}: {error}")))?;
        let shown = || format!("write {}", new.display());
        let mut options = File::options();
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&new).call(shown)?;
        file.write_all(&text).call(shown)?;
        Ok(Record { new, kept })
    }

    fn keep(self) -> Result<()> {
        std::fs::rename(&self.new, &self.kept).call(|| format!("rename to {}", self.kept.display()))
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // It has gone to its place, or is not needed.
        drop(std::fs::remove_file(&self.new));
    }
}
