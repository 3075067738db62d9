//! `linux.resources` on cgroup v1 (Documentation/admin-guide/cgroup-v1).

use super::{Write, clause, huge_pages, pids_max, rdma, set, swappiness};
use crate::error::{Error, Result};
use crate::spec::resources::{BlockIo, Cpu, Memory, Network, Resources};

/// See [`super::writes`].
pub(super) fn writes<'a>(resources: &'a Resources<'_>) -> Result<Vec<Write<'a>>> {
    if !resources.unified.is_empty() {
        return Err(Error::config(
            "/linux/resources/unified",
            "invalid configuration: cannot use unified on cgroup v1",
        ));
    }
    let mut out = Vec::new();
    if let Some(cpu) = &resources.cpu {
        cpuset(cpu, &mut out);
    }
    if let Some(memory) = &resources.memory {
        self::memory(memory, &mut out)?;
    }
    if let Some(cpu) = &resources.cpu {
        self::cpu(cpu, &mut out)?;
    }
    if let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit) {
        out.push(Write::new(
            "pids",
            "pids.max",
            pids_max(limit),
            "pids/limit",
            clause::PIDS,
        ));
    }
    if let Some(io) = &resources.block_io {
        block_io(io, &mut out);
    }
    huge_pages(resources, "limit_in_bytes", &mut out)?;
    if let Some(network) = &resources.network {
        self::network(network, &mut out);
    }
    rdma(resources, &mut out)?;
    Ok(out)
}

fn cpuset<'a>(cpu: &'a Cpu<'_>, out: &mut Vec<Write<'a>>) {
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
}

fn memory(memory: &Memory, out: &mut Vec<Write<'_>>) -> Result<()> {
    let write = |file: &'static str, value: i64, pointer: &str| {
        Write::new("memory", file, value.to_string(), pointer, clause::MEMORY)
    };
    let limit = set(memory.limit);
    out.extend(limit.map(|limit| write("memory.limit_in_bytes", limit, "memory/limit")));
    match (limit, set(memory.swap)) {
        (_, Some(swap)) => out.push(write("memory.memsw.limit_in_bytes", swap, "memory/swap")),
        // Unlimited memory means unlimited swap; without swap accounting there is no such file.
        (Some(-1), None) => {
            out.push(write("memory.memsw.limit_in_bytes", -1, "memory/limit").optional());
        }
        _ => {}
    }
    if let Some(reservation) = set(memory.reservation) {
        out.push(write(
            "memory.soft_limit_in_bytes",
            reservation,
            "memory/reservation",
        ));
    }
    if let Some(buffers) = set(memory.kernel_tcp) {
        out.push(write(
            "memory.kmem.tcp.limit_in_bytes",
            buffers,
            "memory/kernelTCP",
        ));
    }
    if memory.use_hierarchy == Some(true) {
        out.push(write("memory.use_hierarchy", 1, "memory/useHierarchy"));
    }
    if memory.disable_oom_killer == Some(true) {
        out.push(write("memory.oom_control", 1, "memory/disableOOMKiller"));
    }
    let Some(swappiness) = swappiness(memory) else {
        return Ok(());
    };
    match i64::try_from(swappiness) {
        Ok(value @ ..=100) => {
            out.push(write("memory.swappiness", value, "memory/swappiness"));
            Ok(())
        }
        _ => Err(Error::config(
            "/linux/resources/memory/swappiness",
            format!("invalid memory swappiness value: {swappiness} (valid range is 0-100)"),
        )),
    }
}

fn cpu(cpu: &Cpu<'_>, out: &mut Vec<Write<'_>>) -> Result<()> {
    if let Some(shares) = set(cpu.shares) {
        // The kernel would silently take the nearest value that it allows.
        let allowed = match shares {
            ..2 => Err("the minimum allowed cpu-shares is 2"),
            2..=262_144 => Ok(()),
            _ => Err("the maximum allowed cpu-shares is 262144"),
        };
        allowed.map_err(|problem| Error::config("/linux/resources/cpu/shares", problem))?;
    }
    let values = [
        (
            "cpu.shares",
            set(cpu.shares).map(|n| n.to_string()),
            "cpu/shares",
        ),
        (
            "cpu.cfs_period_us",
            set(cpu.period).map(|n| n.to_string()),
            "cpu/period",
        ),
        (
            "cpu.cfs_quota_us",
            set(cpu.quota).map(|n| n.to_string()),
            "cpu/quota",
        ),
        (
            "cpu.cfs_burst_us",
            cpu.burst.map(|n| n.to_string()),
            "cpu/burst",
        ),
        ("cpu.idle", cpu.idle.map(|n| n.to_string()), "cpu/idle"),
        (
            "cpu.rt_period_us",
            set(cpu.realtime_period).map(|n| n.to_string()),
            "cpu/realtimePeriod",
        ),
        (
            "cpu.rt_runtime_us",
            set(cpu.realtime_runtime).map(|n| n.to_string()),
            "cpu/realtimeRuntime",
        ),
    ];
    for (file, value, pointer) in values {
        if let Some(value) = value {
            out.push(Write::new("cpu", file, value, pointer, clause::CPU));
        }
    }
    Ok(())
}

fn block_io(io: &BlockIo, out: &mut Vec<Write<'_>>) {
    let write = |file: &'static str, value: String, pointer: String| {
        Write::new("blkio", file, value, pointer, clause::BLOCK_IO)
    };
    // BFQ's files are there if it is compiled in (Linux 5.0); CFQ had the plain names.
    if let Some(weight) = set(io.weight).map(|weight| weight.to_string()) {
        let weight_write = write("blkio.bfq.weight", weight.clone(), "blockIO/weight".into());
        out.push(weight_write.or("blkio.weight", weight));
    }
    if let Some(weight) = set(io.leaf_weight) {
        out.push(write(
            "blkio.leaf_weight",
            weight.to_string(),
            "blockIO/leafWeight".into(),
        ));
    }
    for (index, device) in io.weight_device.iter().enumerate() {
        let pointer = |field| format!("blockIO/weightDevice/{index}/{field}");
        let value = |weight| format!("{}:{} {weight}", device.major, device.minor);
        if let Some(value) = set(device.weight).map(value) {
            let weight_write = write("blkio.bfq.weight_device", value.clone(), pointer("weight"));
            out.push(weight_write.or("blkio.weight_device", value));
        }
        if let Some(value) = set(device.leaf_weight).map(value) {
            out.push(write(
                "blkio.leaf_weight_device",
                value,
                pointer("leafWeight"),
            ));
        }
    }
    for (list, field, file) in [
        (
            &io.throttle_read_bps_device,
            "throttleReadBpsDevice",
            "blkio.throttle.read_bps_device",
        ),
        (
            &io.throttle_write_bps_device,
            "throttleWriteBpsDevice",
            "blkio.throttle.write_bps_device",
        ),
        (
            &io.throttle_read_iops_device,
            "throttleReadIOPSDevice",
            "blkio.throttle.read_iops_device",
        ),
        (
            &io.throttle_write_iops_device,
            "throttleWriteIOPSDevice",
            "blkio.throttle.write_iops_device",
        ),
    ] {
        for (index, device) in list.iter().enumerate() {
            let value = format!("{}:{} {}", device.major, device.minor, device.rate);
            out.push(write(file, value, format!("blockIO/{field}/{index}")));
        }
    }
}

fn network(network: &Network<'_>, out: &mut Vec<Write<'_>>) {
    if let Some(class) = set(network.class_id) {
        let value = class.to_string();
        out.push(Write::new(
            "net_cls",
            "net_cls.classid",
            value,
            "network/classID",
            clause::NETWORK,
        ));
    }
    for (index, entry) in network.priorities.iter().enumerate() {
        out.push(Write::new(
            "net_prio",
            "net_prio.ifpriomap",
            format!("{} {}", entry.name, entry.priority),
            format!("network/priorities/{index}"),
            clause::NETWORK,
        ));
    }
}
