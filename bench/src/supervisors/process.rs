//! What the kernel tells of a process.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Proportional and private memory, in kB.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Pages that are shared count in part.
    pub proportional: u64,
    /// Pages that are nobody else's.
    pub private: u64,
}

/// Of a living process, from `smaps_rollup`.
pub fn memory(pid: u32) -> Result<Memory> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let sum = |names: &[&str]| {
        text.lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(name, _)| names.contains(name))
            .filter_map(|(_, value)| value.trim().strip_suffix(" kB")?.parse::<u64>().ok())
            .sum()
    };
    Ok(Memory {
        proportional: sum(&["Pss"]),
        private: sum(&["Private_Clean", "Private_Dirty"]),
    })
}

/// What /proc/PID/stat tells after the name.
fn stat(pid: u32) -> Result<Vec<String>> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    let (_, fields) = text
        .rsplit_once(')')
        .with_context(|| format!("{path} is odd"))?;
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

/// Its parent.
pub fn parent(pid: u32) -> Result<u32> {
    Ok(stat(pid)?[1].parse()?)
}

/// Processor time that it has used, in ticks of 10 ms.
pub fn ticks(pid: u32) -> Result<u64> {
    let stat = stat(pid)?;
    Ok(stat[11].parse::<u64>()? + stat[12].parse::<u64>()?)
}

/// How many threads it has.
pub fn threads(pid: u32) -> Result<u64> {
    Ok(stat(pid)?[17].parse()?)
}

/// How many descriptors it has open.
pub fn descriptors(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Whether it has ended; a zombie has.
pub fn has_ended(pid: u32) -> bool {
    stat(pid).map_or(true, |stat| stat[0] == "Z")
}

/// Waits for its end.
pub fn wait_for_end(pid: u32, what: &str) -> Result<()> {
    wait_until(&format!("the end of {what} ({pid})"), || {
        Ok(has_ended(pid).then_some(()))
    })
}

/// Waits, at most a minute, until there is something.
pub fn wait_until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begin = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if begin.elapsed() > Duration::from_secs(60) {
            bail!("{what} did not come within a minute");
        }
        sleep(Duration::from_millis(1));
    }
}
