//! `update`: new limits for a container.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use super::directory::ContainerDirectory;
use super::state::{Container, StateFile, Status};
use crate::cgroup::{self, Hierarchies, systemd};
use crate::error::{CallContext as _, Error, Result};
use crate::plan::update::{asked, updated};
use crate::report::{Listener, Silence};
use crate::spec::resources::Resources;
use crate::spec::{ConfigText, read_config};

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
    finish_interrupted(container, state, &hierarchies)?;
    let text = Known::read(container)?;
    let after = updated(text.resources()?, change);
    let record = Record::write(&container.directory, &after)?;
    let wanted = asked(change, &after);
    let before = || Ok(asked(change, &text.resources()?));
    give(state, &hierarchies, &wanted, before, listener)?;
    record.keep()
}

/// Gives the container the limits that are `wanted`; on failure those that it had `before`.
fn give<'b>(
    state: &StateFile,
    hierarchies: &Hierarchies,
    wanted: &Resources<'_>,
    before: impl FnOnce() -> Result<Resources<'b>>,
    listener: &dyn Listener,
) -> Result<()> {
    let mut writes = cgroup::writes(wanted, hierarchies)?;
    let Some(unit) = &state.unit else {
        return state.cgroups.update(&writes);
    };
    let layout = hierarchies.layout;
    state.cgroups.check(&writes)?;
    systemd::update(unit, &mut writes, layout, &mut |warning| {
        listener.warn(warning);
    })?;
    let written = state.cgroups.update(&writes);
    if written.is_err() {
        // The kernel has refused what systemd has taken; that one is the error to show.
        let before = before()?;
        let mut writes = cgroup::writes(&before, hierarchies)?;
        drop(systemd::update(unit, &mut writes, layout, &mut |_| ()));
    }
    written
}

/// An `update` that was killed has left behind what it was about to do, and has done any part of it:
/// it is carried through or, if that is refused, back.
fn finish_interrupted(
    container: &Container,
    state: &StateFile,
    hierarchies: &Hierarchies,
) -> Result<()> {
    let Some(record) = Record::left(&container.directory) else {
        return Ok(());
    };
    let text = read_config(&record.new);
    // Had it been killed while it wrote that down, it would have done nothing yet.
    let Some(wanted) = text.as_ref().ok().and_then(|text| text.parse().ok()) else {
        return Ok(());
    };
    let known = Known::read(container)?;
    let before = || known.resources().map(all_of);
    match give(state, hierarchies, &all_of(wanted), before, &Silence) {
        Ok(()) => record.keep(),
        Err(_) => give(state, hierarchies, &before()?, before, &Silence),
    }
}

/// What is to be written for all of these limits.
fn all_of(resources: Resources<'_>) -> Resources<'_> {
    asked(&resources, &resources)
}

/// The limits that the container has by our files.
struct Known {
    text: ConfigText,
    by_update: bool,
}

impl Known {
    fn read(container: &Container) -> Result<Self> {
        let kept = container.directory.file(RESOURCES_FILE);
        let by_update = kept.exists();
        let text = if by_update {
            read_config(&kept)?
        } else {
            container.config()?
        };
        Ok(Known { text, by_update })
    }

    fn resources(&self) -> Result<Resources<'_>> {
        Ok(if self.by_update {
            self.text.parse()?
        } else {
            self.text.spec()?.linux.resources.unwrap_or_default()
        })
    }
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

    /// What an `update` that was killed has left.
    fn left(directory: &ContainerDirectory) -> Option<Self> {
        let kept = directory.file(RESOURCES_FILE);
        let new = kept.with_extension("new");
        new.exists().then_some(Record { new, kept })
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
