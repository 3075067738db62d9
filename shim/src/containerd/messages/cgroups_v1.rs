//! What a container uses, as cgroup v1 counts it (`cgroup1/stats/metrics.proto` of
//! `github.com/containerd/cgroups`). The network's numbers, and how many processes sleep, are containerd's to add: the
//! shim knows nothing of them.

use prost::{Message, Name};

use super::rdma::RdmaStat;

/// What a container on cgroup v1 uses.
#[derive(Clone, PartialEq, Message)]
pub struct Metrics {
    /// Huge pages, for each size of them.
    #[prost(message, repeated, tag = "1")]
    pub hugetlb: Vec<HugetlbStat>,
    /// Processes and threads.
    #[prost(message, optional, tag = "2")]
    pub pids: Option<PidsStat>,
    /// Processor time.
    #[prost(message, optional, tag = "3")]
    pub cpu: Option<CpuStat>,
    /// Memory.
    #[prost(message, optional, tag = "4")]
    pub memory: Option<MemoryStat>,
    /// Block devices.
    #[prost(message, optional, tag = "5")]
    pub blkio: Option<BlkioStat>,
    /// Remote direct memory access.
    #[prost(message, optional, tag = "6")]
    pub rdma: Option<RdmaStat>,
    /// `memory.oom_control`.
    #[prost(message, optional, tag = "9")]
    pub memory_oom_control: Option<MemoryOomControl>,
}

/// Huge pages of one size (`hugetlb.SIZE.*`).
#[derive(Clone, PartialEq, Message)]
pub struct HugetlbStat {
    /// Bytes in use.
    #[prost(uint64, tag = "1")]
    pub usage: u64,
    /// The most bytes that were in use.
    #[prost(uint64, tag = "2")]
    pub max: u64,
    /// How often there were no more to be had.
    #[prost(uint64, tag = "3")]
    pub failcnt: u64,
    /// The size, such as `2MB`.
    #[prost(string, tag = "4")]
    pub pagesize: String,
}

/// Processes and threads (`pids.*`).
#[derive(Clone, Copy, PartialEq, Message)]
pub struct PidsStat {
    /// How many there are.
    #[prost(uint64, tag = "1")]
    pub current: u64,
    /// How many there may be; 0 if that is not limited.
    #[prost(uint64, tag = "2")]
    pub limit: u64,
}

/// Processor time.
#[derive(Clone, PartialEq, Message)]
pub struct CpuStat {
    /// What was used (`cpuacct.*`).
    #[prost(message, optional, tag = "1")]
    pub usage: Option<CpuUsage>,
    /// What was withheld (`cpu.stat`).
    #[prost(message, optional, tag = "2")]
    pub throttling: Option<Throttle>,
}

/// Used processor time, in nanoseconds.
#[derive(Clone, PartialEq, Message)]
pub struct CpuUsage {
    /// `cpuacct.usage`.
    #[prost(uint64, tag = "1")]
    pub total: u64,
    /// `system` of `cpuacct.stat`.
    #[prost(uint64, tag = "2")]
    pub kernel: u64,
    /// `user` of `cpuacct.stat`.
    #[prost(uint64, tag = "3")]
    pub user: u64,
    /// `cpuacct.usage_percpu`.
    #[prost(uint64, repeated, tag = "4")]
    pub per_cpu: Vec<u64>,
}

/// Processor time withheld because of a quota.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Throttle {
    /// `nr_periods`.
    #[prost(uint64, tag = "1")]
    pub periods: u64,
    /// `nr_throttled`.
    #[prost(uint64, tag = "2")]
    pub throttled_periods: u64,
    /// `throttled_time`, in nanoseconds.
    #[prost(uint64, tag = "3")]
    pub throttled_time: u64,
}

/// Memory: `memory.stat`, in bytes and events, and the limited kinds.
#[derive(Clone, PartialEq, Message)]
pub struct MemoryStat {
    /// `cache`.
    #[prost(uint64, tag = "1")]
    pub cache: u64,
    /// `rss`.
    #[prost(uint64, tag = "2")]
    pub rss: u64,
    /// `rss_huge`.
    #[prost(uint64, tag = "3")]
    pub rss_huge: u64,
    /// `mapped_file`.
    #[prost(uint64, tag = "4")]
    pub mapped_file: u64,
    /// `dirty`.
    #[prost(uint64, tag = "5")]
    pub dirty: u64,
    /// `writeback`.
    #[prost(uint64, tag = "6")]
    pub writeback: u64,
    /// `pgpgin`.
    #[prost(uint64, tag = "7")]
    pub pg_pg_in: u64,
    /// `pgpgout`.
    #[prost(uint64, tag = "8")]
    pub pg_pg_out: u64,
    /// `pgfault`.
    #[prost(uint64, tag = "9")]
    pub pg_fault: u64,
    /// `pgmajfault`.
    #[prost(uint64, tag = "10")]
    pub pg_maj_fault: u64,
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
    /// `hierarchical_memory_limit`.
    #[prost(uint64, tag = "16")]
    pub hierarchical_memory_limit: u64,
    /// `hierarchical_memsw_limit`.
    #[prost(uint64, tag = "17")]
    pub hierarchical_swap_limit: u64,
    /// `total_cache`.
    #[prost(uint64, tag = "18")]
    pub total_cache: u64,
    /// `total_rss`.
    #[prost(uint64, tag = "19")]
    pub total_rss: u64,
    /// `total_rss_huge`.
    #[prost(uint64, tag = "20")]
    pub total_rss_huge: u64,
    /// `total_mapped_file`.
    #[prost(uint64, tag = "21")]
    pub total_mapped_file: u64,
    /// `total_dirty`.
    #[prost(uint64, tag = "22")]
    pub total_dirty: u64,
    /// `total_writeback`.
    #[prost(uint64, tag = "23")]
    pub total_writeback: u64,
    /// `total_pgpgin`.
    #[prost(uint64, tag = "24")]
    pub total_pg_pg_in: u64,
    /// `total_pgpgout`.
    #[prost(uint64, tag = "25")]
    pub total_pg_pg_out: u64,
    /// `total_pgfault`.
    #[prost(uint64, tag = "26")]
    pub total_pg_fault: u64,
    /// `total_pgmajfault`.
    #[prost(uint64, tag = "27")]
    pub total_pg_maj_fault: u64,
    /// `total_inactive_anon`.
    #[prost(uint64, tag = "28")]
    pub total_inactive_anon: u64,
    /// `total_active_anon`.
    #[prost(uint64, tag = "29")]
    pub total_active_anon: u64,
    /// `total_inactive_file`.
    #[prost(uint64, tag = "30")]
    pub total_inactive_file: u64,
    /// `total_active_file`.
    #[prost(uint64, tag = "31")]
    pub total_active_file: u64,
    /// `total_unevictable`.
    #[prost(uint64, tag = "32")]
    pub total_unevictable: u64,
    /// All of user space (`memory.*`).
    #[prost(message, optional, tag = "33")]
    pub usage: Option<MemoryEntry>,
    /// That and what was swapped out (`memory.memsw.*`).
    #[prost(message, optional, tag = "34")]
    pub swap: Option<MemoryEntry>,
    /// The kernel's own (`memory.kmem.*`).
    #[prost(message, optional, tag = "35")]
    pub kernel: Option<MemoryEntry>,
    /// Buffers of TCP (`memory.kmem.tcp.*`).
    #[prost(message, optional, tag = "36")]
    pub kernel_tcp: Option<MemoryEntry>,
}

/// One kind of memory, in bytes.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct MemoryEntry {
    /// `limit_in_bytes`.
    #[prost(uint64, tag = "1")]
    pub limit: u64,
    /// `usage_in_bytes`.
    #[prost(uint64, tag = "2")]
    pub usage: u64,
    /// `max_usage_in_bytes`.
    #[prost(uint64, tag = "3")]
    pub max: u64,
    /// `failcnt`: how often the limit was reached.
    #[prost(uint64, tag = "4")]
    pub failcnt: u64,
}

/// What happens and happened when memory runs out.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct MemoryOomControl {
    /// `oom_kill_disable`.
    #[prost(uint64, tag = "1")]
    pub oom_kill_disable: u64,
    /// `under_oom`.
    #[prost(uint64, tag = "2")]
    pub under_oom: u64,
    /// `oom_kill`.
    #[prost(uint64, tag = "3")]
    pub oom_kill: u64,
}

/// Block devices (`blkio.*`).
#[derive(Clone, PartialEq, Message)]
#[allow(clippy::struct_field_names, reason = "the contract's names")]
pub struct BlkioStat {
    /// Bytes.
    #[prost(message, repeated, tag = "1")]
    pub io_service_bytes_recursive: Vec<BlkioEntry>,
    /// Requests.
    #[prost(message, repeated, tag = "2")]
    pub io_serviced_recursive: Vec<BlkioEntry>,
    /// Requests that are queued.
    #[prost(message, repeated, tag = "3")]
    pub io_queued_recursive: Vec<BlkioEntry>,
    /// Nanoseconds from dispatch to completion.
    #[prost(message, repeated, tag = "4")]
    pub io_service_time_recursive: Vec<BlkioEntry>,
    /// Nanoseconds in the queue.
    #[prost(message, repeated, tag = "5")]
    pub io_wait_time_recursive: Vec<BlkioEntry>,
    /// Requests merged into others.
    #[prost(message, repeated, tag = "6")]
    pub io_merged_recursive: Vec<BlkioEntry>,
    /// Milliseconds of the device.
    #[prost(message, repeated, tag = "7")]
    pub io_time_recursive: Vec<BlkioEntry>,
    /// Sectors.
    #[prost(message, repeated, tag = "8")]
    pub sectors_recursive: Vec<BlkioEntry>,
}

/// A number of one kind of operation on one device.
#[derive(Clone, PartialEq, Message)]
pub struct BlkioEntry {
    /// `Read`, `Write`, `Sync` …; empty where operations are not told apart.
    #[prost(string, tag = "1")]
    pub op: String,
    /// Its path in /dev, if known.
    #[prost(string, tag = "2")]
    pub device: String,
    /// Its major number.
    #[prost(uint64, tag = "3")]
    pub major: u64,
    /// Its minor number.
    #[prost(uint64, tag = "4")]
    pub minor: u64,
    /// The number.
    #[prost(uint64, tag = "5")]
    pub value: u64,
}

impl Name for Metrics {
    const NAME: &str = "Metrics";
    const PACKAGE: &str = "io.containerd.cgroups.v1";
}
