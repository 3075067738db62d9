//! `state` and `list`: what they print.

use serde_json::{Value, json};

use crate::case::{Case, Verdict, check, equal, fail};
use crate::harness::Context;

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::must(
        "state/fields",
        "state has ociVersion, id, status, pid and an absolute bundle",
        "creates a container and looks at each field",
        fields,
    )
    .clause(
        "runtime.md",
        "State",
        "is the absolute path to the container's bundle directory",
    ),
    Case::must(
        "state/status",
        "status goes from created over running to stopped",
        "asks at each stage",
        status,
    )
    .clause(
        "runtime.md",
        "State",
        "status (string, REQUIRED) is the runtime state of the container",
    ),
    Case::must(
        "state/pid",
        "pid is the container's process as the host sees it",
        "compares the namespaces of /proc/PID/ns with what the probe sees in the container",
        pid,
    )
    .clause(
        "runtime.md",
        "State",
        "(int, REQUIRED when status is created or running on Linux, [...])",
    ),
    Case::must(
        "state/annotations",
        "state holds the annotations of config.json",
        "sets two annotations, one with an empty value",
        annotations,
    )
    .clause(
        "runtime.md",
        "State",
        "annotations (map, OPTIONAL) contains the list of annotations",
    ),
    Case::must(
        "state/unknown-id",
        "state of an unknown id is an error",
        "asks for an id that nothing was created under",
        unknown,
    )
    .clause(
        "runtime.md",
        "Query State",
        "a container that does not exist MUST generate an error",
    ),
    Case::must(
        "state/needs-id",
        "state without an id is an error",
        "calls state alone",
        needs_id,
    )
    .clause(
        "runtime.md",
        "Query State",
        "MUST generate an error if it is not provided the ID",
    ),
    Case::contract(
        "state/killed-from-outside",
        "a container whose process was killed behind the runtime's back is stopped",
        "kills the process itself; then state says stopped and delete works",
        killed_from_outside,
    )
    .clause(
        "containerd",
        "cleanup after a crash",
        "state after init's death says stopped",
    ),
    Case::contract(
        "state/list-json",
        "list --format json is an array with every container",
        "creates two and reads id, pid, status and bundle of both",
        list_json,
    )
    .clause("runc command line", "list", "--format, -f"),
    Case::contract(
        "state/list-quiet",
        "list --quiet prints one id a line",
        "creates two",
        list_quiet,
    )
    .clause("runc command line", "list", "--quiet, -q"),
    Case::contract(
        "state/list-table",
        "list prints a table with a header",
        "creates one and looks for ID, PID, STATUS, BUNDLE and its row",
        list_table,
    )
    .clause(
        "runc contract",
        "list",
        "header ID PID STATUS BUNDLE CREATED",
    ),
];

fn fields(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    let container = context.create(&bundle)?;
    let state = container.state()?;
    equal("id", state["id"].as_str(), Some(container.id.as_str()))?;
    equal("status", state["status"].as_str(), Some("created"))?;
    let directory = bundle.directory.to_string_lossy().into_owned();
    equal("bundle", state["bundle"].as_str(), Some(directory.as_str()))?;
    check(
        state["pid"].as_i64().is_some_and(|pid| pid > 0),
        "pid is no positive number",
    )?;
    let version = state["ociVersion"].as_str().unwrap_or_default();
    check(
        version.split('.').count() >= 3 && version.starts_with("1."),
        format_args!("ociVersion {version:?} is no version"),
    )
}

fn status(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    let container = context.create(&bundle)?;
    equal("after create", container.status()?, "created".to_owned())?;
    container.start()?;
    equal("after start", container.status()?, "running".to_owned())?;
    container.stop()?;
    let state = container.state()?;
    equal("after the end", state["status"].as_str(), Some("stopped"))?;
    check(
        state["pid"].as_i64().unwrap_or(0) == 0,
        format_args!("a stopped container has pid {}", state["pid"]),
    )
}

fn pid(context: &Context) -> Verdict {
    let container = context.started(context.bundle()?)?;
    let pid = container.pid()?;
    let output = container
        .call("exec", &[], &["/probe", "probe", "see"])?
        .must_work()?;
    let seen = crate::harness::observation(&output)?;
    for kind in ["pid", "net", "ipc", "uts", "mnt"] {
        let Ok(outside) = std::fs::read_link(format!("/proc/{pid}/ns/{kind}")) else {
            return fail(format_args!("the host has no process {pid}"));
        };
        equal(
            &format!("namespace {kind}"),
            seen.namespaces.get(kind).map(String::as_str),
            outside.to_str(),
        )?;
    }
    Ok(())
}

fn annotations(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    bundle.config["annotations"] = json!({ "org.example.key": "a value", "org.example.empty": "" });
    let state = context.create(&bundle)?.state()?;
    equal(
        "annotation",
        state["annotations"]["org.example.key"].as_str(),
        Some("a value"),
    )?;
    equal(
        "annotation",
        state["annotations"]["org.example.empty"].as_str(),
        Some(""),
    )
}

fn unknown(context: &Context) -> Verdict {
    context
        .call(&["state", "conformance-nobody"])
        .run()?
        .must_fail()?;
    Ok(())
}

fn needs_id(context: &Context) -> Verdict {
    context.call(&["state"]).run()?.must_fail()?;
    Ok(())
}

fn killed_from_outside(context: &Context) -> Verdict {
    let mut container = context.started(context.bundle()?)?;
    let pid = container.pid()?;
    if let Some(process) = rustix::process::Pid::from_raw(pid) {
        rustix::process::kill_process(process, rustix::process::Signal::KILL)?;
    }
    container.wait(pid)?;
    container.wait_for_status("stopped")?;
    container.delete(&[])?;
    context.nothing_left(&container.id)
}

fn list_json(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    let first = context.create(&bundle)?;
    let second = context.started(context.bundle()?)?;
    let output = context
        .call(&["list", "--format", "json"])
        .run()?
        .must_work()?;
    let Ok(Value::Array(list)) = serde_json::from_str(&output.stdout()) else {
        return fail(format_args!(
            "{} printed no JSON array: {}",
            output.command,
            output.stdout()
        ));
    };
    equal("number of containers", list.len(), 2)?;
    for (container, status) in [(&first, "created"), (&second, "running")] {
        let Some(entry) = list
            .iter()
            .find(|entry| entry["id"] == container.id.as_str())
        else {
            return fail(format_args!("{} is not listed", container.id));
        };
        equal("status", entry["status"].as_str(), Some(status))?;
        equal(
            "pid",
            entry["pid"].as_i64(),
            Some(i64::from(container.pid()?)),
        )?;
        check(entry["bundle"].is_string(), "an entry has no bundle")?;
    }
    Ok(())
}

fn list_quiet(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    let first = context.create(&bundle)?;
    let second = context.create(&bundle_again(context)?)?;
    let output = context.call(&["list", "--quiet"]).run()?.must_work()?;
    let text = output.stdout();
    let mut lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.sort_unstable();
    let mut wanted = vec![first.id.as_str(), second.id.as_str()];
    wanted.sort_unstable();
    equal("lines", lines, wanted)
}

fn bundle_again(context: &Context) -> Result<crate::harness::Bundle, crate::case::Stop> {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    Ok(bundle)
}

fn list_table(context: &Context) -> Verdict {
    let container = context.create(&bundle_again(context)?)?;
    let output = context.call(&["list"]).run()?.must_work()?;
    let text = output.stdout();
    let words: Vec<&str> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let columns: Vec<&str> = words
        .into_iter()
        .filter(|word| ["ID", "NAME", "PID", "STATUS", "BUNDLE"].contains(word))
        .collect();
    equal("columns", columns.len(), 4)?;
    let pid = container.pid()?.to_string();
    check(
        text.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.contains(&container.id.as_str()) && words.contains(&pid.as_str())
        }),
        format_args!("no row of {} with its pid in: {text}", container.id),
    )
}
