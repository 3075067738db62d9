//! What a container uses, as cgroup v2 counts it (`cgroup2/stats/metrics.proto` of
//! `github.com/containerd/cgroups`). The network's numbers are containerd's to add: the
//! shim knows nothing of them.

use prost::{Message, Name};

use super::rdma::RdmaStat;

/// What a container on cgroup v2 uses.
#[derive(Clone, PartialEq, Message)]
pub struct Metrics {
    /// Processes and threads.
    #[prost(message, optional, tag = "1")]
    pub pids: Option<PidsStat>,
    /// Processor time.
    #[prost(message, optional, tag = "2")]
    pub cpu: Option<CpuStat>,
    /// Memory.
    #[prost(message, optional, tag = "4")]
    pub memory: Option<MemoryStat>,
    /// Remote direct memory access.
    #[prost(message, optional, tag = "5")]
    pub rdma: Option<RdmaStat>,
    /// Block devices.
    #[prost(message, optional, tag = "6")]
    pub io: Option<IoStat>,
    /// Huge pages, for each size of them.
    #[prost(message, repeated, tag = "7")]
    pub hugetlb: Vec<HugetlbStat>,
    /// `memory.events`.
    #[prost(message, optional, tag = "8")]
    pub memory_events: Option<MemoryEvents>,
}

/// How much of the time was lost waiting (pressure stall information).
#[derive(Clone, Copy, PartialEq, Message)]
pub struct PsiData {
    /// Percent of the last 10 s.
    #[prost(double, tag = "1")]
    pub avg10: f64,
    /// Percent of the last 60 s.
    #[prost(double, tag = "2")]
    pub avg60: f64,
    /// Percent of the last 300 s.
    #[prost(double, tag = "3")]
    pub avg300: f64,
    /// Microseconds, since the beginning.
    #[prost(uint64, tag = "4")]
    pub total: u64,
}

/// Pressure on one resource (`*.pressure`).
#[derive(Clone, PartialEq, Message)]
pub struct PsiStats {
    /// Some processes waited.
    #[prost(message, optional, tag = "1")]
    pub some: Option<PsiData>,
    /// All of them waited.
    #[prost(message, optional, tag = "2")]
    pub full: Option<PsiData>,
}

/// Processes and threads (`pids.*`).
#[derive(Clone, Copy, PartialEq, Message)]
pub struct PidsStat {
    /// How many there are.
    #[prost(uint64, tag = "1")]
    pub current: u64,
    /// How many there may be; 2⁶⁴-1 if that is not limited.
    #[prost(uint64, tag = "2")]
    pub limit: u64,
}

/// Processor time (`cpu.stat`), in microseconds and periods.
#[derive(Clone, PartialEq, Message)]
pub struct CpuStat {
    /// `usage_usec`.
    #[prost(uint64, tag = "1")]
    pub usage_usec: u64,
    /// `user_usec`.
    #[prost(uint64, tag = "2")]
    pub user_usec: u64,
    /// `system_usec`.
    #[prost(uint64, tag = "3")]
    pub system_usec: u64,
    /// `nr_periods`.
    #[prost(uint64, tag = "4")]
    pub nr_periods: u64,
    /// `nr_throttled`.
    #[prost(uint64, tag = "5")]
    pub nr_throttled: u64,
    /// `throttled_usec`.
    #[prost(uint64, tag = "6")]
    pub throttled_usec: u64,
    /// `cpu.pressure`.
    #[prost(message, optional, tag = "7")]
    pub psi: Option<PsiStats>,
    /// `nr_bursts`.
    #[prost(uint64, tag = "8")]
    pub nr_bursts: u64,
    /// `burst_usec`.
    #[prost(uint64, tag = "9")]
    pub burst_usec: u64,
}

/// Memory: `memory.stat`, in bytes and events, and the limits.
#[derive(Clone, PartialEq, Message)]
pub struct MemoryStat {
    /// `anon`.
    #[prost(uint64, tag = "1")]
    pub anon: u64,
    /// `file`.
    #[prost(uint64, tag = "2")]
    pub file: u64,
    /// `kernel_stack`.
    #[prost(uint64, tag = "3")]
    pub kernel_stack: u64,
    /// `slab`.
    #[prost(uint64, tag = "4")]
    pub slab: u64,
    /// `sock`.
    #[prost(uint64, tag = "5")]
    pub sock: u64,
    /// `shmem`.
    #[prost(uint64, tag = "6")]
    pub shmem: u64,
    /// `file_mapped`.
    #[prost(uint64, tag = "7")]
    pub file_mapped: u64,
    /// `file_dirty`.
    #[prost(uint64, tag = "8")]
    pub file_dirty: u64,
    /// `file_writeback`.
    #[prost(uint64, tag = "9")]
    pub file_writeback: u64,
    /// `anon_thp`.
    #[prost(uint64, tag = "10")]
    pub anon_thp: u64,
    /// `inactive_anon`.
    #[prost(uint64, tag = "11")]
    pub inactive_anon: u64,
    /// `active_anon`.
    #[prost(uint64, tag = "12")]
    pub active_anon: u64,
    /// `inactive_file`.
    #[prost(uint64, tag = "13")]
    pub inactive_file: u64,
    /// `active_file`.
    #[prost(uint64, tag = "14")]
    pub active_file: u64,
    /// `unevictable`.
    #[prost(uint64, tag = "15")]
    pub unevictable: u64,
    /// `slab_reclaimable`.
    #[prost(uint64, tag = "16")]
    pub slab_reclaimable: u64,
    /// `slab_unreclaimable`.
    #[prost(uint64, tag = "17")]
    pub slab_unreclaimable: u64,
    /// `pgfault`.
    #[prost(uint64, tag = "18")]
    pub pgfault: u64,
    /// `pgmajfault`.
    #[prost(uint64, tag = "19")]
    pub pgmajfault: u64,
    /// `workingset_refault`, of kernels before 5.9.
    #[prost(uint64, tag = "20")]
    pub workingset_refault: u64,
    /// `workingset_activate`, of kernels before 5.9.
    #[prost(uint64, tag = "21")]
    pub workingset_activate: u64,
    /// `workingset_nodereclaim`.
    #[prost(uint64, tag = "22")]
    pub workingset_nodereclaim: u64,
    /// `pgrefill`.
    #[prost(uint64, tag = "23")]
    pub pgrefill: u64,
    /// `pgscan`.
    #[prost(uint64, tag = "24")]
    pub pgscan: u64,
    /// `pgsteal`.
    #[prost(uint64, tag = "25")]
    pub pgsteal: u64,
    /// `pgactivate`.
    #[prost(uint64, tag = "26")]
    pub pgactivate: u64,
    /// `pgdeactivate`.
    #[prost(uint64, tag = "27")]
    pub pgdeactivate: u64,
    /// `pglazyfree`.
    #[prost(uint64, tag = "28")]
    pub pglazyfree: u64,
    /// `pglazyfreed`.
    #[prost(uint64, tag = "29")]
    pub pglazyfreed: u64,
    /// `thp_fault_alloc`.
    #[prost(uint64, tag = "30")]
    pub thp_fault_alloc: u64,
    /// `thp_collapse_alloc`.
    #[prost(uint64, tag = "31")]
    pub thp_collapse_alloc: u64,
    /// `memory.current`.
    #[prost(uint64, tag = "32")]
    pub usage: u64,
    /// `memory.max`; 2⁶⁴-1 if there is none.
    #[prost(uint64, tag = "33")]
    pub usage_limit: u64,
    /// `memory.swap.current`.
    #[prost(uint64, tag = "34")]
    pub swap_usage: u64,
    /// `memory.swap.max`; 2⁶⁴-1 if there is none.
    #[prost(uint64, tag = "35")]
    pub swap_limit: u64,
    /// `memory.peak`.
    #[prost(uint64, tag = "36")]
    pub max_usage: u64,
    /// `memory.swap.peak`.
    #[prost(uint64, tag = "37")]
    pub swap_max_usage: u64,
    /// `memory.pressure`.
    #[prost(message, optional, tag = "38")]
    pub psi: Option<PsiStats>,
    /// `workingset_refault_anon`.
    #[prost(uint64, tag = "39")]
    pub workingset_refault_anon: u64,
    /// `workingset_refault_file`.
    #[prost(uint64, tag = "40")]
    pub workingset_refault_file: u64,
    /// `workingset_activate_anon`.
    #[prost(uint64, tag = "41")]
    pub workingset_activate_anon: u64,
    /// `workingset_activate_file`.
    #[prost(uint64, tag = "42")]
    pub workingset_activate_file: u64,
}

/// How often memory was scarce (`memory.events`).
#[derive(Clone, Copy, PartialEq, Message)]
pub struct MemoryEvents {
    /// `low`.
    #[prost(uint64, tag = "1")]
    pub low: u64,
    /// `high`.
    #[prost(uint64, tag = "2")]
    pub high: u64,
    /// `max`.
    #[prost(uint64, tag = "3")]
    pub max: u64,
    /// `oom`.
    #[prost(uint64, tag = "4")]
    pub oom: u64,
    /// `oom_kill`.
    #[prost(uint64, tag = "5")]
    pub oom_kill: u64,
    /// `oom_group_kill`.
    #[prost(uint64, tag = "6")]
    pub oom_group_kill: u64,
}

/// Block devices.
#[derive(Clone, PartialEq, Message)]
pub struct IoStat {
    /// `io.stat`, for each device.
    #[prost(message, repeated, tag = "1")]
    pub usage: Vec<IoEntry>,
    /// `io.pressure`.
    #[prost(message, optional, tag = "2")]
    pub psi: Option<PsiStats>,
}

/// What was read from and written to one device.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct IoEntry {
    /// Its major number.
    #[prost(uint64, tag = "1")]
    pub major: u64,
    /// Its minor number.
    #[prost(uint64, tag = "2")]
    pub minor: u64,
    /// Bytes read.
    #[prost(uint64, tag = "3")]
    pub rbytes: u64,
    /// Bytes written.
    #[prost(uint64, tag = "4")]
    pub wbytes: u64,
    /// Requests to read.
    #[prost(uint64, tag = "5")]
    pub rios: u64,
    /// Requests to write.
    #[prost(uint64, tag = "6")]
    pub wios: u64,
}

/// Huge pages of one size (`hugetlb.SIZE.*`).
#[derive(Clone, PartialEq, Message)]
pub struct HugetlbStat {
    /// Bytes in use.
    #[prost(uint64, tag = "1")]
    pub current: u64,
    /// How many may be; 2⁶⁴-1 if that is not limited.
    #[prost(uint64, tag = "2")]
    pub max: u64,
    /// The size, such as `2MB`.
    #[prost(string, tag = "3")]
    pub pagesize: String,
    /// How often there were no more to be had.
    #[prost(uint64, tag = "4")]
    pub failcnt: u64,
}

impl Name for Metrics {
    const NAME: &str = "Metrics";
    const PACKAGE: &str = "io.containerd.cgroups.v2";
}
