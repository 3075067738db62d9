//! What a container has used: what `events` prints, in the very form of runc's (its Go package
//! `types`), so that a shim can take it from either.
//!
//! Times are in nanoseconds, sizes in bytes. What this host doesn't count is left out where runc
//! leaves it out, and 0 where runc prints 0.

mod files;
mod v1;
mod v2;

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::placement::Placement;
use crate::error::{ErrorContext as _, Result};

/// A limit that is none.
const UNLIMITED: u64 = u64::MAX;

/// All that is counted for a container.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Processor time.
    pub cpu: Cpu,
    /// The settings of the cpuset: on cgroup v1 only.
    pub cpuset: CpuSet,
    /// Memory.
    pub memory: Memory,
    /// Tasks.
    pub pids: Pids,
    /// Block devices.
    pub blkio: BlockIo,
    /// Huge pages by their size, such as `2MB`.
    pub hugetlb: BTreeMap<String, Hugetlb>,
    /// Nothing: the container is in no group of Intel RDT's.
    pub intel_rdt: IntelRdt,
    /// Nothing: as in runc, interfaces are the business of whoever made them.
    pub network_interfaces: Option<()>,
}

/// See [`Stats::cpu`].
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Cpu {
    /// Time used.
    #[serde(skip_serializing_if = "is_default")]
    pub usage: CpuUsage,
    /// Waiting for a quota.
    #[serde(skip_serializing_if = "is_default")]
    pub throttling: Throttling,
    /// Waiting for a processor (cgroup v2, Linux 4.20).
    #[serde(skip_serializing_if = "is_default")]
    pub psi: Option<Pressure>,
}

/// See [`Cpu::usage`].
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct CpuUsage {
    /// All of it.
    #[serde(skip_serializing_if = "is_default")]
    pub total: u64,
    /// By processor (cgroup v1).
    #[serde(skip_serializing_if = "is_default")]
    pub percpu: Vec<u64>,
    /// In the kernel, by processor (cgroup v1).
    #[serde(skip_serializing_if = "is_default")]
    pub percpu_kernel: Vec<u64>,
    /// Outside of it, by processor (cgroup v1).
    #[serde(skip_serializing_if = "is_default")]
    pub percpu_user: Vec<u64>,
    /// In the kernel.
    pub kernel: u64,
    /// Outside of it.
    pub user: u64,
}

/// See [`Cpu::throttling`].
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Throttling {
    /// Periods that have passed.
    #[serde(skip_serializing_if = "is_default")]
    pub periods: u64,
    /// Those in which the quota was used up.
    #[serde(skip_serializing_if = "is_default")]
    pub throttled_periods: u64,
    /// How long there was no time left.
    #[serde(skip_serializing_if = "is_default")]
    pub throttled_time: u64,
}

/// Pressure stall information (Documentation/accounting/psi.rst).
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Pressure {
    /// Some tasks were waiting.
    #[serde(skip_serializing_if = "is_default")]
    pub some: Stalled,
    /// All of them were.
    #[serde(skip_serializing_if = "is_default")]
    pub full: Stalled,
}

/// The share of time, in percent of the last 10, 60 and 300 seconds, and the sum in microseconds.
#[derive(Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "said above")]
pub struct Stalled {
    #[serde(serialize_with = "as_go_prints")]
    pub avg10: f64,
    #[serde(serialize_with = "as_go_prints")]
    pub avg60: f64,
    #[serde(serialize_with = "as_go_prints")]
    pub avg300: f64,
    pub total: u64,
}

/// The files of the cpuset of cgroup v1 (Documentation/admin-guide/cgroup-v1/cpusets.rst), by their
/// names.
#[derive(Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "said above")]
pub struct CpuSet {
    #[serde(skip_serializing_if = "is_default")]
    pub cpus: Vec<u16>,
    pub cpu_exclusive: u64,
    #[serde(skip_serializing_if = "is_default")]
    pub mems: Vec<u16>,
    pub mem_hardwall: u64,
    pub mem_exclusive: u64,
    pub memory_migrate: u64,
    pub memory_spread_page: u64,
    pub memory_spread_slab: u64,
    pub memory_pressure: u64,
    pub sched_load_balance: u64,
    pub sched_relax_domain_level: i64,
}

/// See [`Stats::memory`].
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    /// Of files.
    #[serde(skip_serializing_if = "is_default")]
    pub cache: u64,
    /// All of it.
    #[serde(skip_serializing_if = "is_default")]
    pub usage: MemoryUsage,
    /// Memory and swap together.
    #[serde(skip_serializing_if = "is_default")]
    pub swap: MemoryUsage,
    /// Of the kernel (cgroup v1).
    #[serde(skip_serializing_if = "is_default")]
    pub kernel: MemoryUsage,
    /// Of TCP's buffers (cgroup v1).
    #[serde(rename = "kernelTCP", skip_serializing_if = "is_default")]
    pub kernel_tcp: MemoryUsage,
    /// `memory.stat`, whole.
    #[serde(skip_serializing_if = "is_default")]
    pub raw: BTreeMap<String, u64>,
    /// Waiting for memory (cgroup v2, Linux 4.20).
    #[serde(skip_serializing_if = "is_default")]
    pub psi: Option<Pressure>,
}

/// One of the kinds of memory.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct MemoryUsage {
    /// The limit; the greatest number is none.
    pub limit: u64,
    /// What is used.
    #[serde(skip_serializing_if = "is_default")]
    pub usage: u64,
    /// What was used at most.
    #[serde(skip_serializing_if = "is_default")]
    pub max: u64,
    /// How often the limit was in the way.
    pub failcnt: u64,
}

/// See [`Stats::pids`].
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Pids {
    /// How many there are.
    #[serde(skip_serializing_if = "is_default")]
    pub current: u64,
    /// How many there may be; 0 for any number.
    #[serde(skip_serializing_if = "is_default")]
    pub limit: u64,
}

/// The files of the blkio controller of cgroup v1
/// (Documentation/admin-guide/cgroup-v1/blkio-controller.rst), and what cgroup v2 has of them.
#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "said above")]
pub struct BlockIo {
    #[serde(skip_serializing_if = "is_default")]
    pub io_service_bytes_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "is_default")]
    pub io_serviced_recursive: Vec<BlockIoEntry>,
    #[serde(rename = "ioQueueRecursive", skip_serializing_if = "is_default")]
    pub io_queued_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "is_default")]
    pub io_service_time_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "is_default")]
    pub io_wait_time_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "is_default")]
    pub io_merged_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "is_default")]
    pub io_time_recursive: Vec<BlockIoEntry>,
    #[serde(skip_serializing_if = "is_default")]
    pub sectors_recursive: Vec<BlockIoEntry>,
    /// Waiting for a device (cgroup v2, Linux 4.20).
    #[serde(skip_serializing_if = "is_default")]
    pub psi: Option<Pressure>,
}

/// A number for one device and kind of operation.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct BlockIoEntry {
    /// The device's major number.
    #[serde(skip_serializing_if = "is_default")]
    pub major: u64,
    /// The device's minor number.
    #[serde(skip_serializing_if = "is_default")]
    pub minor: u64,
    /// `Read`, `Write`, `Sync`, `Async`, `Discard`, `Total`; empty where they aren't told apart.
    #[serde(skip_serializing_if = "is_default")]
    pub op: String,
    /// The number.
    #[serde(skip_serializing_if = "is_default")]
    pub value: u64,
}

/// See [`Stats::hugetlb`].
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Hugetlb {
    /// What is used.
    #[serde(skip_serializing_if = "is_default")]
    pub usage: u64,
    /// What was used at most (cgroup v1).
    #[serde(skip_serializing_if = "is_default")]
    pub max: u64,
    /// How often the limit was in the way.
    pub failcnt: u64,
}

/// See [`Stats::intel_rdt`].
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct IntelRdt {}

impl Placement {
    /// What the container has used. Controllers that it has no cgroup of are passed over.
    pub fn stats(&self) -> Result<Stats> {
        let stats = match self.v2() {
            Some(place) if self.layout_is_v2() => v2::stats(&place.path),
            _ => v1::stats(self),
        };
        stats.context(|| "unable to get container cgroup stats")
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Go prints whole numbers without a fraction.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
fn as_go_prints<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a percentage"
    )]
    if number.fract() == 0.0 {
        serializer.serialize_u64(*number as u64)
    } else {
        serializer.serialize_f64(*number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_prints_as_runc_prints_it() {
        let zeros = concat!(
            r#"{"cpu":{},"cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"#,
            r#""memory_migrate":0,"memory_spread_page":0,"memory_spread_slab":0,"#,
            r#""memory_pressure":0,"sched_load_balance":0,"sched_relax_domain_level":0},"#,
            r#""memory":{},"pids":{},"blkio":{},"hugetlb":{},"intel_rdt":{},"#,
            r#""network_interfaces":null}"#
        );
        assert_eq!(serde_json::to_string(&Stats::default()).unwrap(), zeros);
    }

    #[test]
    fn numbers_print_as_go_prints_them() {
        let stalled = Stalled {
            avg10: 12.5,
            avg60: 3.0,
            avg300: 0.0,
            total: 7,
        };
        assert_eq!(
            serde_json::to_string(&stalled).unwrap(),
            r#"{"avg10":12.5,"avg60":3,"avg300":0,"total":7}"#
        );
    }
}
