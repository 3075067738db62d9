//! A user without root's rights, with a systemd of his own that makes his cgroups: in a throw-away
//! machine.
//!
//! Needs busybox-static.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;
mod machine;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Sandbox, wait_until};
use serde_json::json;

/// Whether whoever runs this is such a user; says so if not.
fn has_own_systemd() -> bool {
    let found = !rustix::process::geteuid().is_root()
        && std::env::var_os("XDG_RUNTIME_DIR")
            .is_some_and(|directory| Path::new(&directory).join("systemd/private").exists());
    if !found {
        eprintln!("SKIPPED: not run by a user who has a systemd of his own");
    }
    found
}

/// A container whose root is this user, with what he can limit.
fn own_container(test: &str) -> Sandbox {
    let mut sandbox = Sandbox::new(test);
    let linux = &mut sandbox.config["linux"];
    let namespaces = linux["namespaces"].as_array_mut().unwrap();
    namespaces.push(json!({ "type": "user" }));
    let user = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    linux["uidMappings"] = json!([{ "containerID": 0, "hostID": user, "size": 1 }]);
    linux["gidMappings"] = json!([{ "containerID": 0, "hostID": group, "size": 1 }]);
    linux["resources"] = json!({ "pids": { "limit": 20 }, "memory": { "limit": 33_554_432 } });
    linux["cgroupsPath"] = json!(format!("user.slice:windlass_test:{}", sandbox.id));
    // His namespace has one group only.
    sandbox.config["mounts"][2]["options"] = json!([
        "nosuid",
        "noexec",
        "newinstance",
        "ptmxmode=0666",
        "mode=0620"
    ]);
    sandbox.write_config();
    sandbox
}

/// Where the cgroup of this process is.
fn cgroup_of(pid: i32) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let path = text.trim().strip_prefix("0::/").unwrap();
    Path::new("/sys/fs/cgroup").join(path)
}

fn unit_property(unit: &str, name: &str) -> String {
    let shown = Command::new("systemctl")
        .args(["--user", "show", "--value", "--property", name, unit])
        .output()
        .unwrap();
    String::from_utf8(shown.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_whole_life_in_a_scope_of_the_users() {
    if !has_own_systemd() {
        return;
    }
    let sandbox = own_container("user-scope");
    let unit = format!("windlass_test-{}.scope", sandbox.id);
    sandbox.must(&["--systemd-cgroup", "create", "ID"]);
    assert_eq!(sandbox.status(), "created");
    sandbox.must(&["exec", "ID", "true"]);
    assert_eq!(sandbox.status(), "created");
    sandbox.must(&["start", "ID"]);
    assert_eq!(sandbox.status(), "running");

    let cgroup = cgroup_of(sandbox.pid());
    assert!(cgroup.ends_with(&unit), "{}", cgroup.display());
    assert_eq!(unit_property(&unit, "TasksMax"), "20");
    let limit = |file: &str| fs::read_to_string(cgroup.join(file)).unwrap();
    assert_eq!(limit("pids.max"), "20\n");
    assert_eq!(limit("memory.max"), "33554432\n");
    sandbox.must(&["update", "--pids-limit", "9", "ID"]);
    assert_eq!(limit("pids.max"), "9\n");

    let said = sandbox.must(&["exec", "ID", "sh", "-c", "id -u; cat /proc/self/cgroup"]);
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!(lines[0], "0");
    assert!(lines[1].ends_with(&unit), "{}", said.stdout);
    let forks = "for n in 1 2 3 4 5 6 7 8 9 10; do sleep 1000 & done";
    let refused = sandbox.windlass(&["exec", "ID", "sh", "-c", forks]);
    assert!(!refused.status.success(), "{}", refused.stderr);

    let listed = sandbox.must(&["list", "--quiet"]).stdout;
    assert_eq!(listed.trim(), sandbox.id);
    sandbox.must(&["pause", "ID"]);
    assert_eq!(sandbox.status(), "paused");
    sandbox.must(&["resume", "ID"]);
    sandbox.must(&["kill", "ID", "KILL"]);
    sandbox.wait_for_status("stopped");
    sandbox.must(&["delete", "ID"]);
    wait_until("the unit to be gone", || {
        unit_property(&unit, "LoadState") == "not-found"
    });
    assert!(!cgroup.exists());
    sandbox.assert_clean("delete");
}

#[test]
fn run_gives_the_status_of_its_program() {
    if !has_own_systemd() {
        return;
    }
    let mut sandbox = own_container("user-run");
    sandbox.script("id -u; exit 7");
    let ran = sandbox.windlass(&["--systemd-cgroup", "run", "ID"]);
    assert_eq!(
        (ran.code(), ran.stdout.as_str()),
        (7, "0\n"),
        "{}",
        ran.stderr
    );
    sandbox.assert_clean("run");
}

#[test]
fn a_created_container_of_another_user_and_with_a_filter_can_be_entered() {
    if !has_own_systemd() {
        return;
    }
    let mut sandbox = own_container("user-filter");
    for (kind, file) in [("uidMappings", "subuid"), ("gidMappings", "subgid")] {
        let ranges = fs::read_to_string(Path::new("/etc").join(file)).unwrap();
        let range = ranges.lines().find_map(|line| line.strip_prefix("tester:"));
        let (first, _) = range.unwrap().split_once(':').unwrap();
        let first: u32 = first.parse().unwrap();
        let maps = sandbox.config["linux"][kind].as_array_mut().unwrap();
        maps.push(json!({ "containerID": 1, "hostID": first, "size": 100 }));
    }
    let process = &mut sandbox.config["process"];
    process["user"] = json!({ "uid": 7, "gid": 7 });
    process["noNewPrivileges"] = json!(false);
    sandbox.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_ERRNO" }]
    });
    sandbox.write_config();
    sandbox.must(&["--systemd-cgroup", "create", "ID"]);
    assert_eq!(sandbox.must(&["exec", "ID", "id", "-u"]).stdout, "7\n");
    sandbox.must(&["delete", "--force", "ID"]);
    sandbox.assert_clean("delete");
}

/// Runs this very program as the machine's user.
#[test]
fn all_of_this_holds_for_a_user() {
    assert!(has_own_systemd() || !machine::run_in_machine_as("tester"));
}
