//! `windlass check`: all that is wrong with a config.json, each with its place.
//!
//! Needs root and busybox-static.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::fs;
use std::path::Path;

use harness::Sandbox;
use serde_json::{Value, json};

/// What `check --json` says, and the exit status.
fn problems(sandbox: &Sandbox) -> (Vec<Value>, i32) {
    let done = sandbox.windlass(&["check", "--json"]);
    assert_eq!(done.stderr, "");
    let problems: Value = serde_json::from_str(&done.stdout).unwrap();
    (problems.as_array().unwrap().clone(), done.code())
}

/// The pointers of the problems of one severity, and what is said there.
fn of<'p>(problems: &'p [Value], severity: &str) -> Vec<(&'p str, &'p str)> {
    problems
        .iter()
        .filter(|problem| problem["severity"] == severity)
        .map(|problem| {
            let text = |key: &str| problem[key].as_str().unwrap();
            (text("pointer"), text("message"))
        })
        .collect()
}

/// Exactly these pointers have errors, and every one once.
#[track_caller]
fn errors_at(sandbox: &Sandbox, pointers: &[&str]) {
    sandbox.write_config();
    let (problems, status) = problems(sandbox);
    let mut found: Vec<&str> = of(&problems, "error").iter().map(|(at, _)| *at).collect();
    let mut wanted = pointers.to_vec();
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted, "{problems:#?}");
    assert_eq!(status, i32::from(!wanted.is_empty()));
}

#[test]
fn a_good_config_has_no_problems() {
    let sandbox = Sandbox::new("check-good");
    errors_at(&sandbox, &[]);
    let done = sandbox.must(&["check"]);
    assert!(!done.stdout.contains("error: "), "{}", done.stdout);
}

#[test]
fn everything_is_found_at_once() {
    let mut sandbox = Sandbox::new("check-all");
    let config = &mut sandbox.config;
    // What can't be read, ...
    config["process"]["terminal"] = json!("no");
    config["process"]["user"]["uid"] = json!(-1);
    let mounts = config["mounts"].as_array_mut().unwrap();
    let first = mounts.len();
    mounts.push(json!({ "source": "x" }));
    mounts.push(json!({ "destination": 7 }));
    mounts.push(json!({ "destination": "" }));
    // ... what the types allow, and `create` refuses, ...
    config["process"]["cwd"] = json!("tmp");
    config["process"]["rlimits"] = json!([
        { "type": "RLIMIT_NOFILE", "soft": 1, "hard": 2 },
        { "type": "RLIMIT_NOFILE", "soft": 1, "hard": 2 },
    ]);
    config["hooks"] = json!({ "poststop": [{ "path": "bin/x", "timeout": 0 }] });
    config["linux"]["timeOffsets"] = json!({ "boottime": { "secs": 1 } });
    config["linux"]["uidMappings"] = json!([{ "containerID": 0, "hostID": 1, "size": 1 }]);
    config["linux"]["sysctl"] = json!({ "kernel.hostname": "a", "vm.swappiness": "1" });
    // ... what the plan refuses, ...
    config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            { "names": ["read"], "action": "SCMP_ACT_NONE" },
            { "names": [], "action": "SCMP_ACT_ERRNO" },
            { "names": ["write"], "action": "SCMP_ACT_ERRNO",
              "args": [{ "index": 9, "value": 1, "op": "SCMP_CMP_EQ" }] },
        ],
    });
    // ... and what the specification alone does.
    config["linux"]["maskedPaths"] = json!(["/proc/kcore", "proc/keys"]);
    config["linux"]["resources"]["hugepageLimits"] = json!([{ "pageSize": "02MB", "limit": 1 }]);
    let mount = |index: usize, rest: &str| format!("/mounts/{}{rest}", first + index);
    sandbox.write_config();
    let (problems, status) = problems(&sandbox);
    assert_eq!(status, 1);
    let found: Vec<&str> = of(&problems, "error").iter().map(|(at, _)| *at).collect();
    for pointer in [
        "/process/terminal",
        "/process/user/uid",
        &mount(0, ""),
        &mount(1, "/destination"),
        &mount(2, "/destination"),
        "/process/cwd",
        "/process/rlimits/1",
        "/hooks/poststop/0/path",
        "/hooks/poststop/0/timeout",
        "/linux/timeOffsets",
        "/linux/uidMappings",
        "/linux/sysctl/kernel.hostname",
        "/linux/sysctl/vm.swappiness",
        "/linux/seccomp/syscalls/0/action",
        "/linux/seccomp/syscalls/1/names",
        "/linux/maskedPaths/1",
        "/linux/resources/hugepageLimits/0/pageSize",
    ] {
        let count = found.iter().filter(|at| **at == pointer).count();
        assert_eq!(count, 1, "{pointer} in {problems:#?}");
    }
    let in_argument = |at: &&str| at.starts_with("/linux/seccomp/syscalls/2/args/0");
    assert_eq!(found.iter().filter(|at| in_argument(at)).count(), 1);
}

#[test]
fn what_create_refuses_is_said_in_its_words() {
    let original = Sandbox::new("check-words");
    for (parent, key, value) in [
        ("/process", "cwd", json!("tmp")),
        ("/process", "args", json!([])),
        ("/process/user", "uid", json!("0")),
        ("", "hostname", json!(7)),
        ("/linux", "rootfsPropagation", json!("upwards")),
        ("/linux", "namespaces", json!([{ "type": "pidd" }])),
        ("/process", "scheduler", json!({ "policy": "SCHED_NONE" })),
        (
            "/process",
            "rlimits",
            json!([{ "type": "RLIMIT_X", "soft": 1, "hard": 1 }]),
        ),
        (
            "/linux",
            "seccomp",
            json!({ "defaultAction": "SCMP_ACT_ALLOW", "listenerMetadata": "x" }),
        ),
        (
            "/linux/resources",
            "blockIO",
            json!({ "weightDevice": [{ "major": 8, "minor": 0 }] }),
        ),
        ("", "ociVersion", json!("2.0.0")),
        ("", "ociVersion", json!(1)),
    ] {
        let mut config = original.config.clone();
        let place = config.pointer_mut(parent).unwrap();
        place[key] = value;
        original.write_config_text(config.to_string());
        let refused = original.windlass(&["create", "ID"]);
        // A log line has its quotation marks escaped.
        let line = refused.error_line().replace("\\\"", "\"");
        let (problems, status) = problems(&original);
        assert_eq!(status, 1, "{key}");
        let errors = of(&problems, "error");
        let is_same = |(at, message): &(&str, &str)| {
            line.contains(message) && line.contains(&format!("config.json {at}"))
        };
        assert!(errors.iter().any(is_same), "{line}\n{problems:#?}");
    }
}

#[test]
fn the_rules_between_two_parts() {
    let mut sandbox = Sandbox::new("check-rules");
    let namespaces = sandbox.config["linux"]["namespaces"]
        .as_array_mut()
        .unwrap();
    let count = namespaces.len();
    namespaces.push(json!({ "type": "pid" }));
    errors_at(&sandbox, &[&format!("/linux/namespaces/{count}/type")]);

    let mut sandbox = Sandbox::new("check-root");
    sandbox.config["root"]["path"] = json!("nowhere");
    errors_at(&sandbox, &["/root/path"]);

    let mut sandbox = Sandbox::new("check-hook");
    let plain = sandbox.directory().join("plain");
    fs::write(&plain, "").unwrap();
    sandbox.config["hooks"] = json!({ "prestart": [
        { "path": plain },
        { "path": "/bin/true" },
    ] });
    errors_at(&sandbox, &["/hooks/prestart/0/path"]);
}

#[test]
fn what_has_no_effect_is_a_warning() {
    let mut sandbox = Sandbox::new("check-warn");
    sandbox.config["process"]["capabilities"]["ambient"] = json!(["CAP_MADE_UP"]);
    sandbox.config["process"]["noNewPrivilege"] = json!(true);
    sandbox.config["mounts"][0]["destination"] = json!("proc");
    sandbox.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["read", "raed"], "action": "SCMP_ACT_ALLOW" }],
    });
    errors_at(&sandbox, &[]);
    let (problems, _) = problems(&sandbox);
    let found: Vec<&str> = of(&problems, "warning").iter().map(|(at, _)| *at).collect();
    for pointer in [
        "/process/capabilities/ambient/0",
        "/process/noNewPrivilege",
        "/mounts/0/destination",
        "/linux/seccomp/syscalls/0/names/1",
    ] {
        assert!(found.contains(&pointer), "{pointer} in {problems:#?}");
    }
}

#[test]
fn a_line_says_where_and_by_which_clause() {
    let sandbox = Sandbox::new("check-line");
    sandbox.write_config_text(
        "{\n \"ociVersion\": \"1.3.0\",\n \"root\": {\"path\": \"rootfs\", \"\u{e4}\": 1, \
         \"readonly\": 5},\n \"linux\": {\"sysctl\": {\"a\\nb\":\n  7}},\n \"process\": {\"cwd\": \
         \"/\", \"args\": [\"sh\"]}}",
    );
    let done = sandbox.windlass(&["check"]);
    assert_eq!(done.code(), 1);
    let lines: Vec<&str> = done.stdout.lines().collect();
    let starts = |start: &str| lines.iter().any(|line| line.starts_with(start));
    assert!(
        starts("config.json:3:34: warning: /root/\u{e4}: "),
        "{lines:#?}"
    );
    assert!(
        starts("config.json:3:49: error: /root/readonly: "),
        "{lines:#?}"
    );
    assert!(
        starts(r"config.json:5:3: error: /linux/sysctl/a\nb: "),
        "{lines:#?}"
    );
    let readonly = lines.iter().find(|line| line.contains("/root/readonly"));
    assert!(readonly.unwrap().ends_with(" [config.md#root]"));
}

#[test]
fn what_is_no_json_has_one_line() {
    let sandbox = Sandbox::new("check-json");
    sandbox.write_config_text("{\n \"ociVersion\": \"1.0.0\",\n \"root\": ]\n}");
    let done = sandbox.windlass(&["check"]);
    assert_eq!(done.code(), 1);
    assert_eq!(done.stdout.lines().count(), 1, "{}", done.stdout);
    assert!(
        done.stdout
            .starts_with("config.json:3:10: error: no JSON: ")
    );
    for text in ["", "[", "[]", "7", "{}"] {
        sandbox.write_config_text(text);
        let (problems, status) = problems(&sandbox);
        assert_eq!(status, 1, "{text}");
        assert!(!of(&problems, "error").is_empty(), "{text}");
    }
    fs::remove_file(sandbox.bundle().join("config.json")).unwrap();
    let done = sandbox.windlass(&["check"]);
    assert_eq!((done.code(), &*done.stdout), (1, ""));
    assert!(done.error_line().contains("config.json not found"));
}

/// What engines write has no errors. Only the root file system is moved here; what else isn't on
/// this host is a warning, and what this host can't do is left out.
#[test]
fn engines_configs_have_no_errors() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/configs");
    if !configs.is_dir() {
        println!(
            "skipped: there are no engines' configs at {}",
            configs.display()
        );
        return;
    }
    let mut sandbox = Sandbox::new("check-engines");
    for name in ["docker", "docker-hardened", "podman", "containerd-ctr"] {
        let text = fs::read_to_string(configs.join(format!("{name}.json"))).unwrap();
        sandbox.config = serde_json::from_str(&text).unwrap();
        sandbox.config["root"]["path"] = json!("rootfs");
        let process = sandbox.config["process"].as_object_mut().unwrap();
        process.remove("apparmorProfile");
        println!("{name}");
        errors_at(&sandbox, &[]);
    }
}
