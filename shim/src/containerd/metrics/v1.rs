//! cgroup v1: Documentation/admin-guide/cgroup-v1.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use super::rdma;
use crate::cgroup::Cgroups;
use crate::cgroup::file::{Table, huge_page_sizes, number, text};
use crate::containerd::messages::cgroups_v1::{
    BlkioEntry, BlkioStat, CpuStat, CpuUsage, HugetlbStat, MemoryEntry, MemoryOomControl,
    MemoryStat, Metrics, PidsStat, Throttle,
};

/// The numbers of every controller that has a cgroup among `cgroups`.
pub fn read(cgroups: &Cgroups) -> Metrics {
    let memory_at = cgroups.directory("memory");
    Metrics {
        hugetlb: cgroups
            .directory("hugetlb")
            .map(hugetlb)
            .unwrap_or_default(),
        pids: cgroups.directory("pids").and_then(pids),
        cpu: Some(CpuStat {
            usage: Some(cgroups.directory("cpuacct").map(usage).unwrap_or_default()),
            throttling: Some(cgroups.directory("cpu").map(throttling).unwrap_or_default()),
        }),
        memory: memory_at.and_then(memory),
        blkio: cgroups.directory("blkio").map(blkio),
        rdma: cgroups.directory("rdma").map(rdma),
        memory_oom_control: memory_at.and_then(oom_control),
    }
}

/// A number, with 0 in the place of `max`, as this message has it.
fn count(directory: &Path, name: &str) -> u64 {
    number(directory, name).map_or(0, |number| number.or(0))
}

fn hugetlb(directory: &Path) -> Vec<HugetlbStat> {
    let of_size = |pagesize: String| HugetlbStat {
        usage: count(directory, &format!("hugetlb.{pagesize}.usage_in_bytes")),
        max: count(directory, &format!("hugetlb.{pagesize}.max_usage_in_bytes")),
        failcnt: count(directory, &format!("hugetlb.{pagesize}.failcnt")),
        pagesize,
    };
    huge_page_sizes().into_iter().map(of_size).collect()
}

fn pids(directory: &Path) -> Option<PidsStat> {
    // The root has neither file.
    let current = number(directory, "pids.current")?;
    Some(PidsStat {
        current: current.or(0),
        limit: count(directory, "pids.max"),
    })
}

fn usage(directory: &Path) -> CpuUsage {
    let ticks = Table::read(directory, "cpuacct.stat").unwrap_or_default();
    let per_cpu = text(directory, "cpuacct.usage_percpu").unwrap_or_default();
    CpuUsage {
        total: count(directory, "cpuacct.usage"),
        kernel: nanoseconds(ticks.get("system")),
        user: nanoseconds(ticks.get("user")),
        per_cpu: per_cpu
            .split_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect(),
    }
}

/// `cpuacct.stat` counts in ticks of `USER_HZ`, which is 100 on every architecture that containers
/// run on.
fn nanoseconds(ticks: u64) -> u64 {
    ticks.saturating_mul(1_000_000_000 / 100)
}

fn throttling(directory: &Path) -> Throttle {
    let stat = Table::read(directory, "cpu.stat").unwrap_or_default();
    Throttle {
        periods: stat.get("nr_periods"),
        throttled_periods: stat.get("nr_throttled"),
        throttled_time: stat.get("throttled_time"),
    }
}

fn memory(directory: &Path) -> Option<MemoryStat> {
    let stat = Table::read(directory, "memory.stat")?;
    Some(MemoryStat {
        cache: stat.get("cache"),
        rss: stat.get("rss"),
        rss_huge: stat.get("rss_huge"),
        mapped_file: stat.get("mapped_file"),
        dirty: stat.get("dirty"),
        writeback: stat.get("writeback"),
        pg_pg_in: stat.get("pgpgin"),
        pg_pg_out: stat.get("pgpgout"),
        pg_fault: stat.get("pgfault"),
        pg_maj_fault: stat.get("pgmajfault"),
        inactive_anon: stat.get("inactive_anon"),
        active_anon: stat.get("active_anon"),
        inactive_file: stat.get("inactive_file"),
        active_file: stat.get("active_file"),
        unevictable: stat.get("unevictable"),
        hierarchical_memory_limit: stat.get("hierarchical_memory_limit"),
        hierarchical_swap_limit: stat.get("hierarchical_memsw_limit"),
        total_cache: stat.get("total_cache"),
        total_rss: stat.get("total_rss"),
        total_rss_huge: stat.get("total_rss_huge"),
        total_mapped_file: stat.get("total_mapped_file"),
        total_dirty: stat.get("total_dirty"),
        total_writeback: stat.get("total_writeback"),
        total_pg_pg_in: stat.get("total_pgpgin"),
        total_pg_pg_out: stat.get("total_pgpgout"),
        total_pg_fault: stat.get("total_pgfault"),
        total_pg_maj_fault: stat.get("total_pgmajfault"),
        total_inactive_anon: stat.get("total_inactive_anon"),
        total_active_anon: stat.get("total_active_anon"),
        total_inactive_file: stat.get("total_inactive_file"),
        total_active_file: stat.get("total_active_file"),
        total_unevictable: stat.get("total_unevictable"),
        usage: Some(memory_entry(directory, "memory")),
        swap: Some(memory_entry(directory, "memory.memsw")),
        kernel: Some(memory_entry(directory, "memory.kmem")),
        kernel_tcp: Some(memory_entry(directory, "memory.kmem.tcp")),
    })
}

fn memory_entry(directory: &Path, kind: &str) -> MemoryEntry {
    let count = |name: &str| count(directory, &format!("{kind}.{name}"));
    MemoryEntry {
        limit: count("limit_in_bytes"),
        usage: count("usage_in_bytes"),
        max: count("max_usage_in_bytes"),
        failcnt: count("failcnt"),
    }
}

fn oom_control(directory: &Path) -> Option<MemoryOomControl> {
    let control = Table::read(directory, "memory.oom_control")?;
    Some(MemoryOomControl {
        oom_kill_disable: control.get("oom_kill_disable"),
        under_oom: control.get("under_oom"),
        oom_kill: control.get("oom_kill"),
    })
}

/// What the I/O scheduler counted; where it counted nothing (no kernel from 5.0 on has the one that
/// did, and BFQ has names of its own), what the throttle did.
fn blkio(directory: &Path) -> BlkioStat {
    let devices = devices(&fs::read_to_string("/proc/partitions").unwrap_or_default());
    let read = |name: &str| blkio_entries(directory, name, &devices);
    let stat = BlkioStat {
        io_service_bytes_recursive: read("blkio.io_service_bytes_recursive"),
        io_serviced_recursive: read("blkio.io_serviced_recursive"),
        io_queued_recursive: read("blkio.io_queued_recursive"),
        io_service_time_recursive: read("blkio.io_service_time_recursive"),
        io_wait_time_recursive: read("blkio.io_wait_time_recursive"),
        io_merged_recursive: read("blkio.io_merged_recursive"),
        io_time_recursive: read("blkio.time_recursive"),
        sectors_recursive: read("blkio.sectors_recursive"),
    };
    if stat != BlkioStat::default() {
        return stat;
    }
    BlkioStat {
        io_serviced_recursive: read("blkio.throttle.io_serviced"),
        io_service_bytes_recursive: read("blkio.throttle.io_service_bytes"),
        ..BlkioStat::default()
    }
}

/// The lines `MAJOR:MINOR [OPERATION] NUMBER` of a file; the last one, a total of all devices, has
/// no device.
fn blkio_entries(
    directory: &Path,
    name: &str,
    devices: &HashMap<(u64, u64), String>,
) -> Vec<BlkioEntry> {
    let text = text(directory, name).unwrap_or_default();
    let entry = |line: &str| {
        let (device, rest) = line.split_once(' ')?;
        let (major, minor) = device.split_once(':')?;
        let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
        let (op, value) = rest.rsplit_once(' ').unwrap_or(("", rest));
        Some(BlkioEntry {
            op: op.to_owned(),
            device: devices.get(&(major, minor)).cloned().unwrap_or_default(),
            major,
            minor,
            value: value.parse().ok()?,
        })
    };
    text.lines().filter_map(entry).collect()
}

/// The paths of the devices in `/proc/partitions`, by their numbers.
pub(super) fn devices(partitions: &str) -> HashMap<(u64, u64), String> {
    let device = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [major, minor, _, name] = fields[..] else {
            return None;
        };
        Some((
            (major.parse().ok()?, minor.parse().ok()?),
            format!("/dev/{name}"),
        ))
    };
    partitions.lines().filter_map(device).collect()
}
