//! systemd as the maker of cgroups, on a host that runs it: here, or in a throw-away machine. And
//! what needs cgroup v2 beside it.
//!
//! Needs root and busybox-static.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;
mod machine;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use harness::{Finished, Sandbox, wait_until};
use serde_json::json;

/// Whether these tests can run on this host; says so if not.
fn has_systemd() -> bool {
    let found = Path::new("/run/systemd/system").is_dir()
        && Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    if !found {
        eprintln!("SKIPPED: no systemd with cgroup v2 on this host");
    }
    found
}

/// A container `PREFIX-ID.scope` in a slice of its own.
struct Scope {
    sandbox: Sandbox,
    unit: String,
    cgroup: PathBuf,
}

impl Scope {
    fn new(test: &str) -> Scope {
        let mut sandbox = Sandbox::new(test);
        let unit = format!("windlass_test-{}.scope", sandbox.id);
        let path = format!("windlass_test-pod.slice:windlass_test:{}", sandbox.id);
        sandbox.config["linux"]["cgroupsPath"] = json!(path);
        sandbox.write_config();
        let cgroup = Path::new("/sys/fs/cgroup/windlass_test.slice/windlass_test-pod.slice");
        Scope {
            cgroup: cgroup.join(&unit),
            sandbox,
            unit,
        }
    }

    fn run(&self) -> Finished {
        self.sandbox
            .windlass(&["--systemd-cgroup", "run", "-d", "ID"])
    }

    fn must_run(&self) {
        let ran = self.run();
        assert!(ran.status.success(), "{}", ran.stderr);
    }

    fn property(&self, name: &str) -> String {
        let shown = Command::new("systemctl")
            .args(["show", "--value", "--property", name, &self.unit])
            .output()
            .unwrap();
        String::from_utf8(shown.stdout).unwrap().trim().to_owned()
    }

    fn file(&self, name: &str) -> String {
        let text = fs::read_to_string(self.cgroup.join(name)).unwrap();
        text.trim().to_owned()
    }

    #[track_caller]
    fn assert_gone(&self) {
        wait_until("the unit to be gone", || {
            self.property("LoadState") == "not-found"
        });
        assert!(!self.cgroup.exists());
        self.sandbox.assert_clean("the end");
    }
}

#[test]
fn a_container_is_a_scope_with_its_limits() {
    if !has_systemd() {
        return;
    }
    let mut scope = Scope::new("scope");
    scope.sandbox.config["linux"]["resources"] = json!({
        "devices": [{ "allow": false, "access": "rwm" }],
        "pids": { "limit": 0 },
        "memory": { "limit": 33_554_432, "reservation": 1_048_576 },
        "cpu": { "shares": 512, "quota": 3333, "period": 10000 },
        "unified": { "memory.high": "20971520" },
    });
    scope.sandbox.config["annotations"] = json!({
        "org.systemd.property.TimeoutStopSec": "7",
        "org.systemd.property.CollectMode": "'inactive-or-failed'",
        "org.systemd.property.After": "['basic.target']",
    });
    scope.sandbox.write_config();
    scope.must_run();
    for (name, value) in [
        ("Slice", "windlass_test-pod.slice"),
        ("Delegate", "yes"),
        ("TasksMax", "1"),
        ("MemoryMax", "33554432"),
        ("MemoryLow", "1048576"),
        ("MemoryHigh", "20971520"),
        ("CPUQuotaPerSecUSec", "340ms"),
        ("TimeoutStopUSec", "7s"),
        ("CollectMode", "inactive-or-failed"),
        ("DevicePolicy", "strict"),
    ] {
        assert_eq!(scope.property(name), value, "{name}");
    }
    assert!(scope.property("DeviceAllow").contains("/dev/char/1:3 rwm"));
    assert!(scope.property("After").contains("basic.target"));
    for (name, value) in [
        ("pids.max", "1"),
        ("memory.max", "33554432"),
        ("memory.high", "20971520"),
        ("cpu.max", "3400 10000"),
    ] {
        assert_eq!(scope.file(name), value, "{name}");
    }
    assert_eq!(scope.file("cgroup.procs"), scope.sandbox.pid().to_string());

    scope
        .sandbox
        .must(&["update", "--pids-limit", "9", "--memory", "41943040", "ID"]);
    assert_eq!(scope.property("TasksMax"), "9");
    assert_eq!(scope.property("MemoryMax"), "41943040");
    assert_eq!(scope.file("memory.max"), "41943040");

    // systemd writes all that it knows again.
    let reloaded = Command::new("systemctl")
        .arg("daemon-reload")
        .status()
        .unwrap();
    assert!(reloaded.success());
    let script = "cat /proc/self/cgroup </dev/null";
    let seen = scope
        .sandbox
        .must(&["exec", "ID", "sh", "-c", script])
        .stdout;
    assert!(seen.trim_end().ends_with(&scope.unit), "{seen}");
    assert_eq!(scope.file("cpu.max"), "3400 10000");

    scope.sandbox.must(&["delete", "--force", "ID"]);
    scope.assert_gone();
}

#[test]
fn a_unit_that_ended_or_failed_is_gone_after_delete() {
    if !has_systemd() {
        return;
    }
    let mut scope = Scope::new("failed");
    // systemd ends it, and calls that a failure.
    scope.sandbox.config["annotations"] = json!({
        "org.systemd.property.RuntimeMaxSec": "1",
        "org.systemd.property.TimeoutStopSec": "1",
    });
    scope.sandbox.write_config();
    scope.must_run();
    scope.sandbox.wait_for_status("stopped");
    wait_until("the failure", || scope.property("ActiveState") == "failed");
    scope.sandbox.must(&["delete", "ID"]);
    scope.assert_gone();
}

#[test]
fn an_annotation_starts_nothing() {
    if !has_systemd() {
        return;
    }
    for (name, value) in [
        ("SuccessAction", "'reboot-force'"),
        ("OnFailure", "['x.service']"),
        ("Wants", "['x.service']"),
        ("Slice", "'-.slice'"),
    ] {
        let mut scope = Scope::new("unsafe");
        let key = format!("org.systemd.property.{name}");
        scope.sandbox.config["annotations"] = json!({ &key: value });
        scope.sandbox.write_config();
        let refused = scope.run();
        assert!(
            refused
                .error_line()
                .contains(&format!("/annotations/{key}"))
        );
        scope.assert_gone();
    }
}

#[test]
fn a_unit_of_another_container_is_left_alone() {
    if !has_systemd() {
        return;
    }
    let first = Scope::new("first");
    first.must_run();
    let mut second = Scope::new("second");
    second.sandbox.config["linux"]["cgroupsPath"] =
        first.sandbox.config["linux"]["cgroupsPath"].clone();
    second.sandbox.write_config();
    let refused = second.run();
    assert!(
        refused
            .error_line()
            .contains("container's cgroup is not empty"),
        "{}",
        refused.stderr
    );
    assert_eq!(first.sandbox.status(), "running");
    assert_eq!(first.property("ActiveState"), "active");
    first.sandbox.must(&["delete", "--force", "ID"]);
    first.assert_gone();
    second.assert_gone();
}

#[test]
fn a_killed_runtime_leaves_no_unit_after_delete() {
    if !has_systemd() {
        return;
    }
    let scope = Scope::new("killed");
    for milliseconds in (0..40).map(|step| step * 3) {
        let mut child = scope
            .sandbox
            .command(&["--systemd-cgroup", "create", "ID"])
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        scope.sandbox.must(&["delete", "--force", "ID"]);
        scope.assert_gone();
    }
}

#[test]
fn without_cgroups_the_container_stays_in_ours() {
    if !has_systemd() {
        return;
    }
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let mut sandbox = Sandbox::new("disabled");
    let run = ["--cgroup-manager", "disabled", "run", "-d", "ID"];
    let refused = sandbox.windlass(&run);
    assert!(
        refused.error_line().contains("/linux/resources/"),
        "{}",
        refused.stderr
    );
    sandbox.config["linux"]["resources"] = json!({
        "devices": [{ "allow": false, "access": "rwm" }]
    });
    sandbox.write_config();
    let warned = sandbox.must(&run).stderr;
    assert!(warned.contains("/linux/resources/devices"), "{warned}");
    let of_init = fs::read_to_string(format!("/proc/{}/cgroup", sandbox.pid())).unwrap();
    assert_eq!(of_init, own);
    assert_eq!(
        sandbox
            .must(&["exec", "ID", "cat", "/proc/self/cgroup"])
            .stdout,
        own
    );
    sandbox.must(&["delete", "--force", "ID"]);
    sandbox.assert_clean("delete");
}

#[test]
fn half_a_megabyte_of_memory_is_enough() {
    if !has_systemd() {
        return;
    }
    for driver in ["cgroupfs", "systemd"] {
        let mut scope = Scope::new("small");
        if driver == "cgroupfs" {
            scope.sandbox.config["linux"]["cgroupsPath"] = json!(format!("/{}", scope.sandbox.id));
        }
        scope.sandbox.config["linux"]["resources"]["memory"] = json!({ "limit": 512 << 10 });
        scope.sandbox.config["process"]["args"] = json!(["/bin/true"]);
        scope.sandbox.write_config();
        let ran = scope
            .sandbox
            .windlass(&["--cgroup-manager", driver, "run", "ID"]);
        assert_eq!(
            (ran.status.code(), ran.stderr.as_str()),
            (Some(0), ""),
            "{driver}"
        );
        scope.assert_gone();
    }
}

/// Runs this very program in a machine, where this host has no systemd.
#[test]
fn all_of_this_holds_under_systemd() {
    assert!(has_systemd() || !machine::run_in_machine_as("root"));
}
