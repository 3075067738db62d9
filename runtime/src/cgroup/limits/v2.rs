//! `linux.resources`, which is written for cgroup v1, on cgroup v2
//! (Documentation/admin-guide/cgroup-v2.rst), with the conversions of runc.

use std::borrow::Cow;

use super::{Above, Absent, Write, clause, escape, huge_pages, pids_max, rdma, set, swappiness};
use crate::error::{Error, Result};
use crate::spec::resources::{BlockIo, Cpu, Memory, Resources};

/// The kernel's default of `cpu.max`'s second number.
const DEFAULT_PERIOD: u64 = 100_000;

/// See [`super::writes`].
pub(super) fn writes<'a>(resources: &'a Resources<'_>) -> Result<Vec<Write<'a>>> {
    let mut out = Vec::new();
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        out.push(Write::new(
            "pids",
            "pids.max",
            pids_max(limit),
            "pids/limit",
            clause::PIDS,
        ));
    }
    if let Some(memory) = &resources.memory {
        self::memory(memory, &mut out)?;
    }
    if let Some(io) = &resources.block_io {
        block_io(io, &mut out)?;
    }
    if let Some(cpu) = &resources.cpu {
        self::cpu(cpu, &mut out)?;
    }
    huge_pages(resources, "max", &mut out)?;
    rdma(resources, &mut out)?;
    if let Some(network) = &resources.network {
        refuse(
            set(network.class_id).is_some(),
            "network/classID",
            "match packets by cgroup path",
        )?;
        refuse(
            !network.priorities.is_empty(),
            "network/priorities",
            "match packets by cgroup path",
        )?;
    }
    unified(resources, &mut out)?;
    Ok(out)
}

/// Refuses a field that cgroup v2 has nothing like, if it is set.
fn refuse(is_set: bool, field: &str, hint: &'static str) -> Result<()> {
    if !is_set {
        return Ok(());
    }
    Err(Error::config(
        format!("/linux/resources/{field}"),
        format!("cannot set {} on cgroup v2", field.replace('/', ".")),
    )
    .hint(hint))
}

fn memory(memory: &Memory, out: &mut Vec<Write<'_>>) -> Result<()> {
    let drop_it = "cgroup v2 has nothing like it: drop the field";
    refuse(swappiness(memory).is_some(), "memory/swappiness", drop_it)?;
    refuse(
        memory.disable_oom_killer == Some(true),
        "memory/disableOOMKiller",
        drop_it,
    )?;
    let write = |file: &'static str, value, pointer: &str| {
        Write::new("memory", file, value, pointer, clause::MEMORY)
    };
    let above = |limit: Option<i64>, what| {
        let wanted = u64::try_from(limit?).ok().filter(|wanted| *wanted > 0)?;
        (memory.check_before_update == Some(true)).then_some(Above {
            usage: "memory.current",
            wanted,
            what,
        })
    };
    if let Some(swap) = swap_max(memory)? {
        // Without swap there is no such file, and nothing to limit.
        let needless = swap == "max" || swap == "0";
        let swap = Write {
            above: above(memory.swap, "memory+swap"),
            ..write("memory.swap.max", swap, "memory/swap")
        };
        out.push(if needless { swap.optional() } else { swap });
    }
    if let Some(limit) = set(memory.limit) {
        out.push(Write {
            above: above(memory.limit, "memory"),
            ..write("memory.max", number(limit), "memory/limit")
        });
    }
    if let Some(reservation) = set(memory.reservation) {
        out.push(write(
            "memory.low",
            number(reservation),
            "memory/reservation",
        ));
    }
    Ok(())
}

/// The spec's limit of memory and swap together as v2's limit of swap alone.
fn swap_max(memory: &Memory) -> Result<Option<Cow<'static, str>>> {
    let refuse = |problem: String| Err(Error::config("/linux/resources/memory/swap", problem));
    let (limit, swap) = (memory.limit.unwrap_or(0), memory.swap.unwrap_or(0));
    match (limit, swap) {
        (-1, 0) | (_, -1) => Ok(Some("max".into())),
        (_, 0) => Ok(None),
        (-1, swap) => Ok(Some(number(swap))),
        (0, _) => refuse("unable to set swap limit without memory limit".into()),
        (..0, _) => refuse(format!("invalid memory value: {limit}")),
        (limit, swap) if swap < limit => {
            refuse("memory+swap limit should be >= memory limit".into())
        }
        (limit, swap) => Ok(Some((swap - limit).to_string().into())),
    }
}

fn number(value: i64) -> Cow<'static, str> {
    if value == -1 {
        "max".into()
    } else {
        value.to_string().into()
    }
}

fn cpu<'a>(cpu: &'a Cpu<'_>, out: &mut Vec<Write<'a>>) -> Result<()> {
    let no_realtime = "cgroup v2 does not limit real-time tasks: drop the field";
    refuse(
        set(cpu.realtime_period).is_some(),
        "cpu/realtimePeriod",
        no_realtime,
    )?;
    refuse(
        set(cpu.realtime_runtime).is_some(),
        "cpu/realtimeRuntime",
        no_realtime,
    )?;
    let mut push = |file, value: String, pointer| {
        out.push(Write::new("cpu", file, value, pointer, clause::CPU));
    };
    if let Some(idle) = cpu.idle {
        push("cpu.idle", idle.to_string(), "cpu/idle");
    }
    if let Some(shares) = set(cpu.shares) {
        push(
            "cpu.weight",
            weight_of_shares(shares).to_string(),
            "cpu/shares",
        );
    }
    let (quota, period) = (set(cpu.quota), set(cpu.period));
    if quota.is_some() || period.is_some() {
        let quota_words = quota
            .filter(|quota| *quota > 0)
            .map_or("max".to_owned(), |quota| quota.to_string());
        let pointer = if quota.is_some() {
            "cpu/quota"
        } else {
            "cpu/period"
        };
        let value = format!("{quota_words} {}", period.unwrap_or(DEFAULT_PERIOD));
        push("cpu.max", value, pointer);
    }
    if let Some(burst) = cpu.burst {
        push("cpu.max.burst", burst.to_string(), "cpu/burst");
    }
    for (file, value, pointer) in [
        ("cpuset.cpus", &cpu.cpus, "cpu/cpus"),
        ("cpuset.mems", &cpu.mems, "cpu/mems"),
    ] {
        if !value.is_empty() {
            out.push(Write::new(
                "cpuset",
                file,
                value.as_ref(),
                pointer,
                clause::CPU,
            ));
        }
    }
    Ok(())
}

/// v1's shares (2 to 262144, by default 1024) as v2's weight (1 to 10000, by default 100), by the
/// curve of runc 1.3.2: with l = log2(shares), 10 to the power of (l² + 125 l) / 612 - 7 / 34.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "2 to 262144 in, 1 to 10000 out"
)]
fn weight_of_shares(shares: u64) -> u64 {
    match shares {
        ..=2 => 1,
        3..262_144 => {
            let l = (shares as f64).log2();
            let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
            10_f64.powf(exponent).ceil() as u64
        }
        _ => 10_000,
    }
}

fn block_io(io: &BlockIo, out: &mut Vec<Write<'_>>) -> Result<()> {
    let no_leaf = "it went away with the CFQ scheduler: drop the field";
    refuse(set(io.leaf_weight).is_some(), "blockIO/leafWeight", no_leaf)?;
    let write = |file: &'static str, value: String, pointer: String| {
        Write::new("io", file, value, pointer, clause::BLOCK_IO)
    };
    // BFQ takes the spec's numbers as they are; io.weight has another scale.
    if let Some(weight) = set(io.weight) {
        let weight_write = write("io.bfq.weight", weight.to_string(), "blockIO/weight".into());
        out.push(weight_write.or("io.weight", io_weight(weight)?.to_string()));
    }
    for (index, device) in io.weight_device.iter().enumerate() {
        let leaf = format!("blockIO/weightDevice/{index}/leafWeight");
        refuse(set(device.leaf_weight).is_some(), &leaf, no_leaf)?;
        if let Some(weight) = set(device.weight) {
            let value = |weight: u64| format!("{}:{} {weight}", device.major, device.minor);
            let pointer = format!("blockIO/weightDevice/{index}/weight");
            let weight_write = write("io.bfq.weight", value(weight.into()), pointer);
            out.push(weight_write.or("io.weight", value(io_weight(weight)?)));
        }
    }
    for (list, field, key) in [
        (
            &io.throttle_read_bps_device,
            "throttleReadBpsDevice",
            "rbps",
        ),
        (
            &io.throttle_write_bps_device,
            "throttleWriteBpsDevice",
            "wbps",
        ),
        (
            &io.throttle_read_iops_device,
            "throttleReadIOPSDevice",
            "riops",
        ),
        (
            &io.throttle_write_iops_device,
            "throttleWriteIOPSDevice",
            "wiops",
        ),
    ] {
        for (index, device) in list.iter().enumerate() {
            // v1 lifts a limit by 0, which v2 refuses.
            let rate = match device.rate {
                0 => Cow::Borrowed("max"),
                rate => rate.to_string().into(),
            };
            let value = format!("{}:{} {key}={rate}", device.major, device.minor);
            out.push(write("io.max", value, format!("blockIO/{field}/{index}")));
        }
    }
    Ok(())
}

/// v1's weight (10 to 1000) on the scale of `io.weight` (1 to 10000).
fn io_weight(weight: u16) -> Result<u64> {
    match weight {
        10..=1000 => Ok(1 + (u64::from(weight) - 10) * 9999 / 990),
        _ => Err(Error::config(
            "/linux/resources/blockIO",
            format!("invalid weight {weight} (valid range is 10-1000)"),
        )),
    }
}

fn unified<'a>(resources: &'a Resources<'_>, out: &mut Vec<Write<'a>>) -> Result<()> {
    for (file, value) in &resources.unified {
        let pointer = format!("/linux/resources/unified/{}", escape(file));
        if file.contains('/') || file.contains('\0') {
            return Err(Error::config(
                pointer,
                format!("unified resource {file:?} must be a file name (no slashes)"),
            ));
        }
        let Some((controller, _)) = file.split_once('.') else {
            return Err(Error::config(
                pointer,
                format!("unified resource {file:?} must be in the form CONTROLLER.PARAMETER"),
            ));
        };
        // The kernel takes one line in each call.
        let lines = value.strip_suffix('\n').unwrap_or(value).split('\n');
        out.extend(lines.map(|line| Write {
            controller: controller.into(),
            file: file.as_ref().into(),
            value: line.into(),
            pointer: pointer.clone().into(),
            clause: clause::UNIFIED,
            absent: Absent::Refuse,
            above: None,
        }));
    }
    Ok(())
}
