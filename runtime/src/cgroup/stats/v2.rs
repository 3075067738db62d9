//! Counters of cgroup v2 (Documentation/admin-guide/cgroup-v2.rst).

use super::files::{Directory, huge_page_sizes};
use super::{
    BlockIo, BlockIoEntry, Cpu, Hugetlb, Memory, MemoryUsage, Pids, Pressure, Stalled, Stats,
    UNLIMITED,
};
use crate::error::Result;

/// See [`super::super::Placement::stats`].
pub(super) fn stats(path: &str) -> Result<Stats> {
    let directory = Directory(path);
    let mut stats = Stats {
        cpu: cpu(directory)?,
        memory: memory(directory)?,
        pids: pids(directory)?,
        blkio: block_io(directory)?,
        ..Stats::default()
    };
    for size in huge_page_sizes() {
        if let Some(pages) = huge_pages(directory, &size)? {
            stats.hugetlb.insert(size, pages);
        }
    }
    Ok(stats)
}

fn cpu(directory: Directory<'_>) -> Result<Cpu> {
    const MICROSECOND: u64 = 1000;
    let mut cpu = Cpu::default();
    for (key, value) in directory.numbers("cpu.stat")?.unwrap_or_default() {
        match key.as_str() {
            "usage_usec" => cpu.usage.total = value * MICROSECOND,
            "user_usec" => cpu.usage.user = value * MICROSECOND,
            "system_usec" => cpu.usage.kernel = value * MICROSECOND,
            "nr_periods" => cpu.throttling.periods = value,
            "nr_throttled" => cpu.throttling.throttled_periods = value,
            "throttled_usec" => cpu.throttling.throttled_time = value * MICROSECOND,
            _ => {}
        }
    }
    cpu.psi = pressure(directory, "cpu.pressure")?;
    Ok(cpu)
}

fn memory(directory: Directory<'_>) -> Result<Memory> {
    let psi = pressure(directory, "memory.pressure")?;
    let Some(raw) = directory.numbers("memory.stat")? else {
        return Ok(Memory {
            psi,
            ..Memory::default()
        });
    };
    let usage = memory_usage(directory, "memory")?;
    let mut swap = memory_usage(directory, "memory.swap")?;
    // cgroup v1 counts memory and swap together, which is what callers know.
    swap.usage += usage.usage;
    if swap.limit != UNLIMITED {
        swap.limit = swap.limit.saturating_add(usage.limit);
    }
    // The two peaks need not have been at the same time.
    swap.max = 0;
    let mut memory = Memory {
        usage,
        swap,
        raw: raw.into_iter().collect(),
        psi,
        ..Memory::default()
    };
    memory.cache = memory.raw.get("file").copied().unwrap_or(0);
    Ok(memory)
}

/// Without swap there are no files for it; a peak is kept from Linux 5.19 on (6.5 for swap).
fn memory_usage(directory: Directory<'_>, kind: &str) -> Result<MemoryUsage> {
    let number = |file: &str| directory.number(&format!("{kind}.{file}"));
    Ok(MemoryUsage {
        usage: number("current")?.unwrap_or(0),
        limit: number("max")?.unwrap_or(0),
        max: number("peak")?.unwrap_or(0),
        failcnt: 0,
    })
}

fn pids(directory: Directory<'_>) -> Result<Pids> {
    let Some(current) = directory.number("pids.current")? else {
        let tasks = directory.text("cgroup.procs")?.unwrap_or_default();
        return Ok(Pids {
            current: tasks.lines().count() as u64,
            limit: 0,
        });
    };
    let limit = directory.number("pids.max")?;
    Ok(Pids {
        current,
        limit: limit.filter(|limit| *limit != UNLIMITED).unwrap_or(0),
    })
}

/// `io.stat` in the tables of cgroup v1.
fn block_io(directory: Directory<'_>) -> Result<BlockIo> {
    let mut io = BlockIo {
        psi: pressure(directory, "io.pressure")?,
        ..BlockIo::default()
    };
    let text = directory.text("io.stat")?.unwrap_or_default();
    for line in text.lines() {
        add_device(&mut io, line).ok_or_else(|| directory.strange("io.stat", line))?;
    }
    Ok(io)
}

/// A line such as `8:0 rbytes=90112 wbytes=0 rios=22 wios=0 dbytes=0 dios=0`.
fn add_device(io: &mut BlockIo, line: &str) -> Option<()> {
    let mut words = line.split_whitespace();
    // A device that has never been used has an empty name on some kernels.
    let Some((major, minor)) = words.next().and_then(|device| device.split_once(':')) else {
        return Some(());
    };
    let (major, minor) = (major.parse().ok()?, minor.parse().ok()?);
    for (key, value) in words.filter_map(|word| word.split_once('=')) {
        let (op, table) = match key {
            "rbytes" => ("Read", &mut io.io_service_bytes_recursive),
            "wbytes" => ("Write", &mut io.io_service_bytes_recursive),
            "rios" => ("Read", &mut io.io_serviced_recursive),
            "wios" => ("Write", &mut io.io_serviced_recursive),
            _ => continue,
        };
        table.push(BlockIoEntry {
            major,
            minor,
            op: op.to_owned(),
            value: value.parse().ok()?,
        });
    }
    Some(())
}

fn huge_pages(directory: Directory<'_>, size: &str) -> Result<Option<Hugetlb>> {
    let reserved = directory.number(&format!("hugetlb.{size}.rsvd.current"))?;
    let usage = match reserved {
        None => directory.number(&format!("hugetlb.{size}.current"))?,
        reserved => reserved,
    };
    let failed = directory.keyed_number(&format!("hugetlb.{size}.events"), "max")?;
    Ok(usage.map(|usage| Hugetlb {
        usage,
        max: 0,
        failcnt: failed.unwrap_or(0),
    }))
}

fn pressure(directory: Directory<'_>, file: &str) -> Result<Option<Pressure>> {
    let Some(text) = directory.text(file)? else {
        return Ok(None);
    };
    let mut pressure = Pressure::default();
    for line in text.lines() {
        let (kind, numbers) = line.split_once(' ').unwrap_or((line, ""));
        let stalled = match kind {
            "some" => &mut pressure.some,
            "full" => &mut pressure.full,
            _ => continue,
        };
        *stalled = self::stalled(numbers).ok_or_else(|| directory.strange(file, line))?;
    }
    Ok(Some(pressure))
}

/// `avg10=0.00 avg60=0.00 avg300=0.00 total=0`
fn stalled(numbers: &str) -> Option<Stalled> {
    let mut stalled = Stalled::default();
    for word in numbers.split_whitespace() {
        let (key, value) = word.split_once('=')?;
        match key {
            "avg10" => stalled.avg10 = value.parse().ok()?,
            "avg60" => stalled.avg60 = value.parse().ok()?,
            "avg300" => stalled.avg300 = value.parse().ok()?,
            "total" => stalled.total = value.parse().ok()?,
            _ => {}
        }
    }
    Some(stalled)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with the files of a cgroup.
    fn cgroup(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        directory
    }

    #[test]
    fn counters_in_runcs_units() {
        let directory = cgroup(&[
            (
                "cpu.stat",
                "usage_usec 30\nuser_usec 10\nsystem_usec 20\nnice_usec 0\nnr_periods 4\n\
                 nr_throttled 2\nthrottled_usec 5\n",
            ),
            (
                "cpu.pressure",
                "some avg10=1.50 avg60=0.00 avg300=0.00 total=9\n\
                 full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
            ),
            ("memory.stat", "anon 100\nfile 50\n"),
            ("memory.current", "200\n"),
            ("memory.max", "1000\n"),
            ("memory.peak", "300\n"),
            ("memory.swap.current", "7\n"),
            ("memory.swap.max", "500\n"),
            ("pids.current", "3\n"),
            ("pids.max", "max\n"),
            (
                "io.stat",
                "8:0 rbytes=90 wbytes=0 rios=22 wios=1 dbytes=0 dios=0\n7:1\n",
            ),
        ]);
        let stats = stats(directory.path().to_str().unwrap()).unwrap();
        let json = serde_json::to_value(&stats).unwrap();
        assert_eq!(
            json["cpu"],
            serde_json::json!({
                "usage": {"total": 30_000, "kernel": 20_000, "user": 10_000},
                "throttling": {"periods": 4, "throttledPeriods": 2, "throttledTime": 5_000},
                "psi": {"some": {"avg10": 1.5, "avg60": 0, "avg300": 0, "total": 9}}
            })
        );
        assert_eq!(
            json["memory"],
            serde_json::json!({
                "cache": 50,
                "usage": {"limit": 1000, "usage": 200, "max": 300, "failcnt": 0},
                "swap": {"limit": 1500, "usage": 207, "failcnt": 0},
                "raw": {"anon": 100, "file": 50}
            })
        );
        assert_eq!(json["pids"], serde_json::json!({"current": 3}));
        assert_eq!(
            json["blkio"]["ioServicedRecursive"],
            serde_json::json!([
                {"major": 8, "op": "Read", "value": 22},
                {"major": 8, "op": "Write", "value": 1}
            ])
        );
    }

    #[test]
    fn what_is_not_counted_is_left_out() {
        let directory = cgroup(&[("cgroup.procs", "1\n2\n")]);
        let stats = stats(directory.path().to_str().unwrap()).unwrap();
        assert_eq!(stats.pids.current, 2);
        assert_eq!(stats.memory, Memory::default());
        assert_eq!(stats.cpu, Cpu::default());
    }

    #[test]
    fn what_is_not_understood_is_said_with_its_file() {
        let directory = cgroup(&[("cpu.stat", "usage_usec many\n")]);
        let refusal = stats(directory.path().to_str().unwrap()).unwrap_err();
        assert!(refusal.to_string().contains("cpu.stat: unexpected"));
    }
}
