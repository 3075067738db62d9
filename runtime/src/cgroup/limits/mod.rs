//! From `linux.resources` to what is written into which file: pure, in the order of writing.

mod v1;
mod v2;

use std::borrow::Cow;

use super::hierarchies::{Hierarchies, Layout};
use crate::error::{Error, Result};
use crate::spec::resources::{Memory, Resources};

/// One write into a file of the container's cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write<'a> {
    /// The controller whose file it is.
    pub controller: Cow<'a, str>,
    /// The file's name.
    pub file: Cow<'a, str>,
    /// What is written, in one call.
    pub value: Cow<'a, str>,
    /// Where config.json asks for it, as a JSON pointer; empty for a default of the runtime.
    pub pointer: Cow<'static, str>,
    /// The heading of config-linux.md that describes it.
    pub clause: &'static str,
    /// What to do if this kernel has no such file.
    pub absent: Absent<'a>,
    /// A number that must be above what is in use already.
    pub above: Option<Above>,
}

/// See [`Write::above`]: the kernel would enforce a limit below the usage by killing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Above {
    /// The file of the same cgroup that tells what is in use.
    pub usage: &'static str,
    /// The number that is asked for, in the file's unit.
    pub wanted: u64,
    /// What it limits, in runc's words.
    pub what: &'static str,
}

/// What a missing file means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absent<'a> {
    /// The request can't be honoured.
    Refuse,
    /// The request is fulfilled without it.
    Ignore,
    /// Another file serves, with another value.
    Instead {
        /// The other file's name.
        file: &'static str,
        /// What is written there.
        value: Cow<'a, str>,
    },
}

/// A field that is read and deliberately not acted upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ignored {
    /// Its JSON pointer.
    pub pointer: &'static str,
    /// Why, as a warning to print.
    pub reason: &'static str,
}

/// What has to be written to give a new cgroup the limits of `resources`, in order.
///
/// Values that fit each other only in one order are in the order that suits a new cgroup;
/// [`super::Placement::apply`] finds the other order where that is needed. Devices are not here but
/// in [`super::devices`].
///
/// Fails for what this host, or the version of its cgroups, can't honour (config-linux.md,
/// "Unified": "If the conversion is not possible the runtime MUST generate an error"), naming the
/// field.
pub fn writes<'a>(
    resources: &'a Resources<'_>,
    hierarchies: &Hierarchies,
) -> Result<Vec<Write<'a>>> {
    let writes = match hierarchies.layout {
        Layout::V2 => v2::writes(resources)?,
        Layout::V1 | Layout::Hybrid => v1::writes(resources)?,
    };
    for write in &writes {
        if write.controller != "cgroup" && !hierarchies.has(&write.controller) {
            return Err(missing_controller(write));
        }
    }
    Ok(writes)
}

/// The fields of `resources` that have no effect, as in runc; but v1 does limit the kernel's TCP
/// buffers.
pub fn ignored(resources: &Resources<'_>, layout: Layout) -> Vec<Ignored> {
    let Some(memory) = &resources.memory else {
        return Vec::new();
    };
    let kernel = "Kernel memory settings are ignored and will be removed";
    let hierarchy = "memory is always accounted hierarchically";
    [
        (
            memory.kernel.is_some(),
            "/linux/resources/memory/kernel",
            kernel,
        ),
        (
            memory.kernel_tcp.is_some() && layout == Layout::V2,
            "/linux/resources/memory/kernelTCP",
            kernel,
        ),
        (
            memory.use_hierarchy == Some(false),
            "/linux/resources/memory/useHierarchy",
            hierarchy,
        ),
    ]
    .into_iter()
    .filter_map(|(set, pointer, reason)| set.then_some(Ignored { pointer, reason }))
    .collect()
}

fn missing_controller(write: &Write<'_>) -> Error {
    let controller = &write.controller;
    if write.clause == clause::UNIFIED {
        return Error::config(
            write.pointer.clone(),
            format!(
                "unified resource {:?} can't be set: controller {controller:?} not available",
                write.file
            ),
        );
    }
    Error::config(
        write.pointer.clone(),
        format!("cannot set {controller} limit: this host has no {controller} controller"),
    )
    .hint(format!("mount or enable {controller}, or drop the field"))
}

/// The headings of config-linux.md.
mod clause {
    pub(super) const MEMORY: &str = "Memory";
    pub(super) const CPU: &str = "CPU";
    pub(super) const BLOCK_IO: &str = "Block IO";
    pub(super) const HUGE_PAGES: &str = "Huge page limits";
    pub(super) const NETWORK: &str = "Network";
    pub(super) const PIDS: &str = "PIDs";
    pub(super) const RDMA: &str = "RDMA";
    pub(super) const UNIFIED: &str = "Unified";
}

impl<'a> Write<'a> {
    /// A write of `value` into `file`, asked for by the field `pointer` of `linux.resources`.
    pub(super) fn new(
        controller: &'static str,
        file: impl Into<Cow<'a, str>>,
        value: impl Into<Cow<'a, str>>,
        pointer: impl AsRef<str>,
        clause: &'static str,
    ) -> Self {
        Write {
            controller: Cow::Borrowed(controller),
            file: file.into(),
            value: value.into(),
            pointer: Cow::Owned(format!("/linux/resources/{}", pointer.as_ref())),
            clause,
            absent: Absent::Refuse,
            above: None,
        }
    }

    fn optional(mut self) -> Self {
        self.absent = Absent::Ignore;
        self
    }

    fn or(mut self, file: &'static str, value: impl Into<Cow<'a, str>>) -> Self {
        self.absent = Absent::Instead {
            file,
            value: value.into(),
        };
        self
    }
}

/// A number that is set: engines write 0 for what they leave alone.
fn set<N: Default + PartialEq>(number: Option<N>) -> Option<N> {
    number.filter(|number| *number != N::default())
}

/// `linux.resources.pids.limit` in the kernel's words; 0 is taken as 1, as systemd and runc do.
fn pids_max(limit: i64) -> Cow<'static, str> {
    match limit {
        0 => "1".into(),
        1.. => limit.to_string().into(),
        _ => "max".into(),
    }
}

/// The writes for `hugepageLimits`, which differ only in the last part of the files' names.
/// Reservations are limited too where the kernel counts them (Linux 5.7).
fn huge_pages(resources: &Resources<'_>, limit: &str, out: &mut Vec<Write<'_>>) -> Result<()> {
    for (index, page) in resources.hugepage_limits.iter().enumerate() {
        let size = page.page_size.as_ref();
        let digits = ["KB", "MB", "GB"]
            .iter()
            .find_map(|unit| size.strip_suffix(unit));
        if !digits.is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit())) {
            return Err(Error::config(
                format!("/linux/resources/hugepageLimits/{index}/pageSize"),
                format!("{size:?} is no size of huge pages"),
            )
            .hint("write it as the kernel does: 64KB, 2MB, 1GB"));
        }
        let value = page.limit.to_string();
        let pointer = format!("hugepageLimits/{index}/limit");
        let write =
            |file: String| Write::new("hugetlb", file, value.clone(), &pointer, clause::HUGE_PAGES);
        out.push(write(format!("hugetlb.{size}.{limit}")));
        out.push(write(format!("hugetlb.{size}.rsvd.{limit}")).optional());
    }
    Ok(())
}

/// The writes for `rdma`, the same on v1 and v2 (Documentation/admin-guide/cgroup-v1/rdma.rst).
fn rdma(resources: &Resources<'_>, out: &mut Vec<Write<'_>>) -> Result<()> {
    for (device, limits) in &resources.rdma {
        let pointer = format!("rdma/{}", escape(device));
        let handles = limits
            .hca_handles
            .map(|n| format!(" hca_handle={n}"))
            .unwrap_or_default();
        let objects = limits
            .hca_objects
            .map(|n| format!(" hca_object={n}"))
            .unwrap_or_default();
        if handles.is_empty() && objects.is_empty() {
            return Err(Error::config(
                format!("/linux/resources/{pointer}"),
                "neither hcaHandles nor hcaObjects is given",
            ));
        }
        let value = format!("{device}{handles}{objects}");
        out.push(Write::new("rdma", "rdma.max", value, pointer, clause::RDMA));
    }
    Ok(())
}

/// `linux.resources.memory.swappiness`, if it is set: Go's -1 as an unsigned number means that it
/// is not.
fn swappiness(memory: &Memory) -> Option<u64> {
    memory
        .swappiness
        .filter(|swappiness| *swappiness != u64::MAX)
}

/// A key as part of a JSON pointer (RFC 6901, section 3).
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests;
