//! Carrying out what the plan says about limits and devices.

use std::os::fd::OwnedFd;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::device_filter::Program;
use super::files;
use super::limits::{Above, Absent, Write};
use super::placement::{Place, Placement};
use crate::error::{CallContext as _, Error, ErrorContext as _, Result};
use crate::sys::bpf;
use crate::sys::exec::spend;

impl Placement {
    /// Carries out `writes` in order.
    ///
    /// Some values have to fit others (a limit and that of memory and swap, a quota and its burst),
    /// so that the right order depends on the values before: one that the kernel finds invalid is
    /// tried once more after the rest.
    pub fn apply(&self, writes: &[Write<'_>]) -> Result<()> {
        self.check(writes)?;
        let mut writer = Writer::default();
        let mut again = Vec::new();
        for (index, write) in writes.iter().enumerate() {
            let place = self.place_of(write)?;
            match writer.write(place, write) {
                Err(error)
                    if error.errno() == Some(Errno::INVAL)
                        && writes[index + 1..]
                            .iter()
                            .any(|w| w.controller == write.controller) =>
                {
                    again.push((place, write));
                }
                result => result?,
            }
        }
        again
            .into_iter()
            .try_for_each(|(place, write)| writer.write(place, write))
    }

    /// Refuses limits below what is in use, as far as `writes` ask for that.
    pub fn check(&self, writes: &[Write<'_>]) -> Result<()> {
        for write in writes {
            if let Some(above) = &write.above {
                self.place_of(write)?.refuse_below_usage(above, write)?;
            }
        }
        Ok(())
    }

    /// The cgroup that `write` is for.
    pub(super) fn place_of(&self, write: &Write<'_>) -> Result<&Place> {
        self.with_controller(&write.controller).ok_or_else(|| {
            Error::new(format!(
                "the container is in no {} cgroup",
                write.controller
            ))
            .at(write.pointer.clone())
        })
    }

    /// Puts `program` on the container's cgroup of version 2, in place of any that are there: one is
    /// replaced at once, of several the others go when the new one is there, and until then what
    /// any of them denies is denied.
    pub fn apply_device_filter(&self, program: &Program) -> Result<()> {
        let place = self
            .v2()
            .ok_or_else(|| Error::new("a device filter needs a cgroup of version 2"))?;
        let cgroup = files::open(&place.path, OFlags::RDONLY | OFlags::DIRECTORY)
            .call(|| format!("open({:?}, O_DIRECTORY)", place.path))?;
        let before = bpf::device_filters(&cgroup)
            .call(|| format!("bpf(BPF_PROG_QUERY, {:?})", place.path))?;
        let filter = load(program)?;
        if let [one] = before.as_slice()
            && bpf::replace_device_filter(&cgroup, &filter, one).is_ok()
        {
            return Ok(());
        }
        bpf::attach_device_filter(&cgroup, &filter)
            .call(|| format!("bpf(BPF_PROG_ATTACH, {:?})", place.path))?;
        before.iter().try_for_each(|filter| {
            bpf::detach_device_filter(&cgroup, filter)
                .call(|| format!("bpf(BPF_PROG_DETACH, {:?})", place.path))
        })
    }
}

/// Loads `program`, with `RLIMIT_MEMLOCK` lifted where the kernel counts programs against it
/// (before Linux 5.11).
fn load(program: &Program) -> Result<OwnedFd> {
    let attempt = || bpf::load_device_filter(program.instructions());
    let result = match attempt() {
        Err(Errno::PERM) => {
            let limit = getrlimit(Resource::Memlock);
            let lifted = Rlimit {
                current: None,
                maximum: None,
            };
            match setrlimit(Resource::Memlock, lifted) {
                Ok(()) => {
                    let result = attempt();
                    setrlimit(Resource::Memlock, limit)
                        .call(|| "setrlimit(RLIMIT_MEMLOCK, what it was)")?;
                    result
                }
                Err(_) => Err(Errno::PERM),
            }
        }
        result => result,
    };
    result
        .call(|| "bpf(BPF_PROG_LOAD, BPF_PROG_TYPE_CGROUP_DEVICE)")
        .map_err(|error| {
            error.hint("the kernel needs CONFIG_CGROUP_BPF, and the runtime CAP_SYS_ADMIN")
        })
        .context(|| "loading the device filter")
}

/// Keeps a file open while one write after the other goes to it.
#[derive(Default)]
struct Writer {
    open: Option<OwnedFd>,
    path: String,
}

impl Drop for Writer {
    fn drop(&mut self) {
        spend(self.open.take());
    }
}

impl Writer {
    fn write(&mut self, place: &Place, write: &Write<'_>) -> Result<()> {
        let path = format!("{}/{}", place.path, write.file);
        let result = match (self.write_to(&path, &write.value), &write.absent) {
            (Err(error), Absent::Ignore) if error.errno() == Some(Errno::NOENT) => Ok(()),
            (Err(error), Absent::Instead { file, value })
                if error.errno() == Some(Errno::NOENT) =>
            {
                self.write_to(&format!("{}/{file}", place.path), value)
            }
            (result, _) => result,
        };
        result.map_err(|error| {
            let error = match error.errno() {
                Some(Errno::NOENT) => error.hint(format!(
                    "the {} controller of this kernel has no such file here",
                    write.controller
                )),
                Some(Errno::BUSY) if write.controller == "memory" => {
                    error.hint("more than that is in use")
                }
                _ => error,
            };
            if write.pointer.is_empty() {
                error
            } else {
                error.at(write.pointer.clone())
            }
        })
    }

    fn write_to(&mut self, path: &str, value: &str) -> Result<()> {
        if self.path != path {
            let file =
                files::open(path, OFlags::WRONLY).call(|| format!("open({path:?}, O_WRONLY)"))?;
            spend(self.open.replace(file));
            path.clone_into(&mut self.path);
        }
        self.open.as_ref().map_or(Ok(()), |file| {
            files::write(file, value).call(|| format!("write({path:?}, {value:?})"))
        })
    }
}

impl Place {
    /// Refuses a limit that is not above what is in use. What can't be read is no reason to refuse.
    fn refuse_below_usage(&self, above: &Above, write: &Write<'_>) -> Result<()> {
        let usage = files::read(&format!("{}/{}", self.path, above.usage))
            .ok()
            .and_then(|usage| usage.trim_end().parse::<u64>().ok());
        match usage {
            Some(usage) if above.wanted <= usage => Err(Error::config(
                write.pointer.clone(),
                format!(
                    "rejecting {} limit {} <= usage {usage}",
                    above.what, above.wanted
                ),
            )),
            _ => Ok(()),
        }
    }
}
