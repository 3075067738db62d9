//! `linux.cgroupsPath` and `linux.resources`, read back from the host's side, on v1 and v2.

use serde_json::{Value, json};

use crate::case::{Case, Known, Need, OLD_CRUN, Stop, Verdict, check, equal};
use crate::harness::{Context, cgroup};

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::must(
        "cgroups/path-v1",
        "an absolute cgroupsPath counts from the mount point of each hierarchy",
        "compares the container's cgroup in memory, pids and devices with cgroupsPath",
        path_v1,
    )
    .clause(
        "config-linux.md",
        "Cgroups Path",
        "MUST take the path to be relative to the cgroups mount point",
    )
    .needs(&[
        Need::CgroupV1("memory"),
        Need::CgroupV1("pids"),
        Need::CgroupV1("devices"),
    ]),
    Case::must(
        "cgroups/path-v2",
        "an absolute cgroupsPath counts from the mount point",
        "compares the container's cgroup with cgroupsPath",
        path_v2,
    )
    .clause(
        "config-linux.md",
        "Cgroups Path",
        "MUST take the path to be relative to the cgroups mount point",
    )
    .needs(&[Need::CgroupV2("pids")]),
    Case::must(
        "cgroups/path-consistent",
        "two containers in turn with one cgroupsPath get the same cgroup",
        "creates, deletes and creates again",
        path_consistent,
    )
    .clause(
        "config-linux.md",
        "Cgroups Path",
        "MUST consistently attach to the same place",
    ),
    Case::must(
        "cgroups/memory-v1",
        "memory limit, reservation and swap are set",
        "reads memory.limit_in_bytes and its relatives",
        memory_v1,
    )
    .clause(
        "config-linux.md",
        "Memory",
        "limit (int64, OPTIONAL) - sets limit of memory usage",
    )
    .needs(&[Need::CgroupV1("memory")]),
    Case::must(
        "cgroups/memory-v2",
        "memory limit, reservation and swap are set",
        "reads memory.max, memory.low and memory.swap.max",
        memory_v2,
    )
    .clause(
        "config-linux.md",
        "Memory",
        "limit (int64, OPTIONAL) - sets limit of memory usage",
    )
    .needs(&[Need::CgroupV2("memory")]),
    Case::must(
        "cgroups/memory-unlimited-v1",
        "a memory limit of -1 is none",
        "sets limit -1",
        memory_unlimited_v1,
    )
    .clause("config-linux.md", "Memory", "or -1 for unlimited memory")
    .needs(&[Need::CgroupV1("memory")]),
    Case::must(
        "cgroups/memory-unlimited-v2",
        "a memory limit of -1 is none",
        "sets limit -1",
        memory_unlimited_v2,
    )
    .clause("config-linux.md", "Memory", "or -1 for unlimited memory")
    .needs(&[Need::CgroupV2("memory")]),
    Case::must(
        "cgroups/cpu-v1",
        "cpu shares, quota and period are set",
        "reads cpu.shares, cpu.cfs_quota_us and cpu.cfs_period_us",
        cpu_v1,
    )
    .clause(
        "config-linux.md",
        "CPU",
        "shares (uint64, OPTIONAL) - specifies a relative share of CPU time",
    )
    .needs(&[Need::CgroupV1("cpu")]),
    Case::must(
        "cgroups/cpu-v2",
        "cpu shares, quota and period are set",
        "reads cpu.max, and cpu.weight for shares of 1024 and more",
        cpu_v2,
    )
    .clause(
        "config-linux.md",
        "CPU",
        "shares (uint64, OPTIONAL) - specifies a relative share of CPU time",
    )
    .needs(&[Need::CgroupV2("cpu")]),
    Case::must(
        "cgroups/cpuset-v1",
        "cpus and mems are set",
        "asks for processor 0 and node 0",
        cpuset_v1,
    )
    .clause(
        "config-linux.md",
        "CPU",
        "cpus (string, OPTIONAL) - list of CPUs the container will run on",
    )
    .needs(&[Need::CgroupV1("cpuset")]),
    Case::must(
        "cgroups/cpuset-v2",
        "cpus and mems are set",
        "asks for processor 0 and node 0",
        cpuset_v2,
    )
    .clause(
        "config-linux.md",
        "CPU",
        "cpus (string, OPTIONAL) - list of CPUs the container will run on",
    )
    .needs(&[Need::CgroupV2("cpuset")]),
    Case::must(
        "cgroups/pids-v1",
        "the pids limit is set",
        "reads pids.max for a limit of 17",
        |context| pids(context, "pids"),
    )
    .clause(
        "config-linux.md",
        "PIDs",
        "limit (int64, OPTIONAL) - specifies the maximum number of tasks",
    )
    .needs(&[Need::CgroupV1("pids")]),
    Case::must(
        "cgroups/pids-v2",
        "the pids limit is set",
        "reads pids.max for a limit of 17",
        |context| pids(context, ""),
    )
    .clause(
        "config-linux.md",
        "PIDs",
        "limit (int64, OPTIONAL) - specifies the maximum number of tasks",
    )
    .needs(&[Need::CgroupV2("pids")]),
    Case::must(
        "cgroups/pids-unlimited-v1",
        "a pids limit of -1 is none",
        "reads pids.max",
        |context| pids_unlimited(context, "pids"),
    )
    .clause(
        "config-linux.md",
        "PIDs",
        "with -1 indicating no limit (max)",
    )
    .needs(&[Need::CgroupV1("pids")])
    .known(&[Known {
        runtimes: OLD_CRUN,
        why: "writes -1 where the kernel wants `max`",
    }]),
    Case::must(
        "cgroups/pids-unlimited-v2",
        "a pids limit of -1 is none",
        "reads pids.max",
        |context| pids_unlimited(context, ""),
    )
    .clause(
        "config-linux.md",
        "PIDs",
        "with -1 indicating no limit (max)",
    )
    .needs(&[Need::CgroupV2("pids")]),
    Case::must(
        "cgroups/unified",
        "linux.resources.unified writes the files that it names",
        "sets pids.max and memory.high by their names",
        unified,
    )
    .clause(
        "config-linux.md",
        "Unified",
        "allows cgroup v2 parameters to be to be set and modified",
    )
    .needs(&[Need::CgroupV2("pids"), Need::CgroupV2("memory")]),
    Case::must(
        "cgroups/unified-unknown",
        "a unified file of a controller that is not there is an error",
        "names nonsense.max",
        unified_unknown,
    )
    .clause(
        "config-linux.md",
        "Unified",
        "MUST generate an error when the configuration refers to a cgroup",
    )
    .needs(&[Need::CgroupV2("pids")]),
    Case::must(
        "cgroups/bad-value",
        "a limit that the kernel refuses is an error, and nothing is left",
        "asks for processor 4095",
        bad_value_v1,
    )
    .clause(
        "runtime.md",
        "Create",
        "If the runtime cannot apply a property [...] MUST generate an error",
    )
    .needs(&[Need::CgroupV1("cpuset")]),
    Case::contract(
        "cgroups/exec-joins",
        "exec's process is in the container's cgroups",
        "compares /proc/self/cgroup of both",
        exec_joins,
    )
    .clause("runc contract", "cgroups", "exec joins the cgroups of init"),
];

/// Starts a container with these resources and returns its guard with the process id.
fn limited<'a>(
    context: &'a Context,
    resources: &[(&str, Value)],
) -> Result<(crate::harness::Container<'a>, i32), Stop> {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    for (name, value) in resources {
        bundle.config["linux"]["resources"][name] = value.clone();
    }
    let container = context.create(&bundle)?;
    let pid = container.pid()?;
    Ok((container, pid))
}

fn expect(pid: i32, controller: &str, file: &str, wanted: &str) -> Verdict {
    equal(file, cgroup::value(pid, controller, file)?.as_str(), wanted)
}

fn path_of(config: &Value) -> String {
    config["linux"]["cgroupsPath"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn path_v1(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    let pid = context.create(&bundle)?;
    let process = pid.pid()?;
    for controller in ["memory", "pids", "devices"] {
        let directory = cgroup::directory(process, controller)?;
        let wanted = path_of(&bundle.config);
        check(
            directory.to_string_lossy().ends_with(&wanted),
            format_args!("{controller}: wanted {wanted}, saw {}", directory.display()),
        )?;
    }
    Ok(())
}

fn path_v2(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    let container = context.create(&bundle)?;
    let directory = cgroup::directory(container.pid()?, "")?;
    let wanted = path_of(&bundle.config);
    // crun puts the container into a child `container` of the path when it delegates.
    check(
        directory.to_string_lossy().contains(&wanted),
        format_args!("wanted {wanted}, saw {}", directory.display()),
    )
}

fn path_consistent(context: &Context) -> Verdict {
    let controller = if context.host.cgroup_v1.contains("pids") {
        "pids"
    } else {
        ""
    };
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    let mut places = Vec::new();
    for _ in 0..2 {
        let mut container = context.create(&bundle)?;
        places.push(cgroup::directory(container.pid()?, controller)?);
        container.delete(&["--force"])?;
    }
    equal("cgroups", places.first(), places.last())
}

fn memory_v1(context: &Context) -> Verdict {
    let memory = json!({ "limit": 67_108_864, "reservation": 33_554_432, "swap": 134_217_728 });
    let (_container, pid) = limited(context, &[("memory", memory)])?;
    expect(pid, "memory", "memory.limit_in_bytes", "67108864")?;
    expect(pid, "memory", "memory.soft_limit_in_bytes", "33554432")?;
    // Kernels without swap accounting don't have the file.
    let swap = cgroup::directory(pid, "memory")?.join("memory.memsw.limit_in_bytes");
    if swap.exists() {
        expect(pid, "memory", "memory.memsw.limit_in_bytes", "134217728")?;
    }
    Ok(())
}

fn memory_v2(context: &Context) -> Verdict {
    let memory = json!({ "limit": 67_108_864, "reservation": 33_554_432, "swap": 134_217_728 });
    let (_container, pid) = limited(context, &[("memory", memory)])?;
    expect(pid, "", "memory.max", "67108864")?;
    expect(pid, "", "memory.low", "33554432")?;
    // config.json counts memory and swap together, the kernel's v2 file swap alone.
    if cgroup::directory(pid, "")?.join("memory.swap.max").exists() {
        expect(pid, "", "memory.swap.max", "67108864")?;
    }
    Ok(())
}

fn memory_unlimited_v1(context: &Context) -> Verdict {
    let (_container, pid) = limited(context, &[("memory", json!({ "limit": -1 }))])?;
    let value: u64 = cgroup::value(pid, "memory", "memory.limit_in_bytes")?.parse()?;
    check(
        value > 1 << 60,
        format_args!("memory.limit_in_bytes is {value}"),
    )
}

fn memory_unlimited_v2(context: &Context) -> Verdict {
    let (_container, pid) = limited(context, &[("memory", json!({ "limit": -1 }))])?;
    expect(pid, "", "memory.max", "max")
}

fn cpu_v1(context: &Context) -> Verdict {
    let cpu = json!({ "shares": 512, "quota": 50_000, "period": 200_000 });
    let (_container, pid) = limited(context, &[("cpu", cpu)])?;
    expect(pid, "cpu", "cpu.shares", "512")?;
    expect(pid, "cpu", "cpu.cfs_quota_us", "50000")?;
    expect(pid, "cpu", "cpu.cfs_period_us", "200000")
}

fn cpu_v2(context: &Context) -> Verdict {
    let cpu = json!({ "shares": 2048, "quota": 50_000, "period": 200_000 });
    let (_container, pid) = limited(context, &[("cpu", cpu)])?;
    expect(pid, "", "cpu.max", "50000 200000")?;
    // The spec leaves the conversion open; two are in use. Old: 1 + (shares - 2) * 9999 / 262142.
    // Since 2025: the curve that maps 1024 shares to the kernel's default weight of 100.
    let weight = cgroup::value(pid, "", "cpu.weight")?;
    check(
        ["79", "174"].contains(&weight.as_str()),
        format_args!("cpu.weight is {weight}, neither 79 nor 174, for 2048 shares"),
    )
}

fn cpuset_v1(context: &Context) -> Verdict {
    let (_container, pid) = limited(context, &[("cpu", json!({ "cpus": "0", "mems": "0" }))])?;
    expect(pid, "cpuset", "cpuset.cpus", "0")?;
    expect(pid, "cpuset", "cpuset.mems", "0")
}

fn cpuset_v2(context: &Context) -> Verdict {
    let (_container, pid) = limited(context, &[("cpu", json!({ "cpus": "0", "mems": "0" }))])?;
    expect(pid, "", "cpuset.cpus", "0")?;
    expect(pid, "", "cpuset.mems", "0")
}

fn pids(context: &Context, controller: &str) -> Verdict {
    let (_container, pid) = limited(context, &[("pids", json!({ "limit": 17 }))])?;
    expect(pid, controller, "pids.max", "17")
}

fn pids_unlimited(context: &Context, controller: &str) -> Verdict {
    let (_container, pid) = limited(context, &[("pids", json!({ "limit": -1 }))])?;
    expect(pid, controller, "pids.max", "max")
}

fn unified(context: &Context) -> Verdict {
    let values = json!({ "pids.max": "23", "memory.high": "50331648" });
    let (_container, pid) = limited(context, &[("unified", values)])?;
    expect(pid, "", "pids.max", "23")?;
    expect(pid, "", "memory.high", "50331648")
}

fn unified_unknown(context: &Context) -> Verdict {
    context.must_refuse_with(|config| {
        config["linux"]["resources"]["unified"] = json!({ "nonsense.max": "1" });
    })?;
    Ok(())
}

fn bad_value_v1(context: &Context) -> Verdict {
    context.must_refuse_with(|config| {
        config["linux"]["resources"]["cpu"] = json!({ "cpus": "4095" });
    })?;
    Ok(())
}

fn exec_joins(context: &Context) -> Verdict {
    let container = context.started(context.bundle()?)?;
    let pid = container.pid()?;
    let output = container
        .call("exec", &[], &["/probe", "probe", "see"])?
        .must_work()?;
    let seen = crate::harness::observation(&output)?;
    let of_init = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    equal("/proc/self/cgroup", seen.cgroup, of_init)
}
