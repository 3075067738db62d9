//! The floor has to make the container that a runtime makes, or it is no floor.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use windlass_bench::bundle;
use windlass_bench::contestant::{CommandLine, Contestant, Workplace};
use windlass_bench::hierarchies::Parents;
use windlass_bench::measure::{ErrorLog, run_all};
use windlass_bench::scenario::{Network, Operation};

/// The mount points of a process, each with whether it is read-only.
fn mounts(pid: &str) -> BTreeSet<(String, bool)> {
    let text = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let fields = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields
        .map(|field| (field[4].to_owned(), field[5].split(',').any(|o| o == "ro")))
        .collect()
}

/// The cgroup of a process in each hierarchy, without the container's id.
fn cgroups(pid: &str, id: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    text.lines().map(|line| line.replace(id, "ID")).collect()
}

/// The namespaces that a process doesn't share with us.
fn namespaces(pid: &str) -> BTreeSet<&'static str> {
    let link = |pid: &str, kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
    ["cgroup", "ipc", "mnt", "net", "pid", "uts"]
        .into_iter()
        .filter(|kind| link(pid, kind) != link("self", kind))
        .collect()
}

/// Runs the clean-up of a task, whatever the test found.
struct Started<'log>(Vec<CommandLine>, &'log ErrorLog);

impl Drop for Started<'_> {
    fn drop(&mut self) {
        run_all(&self.0, self.1).unwrap();
    }
}

fn compare_with_runc(config: &str, network: Network) {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let parents = Parents::make().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = bundle::config(config).unwrap();
    let rootfs = directory.path().join("rootfs");
    bundle::make_rootfs(&rootfs, std::slice::from_ref(&config)).unwrap();
    let state = directory.path().join("state");
    std::fs::create_dir(&state).unwrap();
    let log = ErrorLog::in_file(&directory.path().join("errors")).unwrap();
    let workplace = Workplace {
        directory: directory.path(),
        state: &state,
        rootfs: &rootfs,
        hierarchies: &parents.hierarchies,
    };

    let contestants = [
        Contestant::floor(PathBuf::from(env!("CARGO_BIN_EXE_windlass-floor"))),
        Contestant::runtime("runc").unwrap(),
    ];
    let mut started = Vec::new();
    for contestant in &contestants {
        let task = contestant
            .task(Operation::Exec, network, &config, workplace)
            .unwrap();
        started.push(Started(task.after, &log));
        run_all(&task.before, &log).unwrap();
    }
    let floor = fs::read_to_string(state.join("floor/pid")).unwrap();
    let runc = pid_of_runc_container(&state.join("runc"));

    assert_eq!(mounts(&floor), mounts(&runc));
    assert_eq!(namespaces(&floor), namespaces(&runc));
    assert_eq!(
        cgroups(&floor, "windlass-bench-floor"),
        cgroups(&runc, "windlass-bench-runc")
    );
}

fn pid_of_runc_container(root: &Path) -> String {
    let state = root.join("windlass-bench-runc/state.json");
    let state: serde_json::Value = serde_json::from_slice(&fs::read(state).unwrap()).unwrap();
    state["init_process_pid"].to_string()
}

// One test, since a comparison reaps all children of its process.
#[test]
fn the_floor_makes_what_runc_makes() {
    for config in [
        "runc-spec",
        "docker",
        "docker-hardened",
        "containerd-ctr",
        "podman",
    ] {
        compare_with_runc(config, Network::New);
    }
    compare_with_runc("docker", Network::Host);
}
