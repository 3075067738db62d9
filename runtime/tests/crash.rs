//! The runtime, or the container's init, or both, are killed after each of their system calls, in
//! every verb that changes a container: `delete --force` then removes what is left, all of it,
//! and the name can be used again.
//!
//! Needs root and busybox-static.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;
mod orphans;
mod tracer;

use std::collections::BTreeSet;
use std::fs;

use harness::Sandbox;
use orphans::reap_orphans;
use serde_json::{Value, json};
use tracer::{Crash, Outcome, Who};

/// A verb, and what has to be there for it.
struct Walk {
    name: &'static str,
    /// The call of the runtime that is broken off.
    call: &'static [&'static str],
    /// The calls before it.
    before: &'static [&'static [&'static str]],
}

const CREATE: Walk = Walk {
    name: "create",
    call: &["create", "--pid-file", "pid", "ID"],
    before: &[],
};
const RUN: Walk = Walk {
    name: "run",
    call: &["run", "-d", "ID"],
    before: &[],
};
const START: Walk = Walk {
    name: "start",
    call: &["start", "ID"],
    before: &[&["create", "ID"]],
};
const EXEC: Walk = Walk {
    name: "exec",
    call: &["exec", "-d", "ID", "/bin/sleep", "1000"],
    before: &[&["run", "-d", "ID"]],
};
const UPDATE: Walk = Walk {
    name: "update",
    call: &[
        "update",
        "--memory",
        "64M",
        "--pids-limit",
        "30",
        "--cpu-quota",
        "50000",
        "ID",
    ],
    before: &[&["run", "-d", "ID"]],
};
const PAUSE: Walk = Walk {
    name: "pause",
    call: &["pause", "ID"],
    before: &[&["run", "-d", "ID"]],
};
const RESUME: Walk = Walk {
    name: "resume",
    call: &["resume", "ID"],
    before: &[&["run", "-d", "ID"], &["pause", "ID"]],
};
const DELETE: Walk = Walk {
    name: "delete",
    call: &["delete", "ID"],
    before: &[&["create", "ID"], &["kill", "ID", "KILL"]],
};
const DELETE_FORCE: Walk = Walk {
    name: "delete-force",
    call: &["delete", "--force", "ID"],
    before: &[&["run", "-d", "ID"]],
};

/// A container with all that leaves traces on the host: limits in cgroups whose parents are
/// missing, hooks of every kind, a filter, mounts, devices.
fn sandbox(name: &str) -> Sandbox {
    reap_orphans();
    let mut sandbox = Sandbox::new(&format!("crash-{name}"));
    let hook = json!([{ "path": "/bin/busybox", "args": ["true"] }]);
    sandbox.config["hooks"] = json!({
        "prestart": hook, "createRuntime": hook, "createContainer": hook,
        "startContainer": hook, "poststart": hook, "poststop": hook,
    });
    sandbox.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
        "syscalls": [{ "names": ["kexec_load", "reboot"], "action": "SCMP_ACT_ERRNO" }],
    });
    sandbox.write_config();
    sandbox
}

/// Crashes once, looks at what is left, and cleans up. Whether there was a call to crash after.
fn crash_once(
    sandbox: &Sandbox,
    walk: &Walk,
    crash: Crash,
    seen: &mut dyn FnMut(&Sandbox),
) -> bool {
    for call in walk.before {
        sandbox.must(call);
    }
    let outcome = crash.run(&mut sandbox.command(walk.call));
    let shown = format!("{} with {crash:?}: {outcome:?}", walk.name);
    seen(sandbox);
    if outcome.crashed && crash.kill == [Who::Init] {
        check_report(sandbox, walk, &outcome, &shown);
    } else if !outcome.crashed {
        assert!(outcome.status.success(), "{shown}");
    }
    let removed = sandbox.windlass(&["delete", "--force", "ID"]);
    assert!(
        removed.status.success(),
        "{shown}: delete --force: {}",
        removed.stderr
    );
    sandbox.assert_clean(&shown);
    outcome.crashed
}

/// Only init was killed: the runtime says so, and has cleaned up behind it. Right after the end of
/// its work nobody misses init any more: then there is a container that has stopped.
fn check_report(sandbox: &Sandbox, walk: &Walk, outcome: &Outcome, shown: &str) {
    if outcome.status.success() {
        if walk.name == EXEC.name {
            assert_eq!(sandbox.status(), "running", "{shown}");
        } else {
            sandbox.wait_for_status("stopped");
        }
        return;
    }
    assert_eq!(outcome.stderr.lines().count(), 1, "not one line: {shown}");
    assert!(outcome.status.code().is_some(), "{shown}");
    if walk.name == EXEC.name {
        assert_eq!(sandbox.status(), "running", "{shown}");
    } else {
        sandbox.assert_clean(&format!("the runtime's own cleaning, {shown}"));
    }
}

/// Crashes after the first, the second, … call, until there is none left to crash after.
fn walk_all(
    sandbox: &Sandbox,
    walk: &Walk,
    of: Who,
    kill: &'static [Who],
    seen: &mut dyn FnMut(&Sandbox),
) {
    let mut calls = 1;
    while crash_once(sandbox, walk, Crash { of, calls, kill }, seen) {
        calls += 1;
    }
    assert!(calls > 10, "{} has {calls} calls only", walk.name);
    println!(
        "{}: {:?} killed after each of {calls} calls of {of:?}",
        walk.name, kill
    );
    // And once more from the beginning to the end: the name can be used again.
    sandbox.must(&["create", "ID"]);
    sandbox.must(&["start", "ID"]);
    sandbox.must(&["delete", "--force", "ID"]);
    sandbox.assert_clean("a whole life after the crashes");
}

fn walk(walk: &Walk, of: Who, kill: &'static [Who]) {
    let name = format!(
        "{}-{}",
        walk.name,
        if of == Who::Runtime { "r" } else { "i" }
    );
    walk_all(&sandbox(&name), walk, of, kill, &mut |_| {});
}

/// What the journal and the state directory say has been done.
fn progress(sandbox: &Sandbox) -> BTreeSet<&'static str> {
    let mut done = BTreeSet::new();
    let directory = sandbox.state_directory();
    let journal = fs::read_to_string(directory.join("journal")).unwrap_or_default();
    let records = journal
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    for record in records {
        if record.get("cgroups").is_some() {
            done.insert("make the container's cgroups");
        }
        if record.get("init").is_some() {
            done.insert("start init");
        }
    }
    if directory.join("state.json").exists() {
        done.insert("record that the container is created");
    }
    done
}

/// Every step of the plan says which clause asks for it; and those that leave something on the host
/// are crossed by the walk: it has crashed before each of them and after.
#[test]
fn create_and_the_plan() {
    let sandbox = sandbox("plan");
    let plan = sandbox.must(&["explain", "--json"]).stdout;
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let mut with_undo = Vec::new();
    for step in plan["steps"].as_array().unwrap() {
        let words = step["step"].as_str().unwrap();
        let clause = step["clause"].as_str().unwrap();
        assert!(clause.contains(".md#"), "{words}: {clause:?}");
        assert!(
            matches!(step["side"].as_str(), Some("runtime" | "init")),
            "{step}"
        );
        if step["undo"].is_string() {
            with_undo.push(words.to_owned());
        }
    }
    let mut stages: Vec<BTreeSet<&'static str>> = Vec::new();
    walk_all(
        &sandbox,
        &CREATE,
        Who::Runtime,
        &[Who::Runtime],
        &mut |sandbox| {
            let done = progress(sandbox);
            if !stages.contains(&done) {
                stages.push(done);
            }
        },
    );
    assert!(!with_undo.is_empty());
    for words in with_undo {
        let is_done =
            |stage: &BTreeSet<&'static str>| stage.iter().any(|done| words.starts_with(done));
        assert!(stages.iter().any(is_done), "never crashed after: {words}");
        assert!(!stages.iter().all(is_done), "never crashed before: {words}");
    }
}

#[test]
fn create_init_dies() {
    walk(&CREATE, Who::Init, &[Who::Init]);
}

#[test]
fn create_both_die() {
    walk(&CREATE, Who::Runtime, &[Who::Runtime, Who::Init]);
}

#[test]
fn create_both_die_counting_init() {
    walk(&CREATE, Who::Init, &[Who::Runtime, Who::Init]);
}

/// In the runtime's own cgroup, where containers without a cgroupsPath stand.
#[test]
fn create_without_a_cgroup_path() {
    let mut sandbox = sandbox("default");
    let linux = sandbox.config["linux"].as_object_mut().unwrap();
    linux.remove("cgroupsPath");
    sandbox.write_config();
    walk_all(
        &sandbox,
        &CREATE,
        Who::Runtime,
        &[Who::Runtime],
        &mut |_| {},
    );
}

/// The runtime writes the ids of the user namespace, and opens the rootfs for init.
fn mapped_sandbox(name: &str) -> Sandbox {
    let mut sandbox = sandbox(name);
    let ids = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    let linux = &mut sandbox.config["linux"];
    linux["uidMappings"] = ids.clone();
    linux["gidMappings"] = ids;
    let namespaces = linux["namespaces"].as_array_mut().unwrap();
    namespaces.extend([json!({ "type": "user" }), json!({ "type": "time" })]);
    linux["timeOffsets"] = json!({ "boottime": { "secs": 5 } });
    sandbox.write_config();
    let own = |path| std::os::unix::fs::chown(path, Some(100_000), Some(100_000)).unwrap();
    own(sandbox.rootfs());
    for entry in fs::read_dir(sandbox.rootfs()).unwrap() {
        own(entry.unwrap().path());
    }
    sandbox
}

#[test]
fn create_in_a_user_namespace() {
    let sandbox = mapped_sandbox("mapped-r");
    walk_all(
        &sandbox,
        &CREATE,
        Who::Runtime,
        &[Who::Runtime],
        &mut |_| {},
    );
}

#[test]
fn create_in_a_user_namespace_init_dies() {
    let sandbox = mapped_sandbox("mapped-i");
    walk_all(&sandbox, &CREATE, Who::Init, &[Who::Init], &mut |_| {});
}

#[test]
fn run_detached() {
    walk(&RUN, Who::Runtime, &[Who::Runtime]);
}

#[test]
fn run_detached_init_dies() {
    walk(&RUN, Who::Init, &[Who::Init]);
}

#[test]
fn start() {
    walk(&START, Who::Runtime, &[Who::Runtime]);
}

#[test]
fn exec_detached() {
    walk(&EXEC, Who::Runtime, &[Who::Runtime]);
}

#[test]
fn exec_detached_process_dies() {
    walk(&EXEC, Who::Init, &[Who::Init]);
}

/// What the container is told of its limits is theirs or the new ones, never half a file.
#[test]
fn update() {
    let sandbox = sandbox("update");
    walk_all(
        &sandbox,
        &UPDATE,
        Who::Runtime,
        &[Who::Runtime],
        &mut |sandbox| {
            sandbox.must(&["update", "--pids-limit", "31", "ID"]);
            assert_eq!(sandbox.status(), "running");
        },
    );
}

#[test]
fn pause() {
    walk(&PAUSE, Who::Runtime, &[Who::Runtime]);
}

#[test]
fn resume() {
    walk(&RESUME, Who::Runtime, &[Who::Runtime]);
}

#[test]
fn delete() {
    walk(&DELETE, Who::Runtime, &[Who::Runtime]);
}

#[test]
fn delete_force() {
    walk(&DELETE_FORCE, Who::Runtime, &[Who::Runtime]);
}
