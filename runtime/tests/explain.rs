//! `explain`: the steps, and whether this host can do them.
//!
//! Needs root and busybox-static.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::path::Path;

use harness::Sandbox;
use serde_json::{Value, json};

fn steps(sandbox: &Sandbox, global: &[&str]) -> Vec<Value> {
    let explained = sandbox.must(&[global, &["explain", "--json"]].concat());
    let plan: Value = serde_json::from_str(&explained.stdout).unwrap();
    let steps = plan["steps"].as_array().unwrap().clone();
    for step in &steps {
        let possible = step["possible"].as_bool().unwrap();
        assert_eq!(possible, step["obstacle"].is_null(), "{step}");
        assert!(step["clause"].as_str().unwrap().contains(".md#"), "{step}");
    }
    steps
}

/// Puts `value` where the pointer says; `-` as the last word adds to an array.
fn set(config: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let mut at = config;
    for name in parent.split('/').skip(1) {
        at = &mut at[name];
    }
    match key {
        "-" => match at {
            Value::Array(list) => list.push(value),
            other => *other = json!([value]),
        },
        key => at[key] = value,
    }
}

#[test]
fn a_usual_container_is_possible() {
    let sandbox = Sandbox::new("explain-usual");
    let mut steps = steps(&sandbox, &[]);
    // Root without CAP_SYS_RESOURCE is told so.
    steps.retain(|step| !step["step"].as_str().unwrap().starts_with("set RLIMIT"));
    for step in steps {
        assert_eq!(step["possible"], true, "{step}");
    }
    sandbox.must(&["create", "ID"]);
    sandbox.must(&["delete", "--force", "ID"]);
}

/// What is said not to be possible isn't: `create` fails for it; and it hides nothing else.
#[test]
fn what_this_host_lacks_is_shown_at_its_step() {
    let mut sandbox = Sandbox::new("explain-lacks");
    let original = sandbox.config.clone();
    let plain = steps(&sandbox, &[]).len();
    let absent = "/no/such/thing";
    let mut lacks = vec![
        (
            "/process/apparmorProfile",
            json!("no-such-profile"),
            "AppArmor",
        ),
        (
            "/mounts/-",
            json!({"destination": "/a", "type": "nosuchfs", "source": "a"}),
            "no file system nosuchfs",
        ),
        (
            "/mounts/-",
            json!({"destination": "/a", "type": "bind", "source": absent, "options": ["bind"]}),
            absent,
        ),
        ("/root/path", json!(absent), absent),
        (
            "/hooks",
            json!({"createRuntime": [{"path": absent}]}),
            absent,
        ),
        ("/linux/netDevices", json!({"nosuch0": {}}), "nosuch0"),
        (
            "/linux/resources/unified",
            json!({"nosuch.max": "1"}),
            "unified",
        ),
        (
            "/linux/sysctl",
            json!({"fs.mqueue.nosuch": "1"}),
            "mqueue/nosuch",
        ),
        (
            "/linux/namespaces/-",
            json!({"type": "cgroup", "path": absent}),
            absent,
        ),
    ];
    if Path::new("/sys/fs/resctrl").exists() {
        eprintln!("skipped in part: this host has resctrl");
    } else {
        lacks.push(("/linux/intelRdt", json!({"closID": "a"}), "Intel RDT"));
    }
    for (pointer, value, why) in lacks {
        println!("{pointer} {value}");
        sandbox.config = original.clone();
        if value["type"] == "cgroup" {
            let namespaces = sandbox.config["linux"]["namespaces"].as_array_mut();
            namespaces.unwrap().retain(|one| one["type"] != "cgroup");
        }
        set(&mut sandbox.config, pointer, value);
        sandbox.write_config();
        let steps = steps(&sandbox, &[]);
        assert!(steps.len() >= plain, "{} of {plain} steps", steps.len());
        let told = steps.iter().filter(|step| {
            let obstacle = step["obstacle"].as_str();
            obstacle.is_some_and(|obstacle| obstacle.to_lowercase().contains(&why.to_lowercase()))
        });
        let pointer = pointer.trim_end_matches("/-");
        let mut told = told.map(|step| step["pointer"].as_str().unwrap());
        assert!(
            told.any(|of_step| of_step.starts_with(pointer) || pointer.starts_with(of_step)),
            "{why}: {steps:#?}"
        );
        let shown = sandbox.must(&["explain"]).stdout;
        assert!(shown.contains("not possible here: "), "{shown}");
        let failed = sandbox.windlass(&["create", "ID"]);
        assert_eq!(failed.code(), 1, "{}", failed.stderr);
        sandbox.assert_clean(why);
    }
}

#[test]
fn newer_steps_say_what_asks_for_them_and_what_undoes_them() {
    let mut sandbox = Sandbox::new("explain-newer");
    sandbox.map_ids();
    let (source, config) = (sandbox.rootfs(), &mut sandbox.config);
    let map = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    for (pointer, value) in [
        (
            "/mounts/-",
            json!({"destination": "/a", "type": "bind", "source": source, "options": ["bind"],
                   "uidMappings": map, "gidMappings": map}),
        ),
        ("/linux/netDevices", json!({"lo": {"name": "lo7"}})),
        ("/linux/cgroupsPath", json!("system.slice:windlass:explain")),
        ("/process/scheduler", json!({"policy": "SCHED_BATCH"})),
        (
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent",
                   "syscalls": [{"names": ["getcwd"], "action": "SCMP_ACT_NOTIFY"}]}),
        ),
    ] {
        set(config, pointer, value);
    }
    sandbox.write_config();
    let steps = steps(&sandbox, &["--systemd-cgroup"]);
    for (words, pointer, undone) in [
        ("have systemd start", "/linux/cgroupsPath", true),
        (
            "start init, in new namespaces: user",
            "/linux/namespaces",
            true,
        ),
        ("map the user namespace's ids", "/linux/uidMappings", false),
        (
            "become root of the user namespace",
            "/linux/uidMappings",
            false,
        ),
        ("owners mapped", "/mounts/", false),
        ("move the network device lo", "/linux/netDevices/lo", true),
        (
            "set the scheduling policy SCHED_BATCH",
            "/process/scheduler",
            false,
        ),
        (
            "hand the filter's listener to",
            "/linux/seccomp/listenerPath",
            false,
        ),
    ] {
        let named = |step: &&Value| step["step"].as_str().unwrap().contains(words);
        let step = steps
            .iter()
            .find(named)
            .unwrap_or_else(|| panic!("{words}: {steps:#?}"));
        assert!(
            step["pointer"].as_str().unwrap().starts_with(pointer),
            "{step}"
        );
        assert_eq!(step["undo"].is_string(), undone, "{step}");
        if words.contains("systemd") {
            assert_eq!(step["possible"], Path::new("/run/systemd/system").exists());
        }
    }
}
