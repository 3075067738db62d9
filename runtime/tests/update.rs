//! `update`, `pause`, `resume` and `events` through the command line, beyond what the conformance
//! suite's chapter `control` asks of any runtime.
//!
//! Needs root and busybox-static.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;
mod machine;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;

use harness::{Sandbox, cgroup_roots, finish};
use serde_json::{Value, json};

/// A running container with these limits.
fn running(name: &str, resources: Value) -> Sandbox {
    let mut sandbox = Sandbox::new(name);
    sandbox.script("exec sleep 1000");
    sandbox.config["linux"]["resources"] = resources;
    sandbox.write_config();
    sandbox.must(&["run", "-d", "ID"]);
    sandbox
}

/// The container's cgroup in the hierarchy of a controller.
fn cgroup(sandbox: &Sandbox, controller: &str) -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let membership = fs::read_to_string(format!("/proc/{}/cgroup", sandbox.pid())).unwrap();
    let path = |wanted: &dyn Fn(&str) -> bool| {
        membership.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let found = fields.next()?.split(',').any(wanted);
            found.then(|| fields.next().unwrap().to_owned())
        })
    };
    let path = path(&|name| name == controller)
        .or_else(|| path(&str::is_empty))
        .unwrap();
    cgroup_roots(&mounts)
        .into_iter()
        .map(|root| root.join(path.trim_start_matches('/')))
        .find(|directory| {
            let files = fs::read_dir(directory).into_iter().flatten().flatten();
            let prefix = format!("{controller}.");
            files
                .into_iter()
                .any(|file| file.file_name().to_string_lossy().starts_with(&prefix))
        })
        .unwrap()
}

/// A file of the container's cgroup, by its name on cgroup v1 or v2.
fn value(sandbox: &Sandbox, files: [&str; 2]) -> String {
    let controller = files[0].split('.').next().unwrap();
    let directory = cgroup(sandbox, controller);
    let read = |file: &str| fs::read_to_string(directory.join(file));
    let text = read(files[0]).or_else(|_| read(files[1])).unwrap();
    text.trim_end().to_owned()
}

const MEMORY: [&str; 2] = ["memory.limit_in_bytes", "memory.max"];
const PIDS: [&str; 2] = ["pids.max", "pids.max"];

#[test]
fn standard_input_is_read_and_devices_in_it_are_not_heeded() {
    let sandbox = running("update-stdin", json!({}));
    let mut command = sandbox.command(&["update", "-r", "-", "ID"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let resources = json!({ "pids": { "limit": 7 }, "memory": null,
        "devices": [{ "allow": true, "access": "rwm" }] });
    let mut input = child.stdin.take().unwrap();
    input.write_all(resources.to_string().as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(value(&sandbox, PIDS), "7");
    let allowed = sandbox.windlass(&["exec", "ID", "/bin/busybox", "head", "-c1", "/dev/kmsg"]);
    assert!(!allowed.status.success());
}

#[test]
fn what_was_updated_is_known_to_the_next_update() {
    let sandbox = running(
        "update-again",
        json!({ "cpu": { "quota": 500_000, "period": 1_000_000 } }),
    );
    sandbox.must(&["update", "--cpu-period", "900000", "ID"]);
    sandbox.must(&["update", "--memory", "64M", "ID"]);
    sandbox.must(&["update", "--cpu-quota", "600000", "ID"]);
    let kept = fs::read(sandbox.state_directory().join("resources.json")).unwrap();
    let kept: Value = serde_json::from_slice(&kept).unwrap();
    assert_eq!(kept["cpu"]["quota"], 600_000);
    assert_eq!(kept["cpu"]["period"], 900_000);
    assert_eq!(kept["memory"]["limit"], 64 << 20);
    let quota = value(&sandbox, ["cpu.cfs_quota_us", "cpu.max"]);
    assert!(quota == "600000" || quota == "600000 900000", "{quota}");
}

#[test]
fn what_a_killed_update_left_is_carried_through_by_the_next() {
    let sandbox = running("update-killed", json!({ "pids": { "limit": 20 } }));
    let directory = sandbox.state_directory();
    let left = |text: &str| fs::write(directory.join("resources.new"), text).unwrap();
    let kept = || -> Value {
        let text = fs::read(directory.join("resources.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    };
    // Killed before it wrote to the kernel, or after: it had written down all that it was to do.
    left(&json!({ "pids": { "limit": 21 }, "memory": { "limit": 64 << 20 } }).to_string());
    sandbox.must(&["update", "--cpu-period", "900000", "ID"]);
    assert_eq!(value(&sandbox, PIDS), "21");
    assert_eq!(value(&sandbox, MEMORY), (64 << 20).to_string());
    assert_eq!(kept()["memory"]["limit"], 64 << 20);
    assert_eq!(kept()["cpu"]["period"], 900_000);
    // Killed while the kernel was refusing it, and while it was writing it down.
    for text in [
        json!({ "pids": { "limit": 22 }, "cpu": { "period": 1 } })
            .to_string()
            .as_str(),
        r#"{"pids":{"li"#,
    ] {
        left(text);
        sandbox.must(&["update", "--memory", "65M", "ID"]);
        assert_eq!(value(&sandbox, PIDS), "21", "{text}");
        assert_eq!(kept()["pids"]["limit"], 21, "{text}");
        assert!(!directory.join("resources.new").exists(), "{text}");
    }
}

#[test]
fn a_refused_update_leaves_limits_and_record_as_they_were() {
    let sandbox = running("update-refused", json!({ "pids": { "limit": 20 } }));
    let before = value(&sandbox, MEMORY);
    let refused = [
        "update",
        "--memory",
        "64M",
        "--pids-limit",
        "21",
        "--cpu-period",
        "1",
        "ID",
    ];
    let refusal = sandbox.windlass(&refused);
    assert_eq!(refusal.code(), 1);
    assert!(
        refusal.error_line().contains("invalid argument"),
        "{}",
        refusal.stderr
    );
    assert_eq!(value(&sandbox, MEMORY), before);
    assert_eq!(value(&sandbox, PIDS), "20");
    let directory = sandbox.state_directory();
    for file in ["resources.json", "resources.new"] {
        assert!(!directory.join(file).exists(), "{file}");
    }
}

#[test]
fn values_that_make_no_sense_are_refused_with_their_option() {
    let sandbox = running("update-bad", json!({}));
    for (option, value) in [
        ("--memory", "50X"),
        ("--memory-swap", "-2"),
        ("--cpu-share", "-1"),
        ("--cpu-quota", "much"),
        ("--cpu-idle", "yes"),
        ("--blkio-weight", "70000"),
    ] {
        let refusal = sandbox.windlass(&["update", option, value, "ID"]);
        assert_eq!(refusal.code(), 1);
        let words = format!("invalid value for {}", &option[2..]);
        assert!(refusal.error_line().contains(&words), "{}", refusal.stderr);
    }
    let no_schema = sandbox.windlass(&["update", "--l3-cache-schema", "L3:0=f", "ID"]);
    let line = no_schema.error_line();
    let refused = line.contains("l3 cache schema is not enabled")
        || line.contains("updating a non-existent Intel RDT configuration is not supported");
    assert!(refused, "{line}");
}

#[test]
fn the_limit_of_kernel_memory_is_ignored_with_one_warning() {
    let sandbox = running("update-kernel", json!({}));
    let words = [
        "update",
        "--kernel-memory",
        "64M",
        "--kernel-memory-tcp",
        "64M",
        "ID",
    ];
    let done = sandbox.must(&words);
    let warning = "Kernel memory settings are ignored and will be removed";
    assert_eq!(done.stderr.matches(warning).count(), 1, "{}", done.stderr);
    let buffers = cgroup(&sandbox, "memory").join("memory.kmem.tcp.limit_in_bytes");
    if buffers.exists() {
        assert_eq!(fs::read_to_string(buffers).unwrap(), "67108864\n");
    }
}

#[test]
fn a_container_that_waits_to_be_started_can_be_paused_and_updated() {
    let mut sandbox = Sandbox::new("update-created");
    sandbox.script("exec sleep 1000");
    sandbox.must(&["create", "ID"]);
    sandbox.must(&["update", "--pids-limit", "9", "ID"]);
    assert_eq!(value(&sandbox, PIDS), "9");
    sandbox.must(&["pause", "ID"]);
    assert_eq!(sandbox.status(), "paused");
    let refusal = sandbox.windlass(&["start", "ID"]);
    assert!(
        refusal
            .error_line()
            .contains("cannot start a container in the paused state"),
        "{}",
        refusal.stderr
    );
    sandbox.must(&["resume", "ID"]);
    assert_eq!(sandbox.status(), "created");
    sandbox.must(&["start", "ID"]);
    assert_eq!(sandbox.status(), "running");
}

/// At the limit none is born there (`CLONE_INTO_CGROUP` on cgroup v2), but one may be put there.
#[test]
fn what_is_executed_is_in_the_cgroups_even_at_the_limit_of_processes() {
    let sandbox = running("update-exec", json!({}));
    let cgroups = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let of_init = cgroups(&sandbox.pid().to_string());
    for limit in ["20", "1"] {
        sandbox.must(&["update", "--pids-limit", limit, "ID"]);
        sandbox.must(&["exec", "-d", "--pid-file", "pid", "ID", "sleep", "1000"]);
        let pid = fs::read_to_string(sandbox.bundle().join("pid")).unwrap();
        assert_eq!(cgroups(&pid), of_init, "limit {limit}");
    }
}

/// Which devices may be used is left alone: the container's program would write to standard output
/// what it should not have read, or that it could not write to /dev/null.
#[test]
fn updates_do_not_flicker() {
    let mut sandbox = Sandbox::new("update-flicker");
    sandbox.script("while true; do head -c 100 /dev/kmsg 2>/dev/null; done");
    sandbox.config["linux"]["devices"] =
        json!([{ "path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11 }]);
    sandbox.config["linux"]["resources"] =
        json!({ "devices": [{ "allow": false, "access": "rwm" }] });
    sandbox.write_config();
    let output = sandbox.directory().join("output");
    let file = fs::File::create(&output).unwrap();
    let mut command = sandbox.command(&["run", "-d", "ID"]);
    command.stdout(file.try_clone().unwrap()).stderr(file);
    assert!(command.status().unwrap().success());
    for limit in 30..50 {
        sandbox.must(&["update", "--pids-limit", &limit.to_string(), "ID"]);
    }
    sandbox.must(&["delete", "--force", "ID"]);
    assert_eq!(fs::read_to_string(&output).unwrap(), "");
}

#[test]
fn a_frozen_cgroup_is_left_alone_by_creates_that_fail() {
    let mut sandbox = running("update-freezer", json!({}));
    let membership = fs::read_to_string(format!("/proc/{}/cgroup", sandbox.pid())).unwrap();
    let controller = if membership.contains(":freezer:") {
        "freezer"
    } else {
        "cgroup"
    };
    let freezer = cgroup(&sandbox, controller);
    let (file, frozen) = if freezer.join("freezer.state").exists() {
        ("freezer.state", "FROZEN")
    } else {
        ("cgroup.freeze", "1")
    };
    sandbox.must(&["delete", "--force", "ID"]);
    fs::create_dir_all(&freezer).unwrap();
    fs::write(freezer.join(file), frozen).unwrap();
    sandbox.script("true");
    for _ in 0..2 {
        let refusal = sandbox.windlass(&["create", "ID"]);
        let words = "container's cgroup unexpectedly frozen";
        assert!(refusal.error_line().contains(words), "{}", refusal.stderr);
        assert!(freezer.exists());
    }
    fs::remove_dir(&freezer).unwrap();
}

#[test]
fn events_wants_a_running_container_and_an_interval() {
    let sandbox = running("events-refuses", json!({}));
    for (interval, words) in [
        ("0", "duration interval must be greater than 0"),
        ("-1s", "duration interval must be greater than 0"),
        ("soon", "invalid value \\\"soon\\\" for --interval"),
    ] {
        let refusal = sandbox.windlass(&["events", "--interval", interval, "ID"]);
        assert!(refusal.error_line().contains(words), "{}", refusal.stderr);
    }
    sandbox.must(&["kill", "ID", "KILL"]);
    sandbox.wait_for_status("stopped");
    for words in [&["events", "ID"][..], &["events", "--stats", "ID"]] {
        let refusal = finish(&mut sandbox.command(words));
        assert!(
            refusal.error_line().contains("is not running"),
            "{}",
            refusal.stderr
        );
    }
}

#[test]
fn all_of_this_holds_on_cgroup_v2() {
    if machine::run_in_machine_as("root") {
        assert!(PathBuf::from("/sys/fs/cgroup/cgroup.controllers").exists());
    }
}
