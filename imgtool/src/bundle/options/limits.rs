//! `--memory`, `--memory-swap`, `--cpus`, `--pids-limit`: how much the container may use.

use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};

use crate::bundle::runtime_config::RuntimeConfig;
use crate::size::Size;

/// How much a container may use; nothing for no limit.
#[derive(Debug, Clone, Default, Args)]
pub struct LimitOptions {
    /// The most memory, such as 512m; as much again of swap, unless --memory-swap is given.
    #[arg(long, value_name = "AMOUNT")]
    memory: Option<Size>,

    /// The most memory and swap together; -1 for as much swap as there is.
    #[arg(
        long,
        value_name = "AMOUNT",
        requires = "memory",
        allow_hyphen_values = true
    )]
    memory_swap: Option<MemoryAndSwap>,

    /// How many processors' time, such as 1.5.
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<Cpus>,

    /// The most processes and threads; -1 for no limit.
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pids_limit: Option<i64>,
}

/// The least that Docker gives a container: with less, a process is killed before it is one.
const LEAST_MEMORY: i64 = 6 << 20;

/// Microseconds in which a quota of processor time is given, Docker's and the kernel's default.
const PERIOD: u32 = 100_000;

/// Memory and swap together; `-1` in config.json for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MemoryAndSwap(i64);

impl FromStr for MemoryAndSwap {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(MemoryAndSwap(match text {
            "-1" => -1,
            _ => text.parse::<Size>()?.0,
        }))
    }
}

/// A number of processors, in microseconds of each [`PERIOD`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cpus(u32);

impl FromStr for Cpus {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let number: f64 = text
            .parse()
            .context("a number of processors, such as 1.5")?;
        let quota = (number * f64::from(PERIOD)).round();
        // The kernel takes no quota below a millisecond (sched/core.c, min_cfs_quota_period).
        if !(1000.0..f64::from(u32::MAX)).contains(&quota) {
            bail!("the number of processors is 0.01 at least");
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a whole number in range, as checked above"
        )]
        Ok(Cpus(quota as u32))
    }
}

impl LimitOptions {
    /// Writes the limits into config.json.
    pub(super) fn apply(&self, config: &mut RuntimeConfig) -> Result<()> {
        let resources = config.linux.resources.get_or_insert_with(|| json!({}));
        if let Some(limit) = self.memory {
            resources["memory"] = self.memory_limits(limit)?;
        }
        if let Some(Cpus(quota)) = self.cpus {
            check_processors(quota)?;
            resources["cpu"] = json!({ "quota": quota, "period": PERIOD });
        }
        if let Some(limit) = self.pids_limit {
            // Docker's 0 is no limit, runtime-spec's is none that the kernel could keep.
            resources["pids"] = json!({ "limit": if limit > 0 { limit } else { -1 } });
        }
        Ok(())
    }

    fn memory_limits(&self, Size(limit): Size) -> Result<Value> {
        if limit < LEAST_MEMORY {
            bail!("--memory {limit}: {} is the least", Size(LEAST_MEMORY));
        }
        let together = match self.memory_swap {
            Some(MemoryAndSwap(together)) if together != -1 && together < limit => bail!(
                "--memory-swap {together}: it is memory and swap together, so no less than --memory {limit}"
            ),
            Some(MemoryAndSwap(together)) => together,
            None => limit.saturating_mul(2),
        };
        if !counts_swap() {
            if self.memory_swap.is_some() {
                bail!("--memory-swap: this kernel doesn't count swap (see swapaccount=1)");
            }
            return Ok(json!({ "limit": limit }));
        }
        Ok(json!({ "limit": limit, "swap": together }))
    }
}

/// Whether the kernel can limit swap: with cgroups v1 it may have been told not to count it. A v2
/// kernel that can't has no swap.
fn counts_swap() -> bool {
    let v1 = Path::new("/sys/fs/cgroup/memory");
    !v1.join("memory.limit_in_bytes").exists() || v1.join("memory.memsw.limit_in_bytes").exists()
}

fn check_processors(quota: u32) -> Result<()> {
    let there = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if u64::from(quota) > there as u64 * u64::from(PERIOD) {
        bail!(
            "--cpus {}: there are {there} processors",
            f64::from(quota) / f64::from(PERIOD)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{applied, refused};

    #[test]
    fn limits_are_docker_s() {
        let config = applied(&["--memory=64m", "--cpus=0.5", "--pids-limit=100"]);
        let resources = &config["linux"]["resources"];
        assert_eq!(resources["memory"]["limit"], 67_108_864);
        assert_eq!(resources["cpu"]["quota"], 50_000);
        assert_eq!(resources["cpu"]["period"], 100_000);
        assert_eq!(resources["pids"]["limit"], 100);
        assert_eq!(
            applied(&["--pids-limit=0"])["linux"]["resources"]["pids"]["limit"],
            -1
        );
    }

    #[test]
    fn limits_that_make_no_sense() {
        for (flag, reason) in [
            ("--memory=1m", "6m is the least"),
            ("--memory=64x", "such as 64m"),
            ("--cpus=0", "0.01 at least"),
            ("--cpus=nan", "0.01 at least"),
            ("--cpus=100000", "processors"),
            ("--pids-limit=many", "invalid digit"),
        ] {
            refused(&[flag], reason);
        }
        refused(&["--memory=64m", "--memory-swap=32m"], "no less than");
        refused(&["--memory-swap=32m"], "--memory");
    }
}
