//! Where and when the kernel lets the program run: `process.scheduler`, `process.ioPriority`,
//! `process.execCPUAffinity` and `linux.memoryPolicy`.

use std::fs;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::{Value, json};

use crate::case::{CRUN, Case, Known, NEW_CRUN, Need, OLD_CRUN, RUNC, Stop, Verdict, check, equal};
use crate::harness::{Container, Context, observation};
use crate::probe::Observation;

const POLICY: &str = "call:sched_getscheduler:0";
const NICE: &str = "call:getpriority:0:0";
const IO_PRIORITY: &str = "call:ioprio_get:1:0";
const STATUS: &str = "read:/proc/self/status";
const NUMA_MAPS: &str = "read:/proc/self/numa_maps";

const SCHEDULER_CAME_LATER: &[Known] = &[
    Known {
        runtimes: RUNC,
        why: "came with runc 1.2; ignored before",
    },
    Known {
        runtimes: OLD_CRUN,
        why: "came with crun 1.8.5, the I/O priority with 1.8.6; ignored before",
    },
];

/// What crun does otherwise since it knows these fields.
const EXEC_KEEPS_THE_CALLERS: &[Known] = &[
    SCHEDULER_CAME_LATER[0],
    SCHEDULER_CAME_LATER[1],
    Known {
        runtimes: NEW_CRUN,
        why: "an executed process keeps its caller's, and values without effect pass",
    },
];

const MEMORY_POLICY_CAME_LATER: &[Known] = &[
    Known {
        runtimes: RUNC,
        why: "came with runtime-spec 1.3; ignored before",
    },
    Known {
        runtimes: CRUN,
        why: "came with runtime-spec 1.3; ignored before",
    },
];

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::must(
        "scheduling/policy",
        "policy and nice value are those of process.scheduler",
        "asks for SCHED_BATCH with nice 7, and reads sched_getscheduler(2) and getpriority(2)",
        policy,
    )
    .clause(
        "config.md",
        "Linux Process",
        "is an object describing the scheduler properties for the process",
    )
    .known(SCHEDULER_CAME_LATER),
    Case::contract(
        "scheduling/policy-of-exec",
        "exec takes the container's scheduler over, unless process.json has one",
        "executes into a SCHED_BATCH container, and again with SCHED_IDLE in process.json",
        policy_of_exec,
    )
    .clause(
        "runc",
        "scheduler.bats",
        "Check exec settings derived from config.json",
    )
    .known(EXEC_KEEPS_THE_CALLERS),
    Case::contract(
        "scheduling/policy-refused",
        "what sched_setattr(2) has no number for is refused",
        "asks for an unknown policy, an unknown flag, a priority for SCHED_OTHER, nice 20, and a \
         runtime for SCHED_BATCH",
        policy_refused,
    )
    .clause(
        "config.md",
        "Linux Process",
        "represents the scheduling policy. A valid list of values is",
    )
    .known(EXEC_KEEPS_THE_CALLERS),
    Case::contract(
        "scheduling/deadline-on-some-cpus",
        "SCHED_DEADLINE in a container that is bound to a CPU is refused",
        "asks for both; on a machine with one CPU there is nothing to bind to",
        deadline_on_some_cpus,
    )
    .clause(
        "sched_setattr(2)",
        "ERRORS",
        "EPERM: The CPU affinity mask [...] does not include all CPUs in the system",
    )
    .needs(&[Need::CgroupV1("cpuset")])
    .known(SCHEDULER_CAME_LATER),
    Case::must(
        "scheduling/io-priority",
        "the I/O priority is process.ioPriority",
        "asks for IOPRIO_CLASS_BE 6, which ioprio_get(2) shows",
        io_priority,
    )
    .clause(
        "config.md",
        "Linux Process",
        "configures the I/O priority settings for the container's processes",
    )
    .known(SCHEDULER_CAME_LATER),
    Case::contract(
        "scheduling/io-priority-of-exec",
        "exec takes the container's I/O priority over, unless process.json has one",
        "executes into a container with IOPRIO_CLASS_BE 6, and again with IOPRIO_CLASS_IDLE",
        io_priority_of_exec,
    )
    .clause(
        "runc",
        "ioprio.bats",
        "Check an exec process, which should derive ioprio from config.json",
    )
    .known(EXEC_KEEPS_THE_CALLERS),
    Case::contract(
        "scheduling/io-priority-refused",
        "a class or priority that ioprio_set(2) doesn't know is refused",
        "asks for class IOPRIO_CLASS_BOGUS and for priority 8",
        io_priority_refused,
    )
    .clause(
        "config.md",
        "Linux Process",
        "an integer ranging from 0 (highest) to 7 (lowest)",
    )
    .known(SCHEDULER_CAME_LATER),
    Case::contract(
        "scheduling/callers-affinity",
        "the caller's CPU affinity is not the container's, for run and exec",
        "calls the runtime with its affinity cut to one CPU",
        callers_affinity,
    )
    .clause("runc", "cpu_affinity.bats", "CPU affinity should reset")
    .known(&[
        Known {
            runtimes: RUNC,
            why: "resets it since runc 1.2.7, 1.3.1 and 1.4",
        },
        Known {
            runtimes: CRUN,
            why: "keeps the caller's",
        },
    ]),
    Case::must(
        "scheduling/affinity-of-exec",
        "an executed process runs on the CPUs of execCPUAffinity.final",
        "executes with the last CPU in process.json, and with a list that is none",
        affinity_of_exec,
    )
    .clause(
        "config.md",
        "Linux Process",
        "is a list of CPUs the process will be run on after the transition",
    )
    .known(&[
        Known {
            runtimes: RUNC,
            why: "came with runc 1.3; ignored before",
        },
        Known {
            runtimes: CRUN,
            why: "ignored by 1.8; 1.21 takes a list that is none",
        },
    ]),
    Case::must(
        "scheduling/memory-policy",
        "the memory policy is linux.memoryPolicy, for run and exec",
        "asks for MPOL_BIND to node 0, static, and reads /proc/self/numa_maps",
        memory_policy,
    )
    .clause(
        "config-linux.md",
        "Memory policy",
        "sets the NUMA memory policy for the container",
    )
    .needs(&[Need::File("/proc/self/numa_maps")])
    .known(MEMORY_POLICY_CAME_LATER),
    Case::must(
        "scheduling/memory-policy-refused",
        "a memory policy that set_mempolicy(2) has no number for is refused",
        "leaves the mode out, and asks for an unknown mode, flag and node, for nodes with \
         MPOL_DEFAULT and for none with MPOL_BIND",
        memory_policy_refused,
    )
    .clause(
        "config-linux.md",
        "Memory policy",
        "A valid list of constants is shown below",
    )
    .known(MEMORY_POLICY_CAME_LATER),
];

fn policy(context: &Context) -> Verdict {
    let seen = context.see_with(&[POLICY, NICE], |config| {
        config["process"]["scheduler"] = json!({ "policy": "SCHED_BATCH", "nice": 7 });
    })?;
    equal("policy", seen.answer(POLICY).text.as_str(), "3")?;
    // The system call returns 20 minus the nice value.
    equal("priority", seen.answer(NICE).text.as_str(), "13")
}

fn started(context: &Context, change: impl FnOnce(&mut Value)) -> Result<Container<'_>, Stop> {
    let mut bundle = context.bundle()?;
    change(&mut bundle.config);
    context.started(bundle)
}

/// What an executed process sees: the container's own with other arguments, or, with `fields`, one
/// of its own file.
fn executed(
    container: &Container<'_>,
    context: &Context,
    fields: Option<Value>,
    question: &str,
) -> Result<Observation, Stop> {
    let words = ["/probe", "probe", "see", question];
    let Some(mut process) = fields else {
        return observation(&container.call("exec", &[], &words)?.must_work()?);
    };
    process["args"] = json!(words);
    process["cwd"] = json!("/");
    let file = context.directory.join("process.json");
    fs::write(&file, process.to_string())?;
    let file = file.to_string_lossy().into_owned();
    observation(
        &container
            .call("exec", &["--process", &file], &[])?
            .must_work()?,
    )
}

fn policy_of_exec(context: &Context) -> Verdict {
    let container = started(context, |config| {
        config["process"]["scheduler"] = json!({ "policy": "SCHED_BATCH" });
    })?;
    for (fields, wanted) in [
        (None, "3"),
        (Some(json!({})), "3"),
        (
            Some(json!({ "scheduler": { "policy": "SCHED_IDLE" } })),
            "5",
        ),
    ] {
        let seen = executed(&container, context, fields, POLICY)?;
        equal("policy", seen.answer(POLICY).text.as_str(), wanted)?;
    }
    Ok(())
}

fn policy_refused(context: &Context) -> Verdict {
    for scheduler in [
        json!({ "policy": "SCHED_BOGUS" }),
        json!({ "policy": "SCHED_BATCH", "flags": ["SCHED_FLAG_BOGUS"] }),
        json!({ "policy": "SCHED_OTHER", "priority": 1 }),
        json!({ "policy": "SCHED_OTHER", "nice": 20 }),
        json!({ "policy": "SCHED_BATCH", "runtime": 1_000_000 }),
    ] {
        context.must_refuse_with(|config| config["process"]["scheduler"] = scheduler)?;
    }
    Ok(())
}

fn deadline_on_some_cpus(context: &Context) -> Verdict {
    let cpus = allowed_here()?;
    let Some((first, _)) = ends(&cpus).filter(|(first, last)| first != last) else {
        return Err(Stop::Skipped("needs more than one CPU".to_owned()));
    };
    context
        .must_refuse_with(|config| {
            config["process"]["scheduler"] = json!({
                "policy": "SCHED_DEADLINE",
                "runtime": 42_000, "deadline": 1_000_000, "period": 1_000_000,
            });
            config["linux"]["resources"]["cpu"] = json!({ "cpus": first.to_string() });
        })
        .map(drop)
}

fn io_priority(context: &Context) -> Verdict {
    let seen = context.see_with(&[IO_PRIORITY], |config| {
        config["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_BE", "priority": 6 });
    })?;
    let wanted = (2 << 13 | 6).to_string();
    equal("I/O priority", seen.answer(IO_PRIORITY).text, wanted)
}

fn io_priority_of_exec(context: &Context) -> Verdict {
    let container = started(context, |config| {
        config["process"]["ioPriority"] = json!({ "class": "IOPRIO_CLASS_BE", "priority": 6 });
    })?;
    let idle = json!({ "ioPriority": { "class": "IOPRIO_CLASS_IDLE", "priority": 0 } });
    for (fields, class, priority) in [(None, 2, 6), (Some(idle), 3, 0)] {
        let seen = executed(&container, context, fields, IO_PRIORITY)?;
        let wanted = (class << 13 | priority).to_string();
        equal("I/O priority", seen.answer(IO_PRIORITY).text, wanted)?;
    }
    Ok(())
}

fn io_priority_refused(context: &Context) -> Verdict {
    for priority in [
        json!({ "class": "IOPRIO_CLASS_BOGUS", "priority": 1 }),
        json!({ "class": "IOPRIO_CLASS_BE", "priority": 8 }),
    ] {
        context.must_refuse_with(|config| config["process"]["ioPriority"] = priority)?;
    }
    Ok(())
}

/// `Cpus_allowed_list` of a status file.
fn allowed(status: &str) -> &str {
    status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .map_or("", str::trim)
}

fn allowed_here() -> Result<String, Stop> {
    Ok(allowed(&fs::read_to_string("/proc/thread-self/status")?).to_owned())
}

/// The first and the last CPU of a list.
fn ends(list: &str) -> Option<(usize, usize)> {
    let mut numbers = list.split([',', '-']).map(str::parse::<usize>);
    let first = numbers.next()?.ok()?;
    Some((
        first,
        numbers.next_back().and_then(Result::ok).unwrap_or(first),
    ))
}

fn callers_affinity(context: &Context) -> Verdict {
    let whole = allowed_here()?;
    let Some((first, _)) = ends(&whole).filter(|(first, last)| first != last) else {
        return Err(Stop::Skipped("needs more than one CPU".to_owned()));
    };
    let before = sched_getaffinity(None)?;
    let mut one = CpuSet::new();
    one.set(first);
    sched_setaffinity(None, &one)?;
    let seen = context.see_with(&[STATUS], |_| {});
    let executed =
        started(context, |_| {}).and_then(|container| executed(&container, context, None, STATUS));
    sched_setaffinity(None, &before)?;
    for (what, seen) in [("run", seen?), ("exec", executed?)] {
        let cpus = seen.answer(STATUS).text;
        check(
            allowed(&cpus) != first.to_string(),
            format_args!("{what}: wanted the CPUs {whole}, saw those of the caller, {first}"),
        )?;
    }
    Ok(())
}

fn affinity_of_exec(context: &Context) -> Verdict {
    let whole = allowed_here()?;
    let Some((_, last)) = ends(&whole) else {
        return Err(Stop::Skipped("needs the list of CPUs".to_owned()));
    };
    let container = started(context, |_| {})?;
    let last = last.to_string();
    let fields = json!({ "execCPUAffinity": { "initial": last, "final": last } });
    let seen = executed(&container, context, Some(fields), STATUS)?;
    equal("CPUs", allowed(&seen.answer(STATUS).text), last.as_str())?;

    let fields = json!({ "execCPUAffinity": { "final": "some" } });
    match executed(&container, context, Some(fields), STATUS) {
        Err(Stop::Failed(_)) => Ok(()),
        Err(other) => Err(other),
        Ok(_) => crate::case::fail("the list of CPUs \"some\" was taken"),
    }
}

fn memory_policy(context: &Context) -> Verdict {
    let bound = |config: &mut Value| {
        config["linux"]["memoryPolicy"] = json!({
            "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"],
        });
    };
    let policy = |seen: &Observation| {
        let maps = seen.answer(NUMA_MAPS).text;
        maps.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    let seen = context.see_with(&[NUMA_MAPS], bound)?;
    equal("policy", policy(&seen).as_str(), "bind=static:0")?;
    let container = started(context, bound)?;
    let seen = executed(&container, context, None, NUMA_MAPS)?;
    equal("policy of exec", policy(&seen).as_str(), "bind=static:0")
}

fn memory_policy_refused(context: &Context) -> Verdict {
    for policy in [
        json!({ "nodes": "0" }),
        json!({ "mode": "BIND", "nodes": "0" }),
        json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_BOGUS"] }),
        json!({ "mode": "MPOL_BIND", "nodes": "0-9876543210" }),
        json!({ "mode": "MPOL_DEFAULT", "nodes": "0" }),
        json!({ "mode": "MPOL_BIND" }),
    ] {
        context.must_refuse_with(|config| config["linux"]["memoryPolicy"] = policy)?;
    }
    Ok(())
}
