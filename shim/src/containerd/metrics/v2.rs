//! cgroup v2: Documentation/admin-guide/cgroup-v2.rst.

use std::path::Path;

use super::rdma;
use crate::cgroup::file::{Table, huge_page_sizes, number, text};
use crate::containerd::messages::cgroups_v2::{
    CpuStat, HugetlbStat, IoEntry, IoStat, MemoryEvents, MemoryStat, Metrics, PidsStat, PsiData,
    PsiStats,
};

/// The numbers of the cgroup in `directory`.
pub fn read(directory: &Path) -> Metrics {
    Metrics {
        pids: Some(PidsStat {
            current: count(directory, "pids.current"),
            limit: count(directory, "pids.max"),
        }),
        cpu: Some(cpu(directory)),
        memory: Some(memory(directory)),
        rdma: Some(rdma(directory)),
        io: Some(io(directory)),
        hugetlb: hugetlb(directory),
        memory_events: memory_events(directory),
    }
}

/// A number, with the greatest there is in the place of `max`, as this message has it.
fn count(directory: &Path, name: &str) -> u64 {
    number(directory, name).map_or(0, |number| number.or(u64::MAX))
}

fn cpu(directory: &Path) -> CpuStat {
    let Some(stat) = Table::read(directory, "cpu.stat") else {
        return CpuStat::default();
    };
    CpuStat {
        usage_usec: stat.get("usage_usec"),
        user_usec: stat.get("user_usec"),
        system_usec: stat.get("system_usec"),
        nr_periods: stat.get("nr_periods"),
        nr_throttled: stat.get("nr_throttled"),
        throttled_usec: stat.get("throttled_usec"),
        psi: pressure(directory, "cpu.pressure"),
        nr_bursts: stat.get("nr_bursts"),
        burst_usec: stat.get("burst_usec"),
    }
}

fn memory(directory: &Path) -> MemoryStat {
    let Some(stat) = Table::read(directory, "memory.stat") else {
        return MemoryStat::default();
    };
    MemoryStat {
        anon: stat.get("anon"),
        file: stat.get("file"),
        kernel_stack: stat.get("kernel_stack"),
        slab: stat.get("slab"),
        sock: stat.get("sock"),
        shmem: stat.get("shmem"),
        file_mapped: stat.get("file_mapped"),
        file_dirty: stat.get("file_dirty"),
        file_writeback: stat.get("file_writeback"),
        anon_thp: stat.get("anon_thp"),
        inactive_anon: stat.get("inactive_anon"),
        active_anon: stat.get("active_anon"),
        inactive_file: stat.get("inactive_file"),
        active_file: stat.get("active_file"),
        unevictable: stat.get("unevictable"),
        slab_reclaimable: stat.get("slab_reclaimable"),
        slab_unreclaimable: stat.get("slab_unreclaimable"),
        pgfault: stat.get("pgfault"),
        pgmajfault: stat.get("pgmajfault"),
        workingset_refault: stat.get("workingset_refault"),
        workingset_activate: stat.get("workingset_activate"),
        workingset_nodereclaim: stat.get("workingset_nodereclaim"),
        pgrefill: stat.get("pgrefill"),
        pgscan: stat.get("pgscan"),
        pgsteal: stat.get("pgsteal"),
        pgactivate: stat.get("pgactivate"),
        pgdeactivate: stat.get("pgdeactivate"),
        pglazyfree: stat.get("pglazyfree"),
        pglazyfreed: stat.get("pglazyfreed"),
        thp_fault_alloc: stat.get("thp_fault_alloc"),
        thp_collapse_alloc: stat.get("thp_collapse_alloc"),
        usage: count(directory, "memory.current"),
        usage_limit: count(directory, "memory.max"),
        swap_usage: count(directory, "memory.swap.current"),
        swap_limit: count(directory, "memory.swap.max"),
        max_usage: count(directory, "memory.peak"),
        swap_max_usage: count(directory, "memory.swap.peak"),
        psi: pressure(directory, "memory.pressure"),
        workingset_refault_anon: stat.get("workingset_refault_anon"),
        workingset_refault_file: stat.get("workingset_refault_file"),
        workingset_activate_anon: stat.get("workingset_activate_anon"),
        workingset_activate_file: stat.get("workingset_activate_file"),
    }
}

fn memory_events(directory: &Path) -> Option<MemoryEvents> {
    let events = Table::read(directory, "memory.events")?;
    (!events.is_empty()).then(|| MemoryEvents {
        low: events.get("low"),
        high: events.get("high"),
        max: events.get("max"),
        oom: events.get("oom"),
        oom_kill: events.get("oom_kill"),
        oom_group_kill: events.get("oom_group_kill"),
    })
}

fn io(directory: &Path) -> IoStat {
    let text = text(directory, "io.stat").unwrap_or_default();
    IoStat {
        usage: text.lines().filter_map(io_entry).collect(),
        psi: pressure(directory, "io.pressure"),
    }
}

/// A line `MAJOR:MINOR rbytes=N wbytes=N …`; a device that has done nothing has no numbers.
fn io_entry(line: &str) -> Option<IoEntry> {
    let (device, numbers) = line.split_once(' ')?;
    let (major, minor) = device.split_once(':')?;
    let mut entry = IoEntry {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        ..IoEntry::default()
    };
    for (key, number) in numbers.split(' ').filter_map(|pair| pair.split_once('=')) {
        let number = number.parse().unwrap_or(0);
        match key {
            "rbytes" => entry.rbytes = number,
            "wbytes" => entry.wbytes = number,
            "rios" => entry.rios = number,
            "wios" => entry.wios = number,
            _ => {}
        }
    }
    Some(entry)
}

fn hugetlb(directory: &Path) -> Vec<HugetlbStat> {
    let of_size = |pagesize: String| {
        let events = Table::read(directory, &format!("hugetlb.{pagesize}.events"));
        HugetlbStat {
            current: count(directory, &format!("hugetlb.{pagesize}.current")),
            max: count(directory, &format!("hugetlb.{pagesize}.max")),
            failcnt: events.map_or(0, |events| events.get("max")),
            pagesize,
        }
    };
    huge_page_sizes().into_iter().map(of_size).collect()
}

/// Documentation/accounting/psi.rst. `None` where the kernel doesn't keep it: there is no file, or
/// it can't be read.
fn pressure(directory: &Path, name: &str) -> Option<PsiStats> {
    let text = text(directory, name)?;
    let mut stats = PsiStats::default();
    for line in text.lines() {
        match line.split_once(' ')? {
            ("some", data) => stats.some = Some(stalled(data)?),
            ("full", data) => stats.full = Some(stalled(data)?),
            _ => {}
        }
    }
    Some(stats)
}

fn stalled(text: &str) -> Option<PsiData> {
    let mut data = PsiData::default();
    for pair in text.split_whitespace() {
        let (key, number) = pair.split_once('=')?;
        match key {
            "avg10" => data.avg10 = number.parse().ok()?,
            "avg60" => data.avg60 = number.parse().ok()?,
            "avg300" => data.avg300 = number.parse().ok()?,
            "total" => data.total = number.parse().ok()?,
            _ => {}
        }
    }
    Some(data)
}
