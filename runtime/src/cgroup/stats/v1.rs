//! Counters of cgroup v1 (Documentation/admin-guide/cgroup-v1).

use super::super::placement::Placement;
use super::files::{Directory, huge_page_sizes, number};
use super::{
    BlockIo, BlockIoEntry, Cpu, CpuSet, Hugetlb, Memory, MemoryUsage, Pids, Stats, UNLIMITED,
};
use crate::error::Result;

/// See [`Placement::stats`].
pub(super) fn stats(placement: &Placement) -> Result<Stats> {
    let directory = |controller| {
        let place = placement.with_controller(controller);
        place.map(|place| Directory(&place.path))
    };
    let mut stats = Stats::default();
    if let Some(directory) = directory("cpu") {
        throttling(directory, &mut stats.cpu)?;
    }
    if let Some(directory) = directory("cpuacct") {
        cpu_usage(directory, &mut stats.cpu)?;
    }
    if let Some(directory) = directory("cpuset") {
        stats.cpuset = cpuset(directory)?;
    }
    if let Some(directory) = directory("memory") {
        stats.memory = memory(directory)?;
    }
    if let Some(directory) = directory("pids") {
        stats.pids = pids(directory)?;
    }
    if let Some(directory) = directory("blkio") {
        stats.blkio = block_io(directory)?;
    }
    if let Some(directory) = directory("hugetlb") {
        for size in huge_page_sizes() {
            if let Some(pages) = huge_pages(directory, &size)? {
                stats.hugetlb.insert(size, pages);
            }
        }
    }
    Ok(stats)
}

fn throttling(directory: Directory<'_>, cpu: &mut Cpu) -> Result<()> {
    for (key, value) in directory.numbers("cpu.stat")?.unwrap_or_default() {
        match key.as_str() {
            "nr_periods" => cpu.throttling.periods = value,
            "nr_throttled" => cpu.throttling.throttled_periods = value,
            "throttled_time" => cpu.throttling.throttled_time = value,
            _ => {}
        }
    }
    Ok(())
}

fn cpu_usage(directory: Directory<'_>, cpu: &mut Cpu) -> Result<()> {
    /// The kernel tells ticks of `USER_HZ`, which is 100 wherever it runs.
    const TICK: u64 = 10_000_000;
    for (key, ticks) in directory.numbers("cpuacct.stat")?.unwrap_or_default() {
        match key.as_str() {
            "user" => cpu.usage.user = ticks * TICK,
            "system" => cpu.usage.kernel = ticks * TICK,
            _ => {}
        }
    }
    cpu.usage.total = directory.number("cpuacct.usage")?.unwrap_or(0);
    let all = |text: &str| -> Option<Vec<u64>> { text.split_whitespace().map(number).collect() };
    let file = "cpuacct.usage_percpu";
    if let Some(text) = directory.text(file)? {
        cpu.usage.percpu = all(&text).ok_or_else(|| directory.strange(file, &text))?;
    }
    // A head line, then lines of three numbers: processor, user, system.
    let file = "cpuacct.usage_all";
    for line in directory.text(file)?.unwrap_or_default().lines().skip(1) {
        let numbers = all(line);
        let Some([_, user, system, ..]) = numbers.as_deref() else {
            return Err(directory.strange(file, line));
        };
        cpu.usage.percpu_user.push(*user);
        cpu.usage.percpu_kernel.push(*system);
    }
    Ok(())
}

fn cpuset(directory: Directory<'_>) -> Result<CpuSet> {
    let number = |name: &str| -> Result<u64> {
        let number = directory.number(&format!("cpuset.{name}"))?;
        Ok(number.unwrap_or(0))
    };
    let list = |name: &str| -> Result<Vec<u16>> {
        let file = format!("cpuset.{name}");
        let text = directory.text(&file)?.unwrap_or_default();
        ranges(text.trim_end()).ok_or_else(|| directory.strange(&file, &text))
    };
    let level = directory.text("cpuset.sched_relax_domain_level")?;
    Ok(CpuSet {
        cpus: list("cpus")?,
        cpu_exclusive: number("cpu_exclusive")?,
        mems: list("mems")?,
        mem_hardwall: number("mem_hardwall")?,
        mem_exclusive: number("mem_exclusive")?,
        memory_migrate: number("memory_migrate")?,
        memory_spread_page: number("memory_spread_page")?,
        memory_spread_slab: number("memory_spread_slab")?,
        memory_pressure: number("memory_pressure")?,
        sched_load_balance: number("sched_load_balance")?,
        sched_relax_domain_level: level
            .and_then(|level| level.trim_end().parse().ok())
            .unwrap_or(0),
    })
}

/// `0-2,7` as numbers.
fn ranges(text: &str) -> Option<Vec<u16>> {
    let mut numbers = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        numbers.extend(from.parse::<u16>().ok()?..=to.parse().ok()?);
    }
    Some(numbers)
}

fn memory(directory: Directory<'_>) -> Result<Memory> {
    let Some(raw) = directory.numbers("memory.stat")? else {
        return Ok(Memory::default());
    };
    let mut memory = Memory {
        usage: memory_usage(directory, "memory")?,
        swap: memory_usage(directory, "memory.memsw")?,
        kernel: memory_usage(directory, "memory.kmem")?,
        kernel_tcp: memory_usage(directory, "memory.kmem.tcp")?,
        raw: raw.into_iter().collect(),
        ..Memory::default()
    };
    memory.cache = memory.raw.get("cache").copied().unwrap_or(0);
    Ok(memory)
}

/// Swap and the kernel's memory are not counted on every host; a limit of the kernel's memory is
/// gone from Linux 5.16 on.
fn memory_usage(directory: Directory<'_>, kind: &str) -> Result<MemoryUsage> {
    let number = |file: &str| -> Result<u64> {
        let number = directory.number(&format!("{kind}.{file}"))?;
        Ok(number.unwrap_or(0))
    };
    Ok(MemoryUsage {
        usage: number("usage_in_bytes")?,
        max: number("max_usage_in_bytes")?,
        failcnt: number("failcnt")?,
        limit: number("limit_in_bytes")?,
    })
}

fn pids(directory: Directory<'_>) -> Result<Pids> {
    let limit = directory.number("pids.max")?;
    Ok(Pids {
        current: directory.number("pids.current")?.unwrap_or(0),
        limit: limit.filter(|limit| *limit != UNLIMITED).unwrap_or(0),
    })
}

/// Where the numbers of block devices are found depends on the scheduler that counts them (BFQ;
/// CFQ, gone from Linux 5.0 on); throttling counts on every kernel.
fn block_io(directory: Directory<'_>) -> Result<BlockIo> {
    for kind in ["bfq.", ""] {
        let entries = |name: &str| block_io_entries(directory, &format!("blkio.{kind}{name}"));
        let Some(serviced) = entries("io_serviced_recursive")? else {
            continue;
        };
        return Ok(BlockIo {
            io_serviced_recursive: serviced,
            io_service_bytes_recursive: entries("io_service_bytes_recursive")?.unwrap_or_default(),
            io_queued_recursive: entries("io_queued_recursive")?.unwrap_or_default(),
            io_service_time_recursive: entries("io_service_time_recursive")?.unwrap_or_default(),
            io_wait_time_recursive: entries("io_wait_time_recursive")?.unwrap_or_default(),
            io_merged_recursive: entries("io_merged_recursive")?.unwrap_or_default(),
            io_time_recursive: entries("time_recursive")?.unwrap_or_default(),
            sectors_recursive: entries("sectors_recursive")?.unwrap_or_default(),
            psi: None,
        });
    }
    for suffix in ["_recursive", ""] {
        let entries =
            |name: &str| block_io_entries(directory, &format!("blkio.throttle.{name}{suffix}"));
        if let Some(serviced) = entries("io_serviced")? {
            return Ok(BlockIo {
                io_serviced_recursive: serviced,
                io_service_bytes_recursive: entries("io_service_bytes")?.unwrap_or_default(),
                ..BlockIo::default()
            });
        }
    }
    Ok(BlockIo::default())
}

/// Lines such as `8:0 Read 124` or `8:0 6792`, and at the end `Total 228`; none where there is no
/// such file, or nothing in it.
fn block_io_entries(directory: Directory<'_>, file: &str) -> Result<Option<Vec<BlockIoEntry>>> {
    let Some(text) = directory.text(file)? else {
        return Ok(None);
    };
    let lines = text.lines().filter(|line| !line.starts_with("Total "));
    let entries: Vec<_> = lines
        .map(|line| block_io_entry(line).ok_or_else(|| directory.strange(file, line)))
        .collect::<Result<_>>()?;
    Ok(Some(entries).filter(|entries| !entries.is_empty()))
}

fn block_io_entry(line: &str) -> Option<BlockIoEntry> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (device, op, value) = match *words {
        [device, value] => (device, "", value),
        [device, op, value] => (device, op, value),
        _ => return None,
    };
    let (major, minor) = device.split_once(':')?;
    Some(BlockIoEntry {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        op: op.to_owned(),
        value: value.parse().ok()?,
    })
}

fn huge_pages(directory: Directory<'_>, size: &str) -> Result<Option<Hugetlb>> {
    for kind in [format!("{size}.rsvd"), size.to_owned()] {
        let number = |name: &str| directory.number(&format!("hugetlb.{kind}.{name}"));
        if let Some(usage) = number("usage_in_bytes")? {
            return Ok(Some(Hugetlb {
                usage,
                max: number("max_usage_in_bytes")?.unwrap_or(0),
                failcnt: number("failcnt")?.unwrap_or(0),
            }));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors() {
        assert_eq!(ranges("0-2,7"), Some(vec![0, 1, 2, 7]));
        assert_eq!(ranges(""), Some(Vec::new()));
        assert_eq!(ranges("0-"), None);
    }

    #[test]
    fn lines_of_the_blkio_controller() {
        let entry = |op: &str, value| BlockIoEntry {
            major: 8,
            minor: 1,
            op: op.to_owned(),
            value,
        };
        assert_eq!(block_io_entry("8:1 Read 124"), Some(entry("Read", 124)));
        assert_eq!(block_io_entry("8:1 6792"), Some(entry("", 6792)));
        assert_eq!(block_io_entry("8:1"), None);
    }
}
