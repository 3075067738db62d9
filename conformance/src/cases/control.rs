//! What runc's command line does with a running container beyond its life: `update`, `pause`,
//! `resume`, `events`, `exec --cgroup`; on cgroup v1 and v2.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::case::{CRUN, Case, Known, Need, RUNC, Stop, Verdict, check, equal, fail};
use crate::harness::{Container, Context, Output, cgroup};

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::contract(
        "control/update-memory",
        "update --memory sets a size with a unit, and -1 for none",
        "reads the limit after 50M and after -1",
        update_memory,
    )
    .clause("runc command line", "update", "--memory")
    .known(NO_UNITS),
    Case::contract(
        "control/update-memory-and-swap",
        "limits of memory and of memory and swap are raised and lowered together",
        "updates to 30M and 50M, to 60M and 80M, and back",
        update_memory_and_swap,
    )
    .clause("runc command line", "update", "--memory-swap")
    .known(NO_UNITS),
    Case::contract(
        "control/update-period-keeps-quota",
        "a new cpu period leaves the quota, and a new quota the period",
        "updates one after the other",
        update_cpu,
    )
    .clause("runc command line", "update", "--cpu-period, --cpu-quota")
    .known(&[Known {
        runtimes: CRUN,
        why: "takes -1 for no number, or on cgroup v2 forgets the one that is not given",
    }]),
    Case::contract(
        "control/update-pids",
        "update --pids-limit sets a number, -1 for none, and 1 for 0",
        "reads pids.max after each",
        update_pids,
    )
    .clause("runc command line", "update", "--pids-limit")
    .known(&[
        Known {
            runtimes: RUNC,
            why: "0 is taken for none",
        },
        Known {
            runtimes: CRUN,
            why: "0 is taken for none",
        },
    ]),
    Case::contract(
        "control/update-resources",
        "update --resources takes linux.resources from a file, in any letters' case",
        "sets limits by `PIDs` and `CPU`",
        update_resources,
    )
    .clause("runc command line", "update", "--resources, -r")
    .known(&[Known {
        runtimes: CRUN,
        why: "knows the exact keys only",
    }]),
    Case::contract(
        "control/update-device",
        "update sets the limits of one device in the place of those that it had",
        "throttles a block device of this host",
        update_device,
    )
    .clause(
        "runc command line",
        "update",
        "blockIO.throttleReadBpsDevice",
    )
    .known(&[Known {
        runtimes: RUNC,
        why: "takes blockIO.weight alone",
    }]),
    Case::contract(
        "control/update-all-or-nothing",
        "an update that the kernel refuses changes nothing",
        "asks for a good number of processes and an impossible cpu period",
        update_refused,
    )
    .clause("runc", "update", "Set configs back")
    .known(&[
        Known {
            runtimes: RUNC,
            why: "forgets the limit of processes that it was created with",
        },
        Known {
            runtimes: CRUN,
            why: "goes as far as it comes",
        },
    ]),
    Case::contract(
        "control/update-stopped",
        "a stopped container can't be updated",
        "kills it first",
        update_stopped,
    )
    .clause("runc", "update", "container not running")
    .known(&[Known {
        runtimes: CRUN,
        why: "updates the cgroup that is left",
    }]),
    Case::contract(
        "control/pause",
        "pause stops the processes, resume lets them go on, and state says so",
        "a signal sent to a paused container ends it when it is resumed",
        pause,
    )
    .clause("runc command line", "pause", "paused"),
    Case::contract(
        "control/pause-twice",
        "what is paused can't be paused, and what runs can't be resumed",
        "calls each twice",
        pause_twice,
    )
    .clause("runc", "resume", "container not paused")
    .known(&[Known {
        runtimes: CRUN,
        why: "does it again, without an error",
    }]),
    Case::contract(
        "control/paused-stays-paused",
        "update leaves a paused container paused",
        "changes the number of processes",
        paused_stays_paused,
    )
    .clause("runc", "update", "update paused container"),
    Case::contract(
        "control/exec-in-paused",
        "exec refuses a paused container, and with --ignore-paused waits for its end",
        "resumes it while exec waits",
        exec_in_paused,
    )
    .clause("runc command line", "exec", "--ignore-paused")
    .known(&[Known {
        runtimes: CRUN,
        why: "has no --ignore-paused",
    }]),
    Case::contract(
        "control/kill-paused",
        "SIGKILL ends a paused container",
        "kills one, and deletes another by force",
        kill_paused,
    )
    .clause("runc", "kill", "paused container")
    .known(&[Known {
        runtimes: CRUN,
        why: "leaves it frozen on cgroup v1, where it then does not end",
    }]),
    Case::contract(
        "control/events-stats",
        "events --stats prints one line with what is used",
        "reads processes, memory and processor time from it",
        events_stats,
    )
    .clause("runc command line", "events", "--stats")
    .known(NO_EVENTS),
    Case::contract(
        "control/events-interval",
        "events prints lines at the interval, and ends with the container",
        "asks for one every 50ms, and deletes the container",
        events_interval,
    )
    .clause("runc command line", "events", "--interval")
    .known(NO_EVENTS),
    Case::contract(
        "control/events-oom",
        "events tells of a process that is killed for want of memory",
        "runs a program that needs more than the limit",
        events_oom,
    )
    .clause(
        "runc command line",
        "events",
        "{\"type\":\"oom\",\"id\":ID}",
    )
    .known(NO_EVENTS),
    Case::contract(
        "control/exec-cgroup",
        "exec --cgroup puts the process into a cgroup below the container's, and no other",
        "makes one; then asks for one that isn't there, and for the one above",
        exec_cgroup,
    )
    .clause("runc command line", "exec", "--cgroup")
    .known(&[Known {
        runtimes: CRUN,
        why: "goes on without a cgroup that it has no way into",
    }]),
    Case::contract(
        "control/exec-cgroup-of-a-controller",
        "exec --cgroup CONTROLLER:PATH is for the hierarchy of that controller alone",
        "makes one for memory; then asks for an unknown controller",
        exec_cgroup_v1,
    )
    .clause("runc command line", "exec", "--cgroup")
    .needs(&[Need::CgroupV1("memory"), Need::CgroupV1("pids")])
    .known(&[Known {
        runtimes: CRUN,
        why: "takes a path only",
    }]),
    Case::contract(
        "control/exec-follows-init",
        "where the container's own cgroup takes no process, exec joins that of its init",
        "moves init into a cgroup below, and passes a controller down",
        exec_follows_init,
    )
    .clause(
        "runc",
        "exec",
        "cgroup v2 + init process in non-root cgroup",
    )
    .needs(&[Need::CgroupV2("memory")])
    .known(&[Known {
        runtimes: CRUN,
        why: "follows init even where --cgroup / asks for the container's own",
    }]),
    Case::contract(
        "control/used-cgroup",
        "a cgroup with processes in it is not taken for a new container",
        "creates a second container with the first one's cgroupsPath",
        used_cgroup,
    )
    .clause("runc", "create", "container's cgroup is not empty")
    .known(&[
        Known {
            runtimes: RUNC,
            why: "warns, and shares the cgroup",
        },
        Known {
            runtimes: CRUN,
            why: "shares the cgroup",
        },
    ]),
];

/// crun has no such verb.
const NO_EVENTS: &[Known] = &[Known {
    runtimes: CRUN,
    why: "has no such verb",
}];

/// crun takes numbers only.
const NO_UNITS: &[Known] = &[Known {
    runtimes: CRUN,
    why: "takes no units",
}];

/// A file of both versions: controller and name on v1, name on v2.
type File = (&'static str, &'static str, &'static str);

const MEMORY: File = ("memory", "memory.limit_in_bytes", "memory.max");
const PIDS: File = ("pids", "pids.max", "pids.max");

fn is_v2(context: &Context) -> bool {
    !context.host.cgroup_v1.contains("memory")
}

fn read(context: &Context, container: &Container<'_>, file: File) -> Result<String, Stop> {
    let pid = container.pid()?;
    if is_v2(context) {
        cgroup::value(pid, "", file.2)
    } else {
        cgroup::value(pid, file.0, file.1)
    }
}

fn update(container: &Container<'_>, options: &[&str]) -> Result<Output, Stop> {
    container.call("update", options, &[])?.must_work()
}

fn update_from(
    context: &Context,
    container: &Container<'_>,
    resources: &Value,
) -> Result<Output, Stop> {
    let file = context.directory.join("resources.json");
    fs::write(&file, resources.to_string())?;
    container.call("update", &["--resources", &file.to_string_lossy()], &[])
}

fn started(context: &Context, resources: Value) -> Result<Container<'_>, Stop> {
    let mut bundle = context.bundle()?;
    if let Value::Object(resources) = resources {
        for (name, value) in resources {
            bundle.config["linux"]["resources"][name] = value;
        }
    }
    context.started(bundle)
}

fn update_memory(context: &Context) -> Verdict {
    let container = started(context, json!({}))?;
    let none = read(context, &container, MEMORY)?;
    update(&container, &["--memory", "50M"])?;
    equal(
        "limit",
        read(context, &container, MEMORY)?.as_str(),
        "52428800",
    )?;
    update(&container, &["--memory", "-1"])?;
    equal("limit", read(context, &container, MEMORY)?, none)
}

fn update_memory_and_swap(context: &Context) -> Verdict {
    const SWAP: File = ("memory", "memory.memsw.limit_in_bytes", "memory.swap.max");
    let container = started(context, json!({ "memory": { "limit": 33_554_432 } }))?;
    if read(context, &container, SWAP).is_err() {
        return Err(Stop::Skipped("needs a kernel that counts swap".to_owned()));
    }
    for (memory, swap) in [(30_u64, 50_u64), (60, 80), (30, 50)] {
        let (memory_option, swap_option) = (format!("{memory}M"), format!("{swap}M"));
        update(
            &container,
            &["--memory", &memory_option, "--memory-swap", &swap_option],
        )?;
        let bytes = |megabytes: u64| (megabytes << 20).to_string();
        equal("limit", read(context, &container, MEMORY)?, bytes(memory))?;
        // cgroup v2 limits swap alone.
        let swap = if is_v2(context) { swap - memory } else { swap };
        equal("swap", read(context, &container, SWAP)?, bytes(swap))?;
    }
    Ok(())
}

/// Quota and period as cgroup v2 has them in one file.
fn bandwidth(context: &Context, container: &Container<'_>) -> Result<String, Stop> {
    let pid = container.pid()?;
    if is_v2(context) {
        return cgroup::value(pid, "", "cpu.max");
    }
    let quota = cgroup::value(pid, "cpu", "cpu.cfs_quota_us")?;
    let period = cgroup::value(pid, "cpu", "cpu.cfs_period_us")?;
    let quota = if quota == "-1" { "max" } else { &quota };
    Ok(format!("{quota} {period}"))
}

fn update_cpu(context: &Context) -> Verdict {
    let limits = json!({ "cpu": { "quota": 500_000, "period": 1_000_000 } });
    let container = started(context, limits)?;
    for (option, value, expected) in [
        ("--cpu-period", "900000", "500000 900000"),
        ("--cpu-quota", "600000", "600000 900000"),
        ("--cpu-quota", "-1", "max 900000"),
        ("--cpu-period", "100000", "max 100000"),
    ] {
        update(&container, &[option, value])?;
        equal(option, bandwidth(context, &container)?.as_str(), expected)?;
    }
    Ok(())
}

fn update_pids(context: &Context) -> Verdict {
    let container = started(context, json!({ "pids": { "limit": 20 } }))?;
    for (limit, expected) in [("12345", "12345"), ("-1", "max"), ("0", "1")] {
        update(&container, &["--pids-limit", limit])?;
        equal(
            "pids.max",
            read(context, &container, PIDS)?.as_str(),
            expected,
        )?;
    }
    Ok(())
}

fn update_resources(context: &Context) -> Verdict {
    let container = started(context, json!({}))?;
    let resources = json!({ "PIDs": { "Limit": 31 }, "CPU": { "Quota": 40000, "Period": 80000 } });
    update_from(context, &container, &resources)?.must_work()?;
    equal("pids.max", read(context, &container, PIDS)?.as_str(), "31")?;
    equal(
        "quota",
        bandwidth(context, &container)?.as_str(),
        "40000 80000",
    )
}

fn update_device(context: &Context) -> Verdict {
    let Some((major, minor)) = block_device() else {
        return Err(Stop::Skipped("needs a block device".to_owned()));
    };
    let limit = |rate: u64| {
        json!({ "blockIO": { "throttleReadBpsDevice":
            [{ "major": major, "minor": minor, "rate": rate }] } })
    };
    let container = started(context, limit(485_760))?;
    let pid = container.pid()?;
    for rate in [10_485_760_u64, 20_971_520] {
        update_from(context, &container, &limit(rate))?.must_work()?;
        let (seen, expected) = if is_v2(context) {
            let seen = cgroup::value(pid, "", "io.max")?;
            (
                seen,
                format!("{major}:{minor} rbps={rate} wbps=max riops=max wiops=max"),
            )
        } else {
            let seen = cgroup::value(pid, "blkio", "blkio.throttle.read_bps_device")?;
            (seen, format!("{major}:{minor} {rate}"))
        };
        equal("limit", seen, expected)?;
    }
    Ok(())
}

/// A block device that is no partition.
fn block_device() -> Option<(u64, u64)> {
    fs::read_dir("/sys/block")
        .ok()?
        .flatten()
        .find_map(|entry| {
            let numbers = fs::read_to_string(entry.path().join("dev")).ok()?;
            let (major, minor) = numbers.trim_end().split_once(':')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        })
}

fn update_refused(context: &Context) -> Verdict {
    let limits = json!({ "pids": { "limit": 20 }, "cpu": { "quota": 500_000, "period": 900_000 } });
    let container = started(context, limits)?;
    let before = bandwidth(context, &container)?;
    let options = ["--pids-limit", "21", "--cpu-period", "1"];
    container.call("update", &options, &[])?.must_fail()?;
    equal("pids.max", read(context, &container, PIDS)?.as_str(), "20")?;
    equal("quota and period", bandwidth(context, &container)?, before)
}

fn update_stopped(context: &Context) -> Verdict {
    let container = started(context, json!({}))?;
    container.stop()?;
    container
        .call("update", &["--pids-limit", "20"], &[])?
        .must_fail()
        .map(drop)
}

fn pause(context: &Context) -> Verdict {
    let container = started(context, json!({}))?;
    let pid = container.pid()?;
    container.call("pause", &[], &[])?.must_work()?;
    equal("status", container.status()?.as_str(), "paused")?;
    equal("pid", container.pid()?, pid)?;
    container.kill("TERM")?.must_work()?;
    std::thread::sleep(Duration::from_millis(100));
    equal("status", container.status()?.as_str(), "paused")?;
    container.call("resume", &[], &[])?.must_work()?;
    container.wait(pid)?;
    equal("status", container.status()?.as_str(), "stopped")
}

fn pause_twice(context: &Context) -> Verdict {
    let container = started(context, json!({}))?;
    container.call("resume", &[], &[])?.must_fail()?;
    container.call("pause", &[], &[])?.must_work()?;
    container.call("pause", &[], &[])?.must_fail()?;
    equal("status", container.status()?.as_str(), "paused")?;
    container.call("resume", &[], &[])?.must_work()?;
    container.call("resume", &[], &[])?.must_fail()?;
    equal("status", container.status()?.as_str(), "running")
}

fn paused_stays_paused(context: &Context) -> Verdict {
    let container = started(context, json!({}))?;
    container.call("pause", &[], &[])?.must_work()?;
    update(&container, &["--pids-limit", "30"])?;
    equal("pids.max", read(context, &container, PIDS)?.as_str(), "30")?;
    equal("status", container.status()?.as_str(), "paused")?;
    container.call("resume", &[], &[])?.must_work()?;
    equal("status", container.status()?.as_str(), "running")
}

fn exec_in_paused(context: &Context) -> Verdict {
    let container = started(context, json!({}))?;
    container.call("pause", &[], &[])?.must_work()?;
    let program = ["/probe", "probe", "exit", "7"];
    let refusal = container.call("exec", &[], &program)?.must_fail()?;
    equal("exit status", refusal.status, 255)?;
    let mut words = vec!["exec", "--ignore-paused", container.id.as_str()];
    words.extend(program);
    let mut waiting = context.call(&words).spawn()?;
    std::thread::sleep(Duration::from_millis(200));
    check(!waiting.has_ended()?, "exec --ignore-paused did not wait")?;
    container.call("resume", &[], &[])?.must_work()?;
    equal("exit status", waiting.wait()?.status, 7)
}

fn kill_paused(context: &Context) -> Verdict {
    let mut container = started(context, json!({}))?;
    let pid = container.pid()?;
    container.call("pause", &[], &[])?.must_work()?;
    container.kill("KILL")?.must_work()?;
    container.wait(pid)?;
    equal("status", container.status()?.as_str(), "stopped")?;
    container.delete(&[])?.must_work()?;
    let mut other = started(context, json!({}))?;
    other.call("pause", &[], &[])?.must_work()?;
    other.delete(&["--force"])?.must_work()?;
    context.nothing_left(&other.id)
}

fn events_stats(context: &Context) -> Verdict {
    let container = started(context, json!({ "memory": { "limit": 67_108_864 } }))?;
    let output = container.call("events", &["--stats"], &[])?.must_work()?;
    let begin = format!(
        "{{\"type\":\"stats\",\"id\":\"{}\",\"data\":{{",
        container.id
    );
    check(
        output.stdout().starts_with(&begin) && output.stdout().lines().count() == 1,
        format_args!("not one line of stats: {}", output.stdout()),
    )?;
    let event: Value = serde_json::from_str(&output.stdout())
        .map_err(|error| Stop::Failed(format!("no JSON: {error}")))?;
    let data = &event["data"];
    equal("pids.current", &data["pids"]["current"], &json!(1))?;
    equal(
        "memory.usage.limit",
        &data["memory"]["usage"]["limit"],
        &json!(67_108_864),
    )?;
    let used = data["memory"]["usage"]["usage"].as_u64();
    check(used > Some(0), format_args!("memory.usage.usage: {used:?}"))?;
    // Some kernels count whole ticks, and there may not have been one yet: then it is left out.
    check(data["cpu"].is_object(), "there is no cpu")?;
    check(
        data["memory"]["raw"]
            .as_object()
            .is_some_and(|raw| raw.len() > 10),
        "memory.raw is not memory.stat",
    )
}

fn events_interval(context: &Context) -> Verdict {
    let mut container = started(context, json!({}))?;
    let events = context
        .call(&["events", "--interval", "50ms", &container.id])
        .spawn()?;
    events.wait_for_output(|text| text.lines().count() >= 3)?;
    container.delete(&["--force"])?.must_work()?;
    let output = events.wait()?.must_work()?;
    let stats = format!("{{\"type\":\"stats\",\"id\":\"{}\",", container.id);
    check(
        output.stdout().lines().all(|line| line.starts_with(&stats)),
        format_args!("not stats alone: {}", output.stdout()),
    )
}

fn events_oom(context: &Context) -> Verdict {
    let limit = json!({ "memory": { "limit": 16_777_216, "swap": 16_777_216 } });
    let mut bundle = context.bundle()?;
    bundle.config["linux"]["resources"]["memory"] = limit["memory"].clone();
    let mut container = match context.started(bundle) {
        // Debian's kernels may count no swap on cgroup v1.
        Err(Stop::Failed(why)) if why.contains("memsw") => {
            return Err(Stop::Skipped("needs a kernel that counts swap".to_owned()));
        }
        started => started?,
    };
    let events = context.call(&["events", &container.id]).spawn()?;
    // It listens from some moment on, which nothing tells of.
    std::thread::sleep(Duration::from_millis(300));
    let hog = ["/probe", "probe", "hoard", "67108864"];
    container.call("exec", &[], &hog)?.must_fail()?;
    let oom = format!("{{\"type\":\"oom\",\"id\":\"{}\"}}", container.id);
    events.wait_for_output(|text| text.lines().any(|line| line == oom))?;
    container.delete(&["--force"])?.must_work()?;
    events.wait()?.must_work().map(drop)
}

/// The lines of /proc/self/cgroup of a process that `exec` runs.
fn cgroups_of_exec(container: &Container<'_>, options: &[&str]) -> Result<String, Stop> {
    let output = container
        .call("exec", options, &["/probe", "probe", "see"])?
        .must_work()?;
    Ok(crate::harness::observation(&output)?.cgroup)
}

/// A v1 cpuset takes no process before it has processors and memory nodes.
fn make_below(directory: &Path) -> Result<(), Stop> {
    let below = directory.join("below");
    fs::create_dir(&below)?;
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if let Ok(value) = fs::read(directory.join(file)) {
            fs::write(below.join(file), value)?;
        }
    }
    Ok(())
}

fn exec_cgroup(context: &Context) -> Verdict {
    let container = started(context, json!({}))?;
    let pid = container.pid()?;
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    // Where the runtime has made none, the container is in the one of everybody: none for it there.
    for line in cgroups.lines().filter(|line| !line.ends_with(":/")) {
        let names = line.split(':').nth(1).unwrap_or_default();
        let first = names.split(',').next().unwrap_or_default();
        if let Ok(directory) = cgroup::directory(pid, first) {
            make_below(&directory)?;
        }
    }
    let seen = cgroups_of_exec(&container, &["--cgroup", "/below"])?;
    let controllers = seen
        .lines()
        .filter(|line| !line.contains("::") || is_v2(context))
        // A hierarchy that somebody has mounted since the container was made.
        .filter(|line| !line.ends_with(":/"));
    let all = controllers.into_iter().all(|line| line.ends_with("/below"));
    check(all, format_args!("not in the cgroup asked for: {seen}"))?;
    for elsewhere in ["missing", "..", "below/../.."] {
        container
            .call(
                "exec",
                &["--cgroup", elsewhere],
                &["/probe", "probe", "exit", "0"],
            )?
            .must_fail()?;
    }
    Ok(())
}

fn exec_cgroup_v1(context: &Context) -> Verdict {
    let container = started(context, json!({}))?;
    let directory = cgroup::directory(container.pid()?, "memory")?;
    fs::create_dir(directory.join("below"))?;
    let seen = cgroups_of_exec(&container, &["--cgroup", "memory:below"])?;
    for line in seen.lines() {
        let of_memory = line.split(':').nth(1) == Some("memory");
        check(
            of_memory == line.ends_with("/below"),
            format_args!("wrong cgroup: {line}"),
        )?;
    }
    container
        .call(
            "exec",
            &["--cgroup", "whatever:/"],
            &["/probe", "probe", "exit", "0"],
        )?
        .must_fail()
        .map(drop)
}

fn exec_follows_init(context: &Context) -> Verdict {
    let container = started(context, json!({}))?;
    let pid = container.pid()?;
    let own = cgroup::directory(pid, "")?;
    let below = own.join("below");
    fs::create_dir(&below)?;
    fs::write(below.join("cgroup.procs"), pid.to_string())?;
    let seen = cgroups_of_exec(&container, &[])?;
    check(
        !seen.contains("/below"),
        format_args!("not in the container's own: {seen}"),
    )?;
    fs::write(own.join("cgroup.subtree_control"), "+memory")?;
    let seen = cgroups_of_exec(&container, &[])?;
    check(
        seen.contains("/below"),
        format_args!("not in that of init: {seen}"),
    )?;
    let output = container.call(
        "exec",
        &["--cgroup", "/"],
        &["/probe", "probe", "exit", "0"],
    )?;
    output.must_fail().map(drop)
}

fn used_cgroup(context: &Context) -> Verdict {
    let first = context.bundle()?;
    let path = first.config["linux"]["cgroupsPath"].clone();
    let container = context.started(first)?;
    let refusal = context.must_refuse_with(|config| {
        config["linux"]["cgroupsPath"] = path;
    })?;
    if !refusal.stderr().contains("container's cgroup is not empty") {
        return fail(format_args!("another reason: {}", refusal.stderr()));
    }
    equal("status", container.status()?.as_str(), "running")
}
