//! Is a runtime that does one thing wrong caught, and by the case meant for it?
//!
//! This program is two things. As a test it runs the suite against wrappers around runc, one
//! fault each, and prints the mutation score. As a wrapper (`WINDLASS_FAULT` names the fault) it
//! is the faulty runtime: it changes config.json, the command line or the output.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "faults/wrapper.rs"]
mod wrapper;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::Value;

/// Every fault, and the case that has to catch it.
const FAULTS: &[(&str, &str)] = &[
    ("drop-a-capability", "capabilities/bounding-only"),
    ("add-a-capability", "capabilities/none"),
    ("fill-the-inheritable-set", "capabilities/inheritable-empty"),
    ("drop-ambient", "capabilities/ambient-for-a-user"),
    ("skip-masked-paths", "rootfs/masked-files"),
    ("skip-masked-directories", "rootfs/masked-directories"),
    ("skip-read-only-paths", "rootfs/read-only-paths"),
    ("writable-root", "rootfs/read-only"),
    ("forget-a-hook", "hooks/order"),
    ("reverse-hooks", "hooks/order"),
    ("forget-hook-environment", "hooks/arguments-and-environment"),
    ("wrong-uid", "process/user"),
    ("wrong-gid", "process/user"),
    ("drop-groups", "process/additional-gids"),
    ("ignore-umask", "process/umask"),
    ("ignore-no-new-privileges", "process/no-new-privileges"),
    ("wrong-rlimit", "process/rlimits"),
    ("leak-environment", "process/env-not-the-callers"),
    ("drop-empty-arguments", "process/args"),
    ("ignore-cwd", "process/cwd"),
    ("ignore-oom-score", "process/oom-score-adj"),
    ("leak-a-descriptor", "process/descriptors"),
    ("leak-a-descriptor-into-exec", "exec/descriptors"),
    ("no-seccomp", "seccomp/filter-mode"),
    ("wrong-errno", "seccomp/errno"),
    ("forget-seccomp-arguments", "seccomp/arguments-equal"),
    ("allow-one-call-more", "seccomp/docker-profile"),
    ("reverse-mounts", "mounts/order"),
    ("ignore-read-only-binds", "mounts/bind-read-only"),
    ("bind-instead-of-rbind", "mounts/rbind"),
    ("ignore-propagation", "mounts/propagation"),
    ("ignore-mount-flags", "mounts/flags"),
    ("share-the-network", "namespaces/new"),
    ("share-the-pid-namespace", "namespaces/pid-isolation"),
    ("new-instead-of-joined", "namespaces/joined-by-path"),
    ("wrong-hostname", "namespaces/hostname"),
    ("ignore-sysctl", "namespaces/sysctl"),
    ("wrong-memory-limit", "cgroups/memory-v*"),
    ("ignore-pids-limit", "cgroups/pids-v*"),
    ("ignore-cpu-limit", "cgroups/cpu-v*"),
    ("wrong-cgroup", "cgroups/path-v*"),
    ("allow-all-devices", "devices/denied"),
    ("wrong-device-mode", "devices/configured"),
    ("forget-devices", "devices/configured"),
    ("wrong-status", "state/status"),
    ("wrong-pid", "state/pid"),
    ("forget-annotations", "state/annotations"),
    ("empty-list", "state/list-json"),
    ("exit-with-0", "engine_contract/exit-status"),
    ("newline-in-pid-file", "engine_contract/pid-file"),
    ("no-log", "engine_contract/log-json"),
    ("ignore-console-size", "console/size"),
    ("kill-with-term", "lifecycle/kill-sends-the-signal"),
    ("create-starts", "lifecycle/create-does-not-run"),
    ("delete-does-nothing", "lifecycle/delete-stopped"),
    ("delete-always-forces", "lifecycle/delete-running"),
    ("delete-leaves-a-file", "lifecycle/delete-stopped"),
    ("start-never-fails", "lifecycle/start-unknown"),
    ("create-never-fails", "bad_input/truncated-config"),
    ("exec-ignores-user", "exec/user-alone"),
    ("exec-ignores-cwd", "exec/cwd-env-user"),
];

fn main() -> ExitCode {
    if let Ok(fault) = std::env::var("WINDLASS_FAULT") {
        return wrapper::run(&fault);
    }
    // What a test runner asks of a program that is a test of its own (libtest's --list).
    if std::env::args().any(|argument| argument == "--list") {
        if !std::env::args().any(|argument| argument == "--ignored") {
            println!("every_fault_is_caught: test");
        }
        return ExitCode::SUCCESS;
    }
    let scratch = tempfile::Builder::new()
        .prefix("wconf-faults-")
        .tempdir()
        .unwrap();

    let sound = wrapper_script(scratch.path(), "none");
    let filters: BTreeSet<&str> = FAULTS.iter().map(|(_, case)| *case).collect();
    let outcomes = outcomes(&sound, filters.into_iter());
    let unsound: Vec<_> = outcomes
        .iter()
        .filter(|(_, outcome)| *outcome != "passed" && *outcome != "skipped")
        .collect();
    assert!(
        unsound.is_empty(),
        "these cases fail without any fault: {unsound:?}"
    );

    let mut survivors = Vec::new();
    for (fault, case) in FAULTS {
        let faulty = wrapper_script(scratch.path(), fault);
        let caught = self::outcomes(&faulty, std::iter::once(*case))
            .values()
            .any(|outcome| outcome == "failed");
        println!(
            "{:<9}{fault:<30}{case}",
            if caught { "caught" } else { "SURVIVED" }
        );
        if !caught {
            survivors.push(*fault);
        }
    }
    println!(
        "mutation score: {} of {}",
        FAULTS.len() - survivors.len(),
        FAULTS.len()
    );
    if survivors.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A program that is runc with one fault.
fn wrapper_script(directory: &Path, fault: &str) -> PathBuf {
    let program = directory.join(fault);
    let this = std::env::current_exe().unwrap();
    let text = format!(
        "#!/bin/sh\nWINDLASS_FAULT={fault} exec '{}' \"$@\"\n",
        this.display()
    );
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    program
}

/// Runs the cases against the runtime and returns how each of them ended.
fn outcomes<'a>(
    runtime: &Path,
    filters: impl Iterator<Item = &'a str>,
) -> BTreeMap<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_windlass-conformance"))
        .arg("--runtime")
        .arg(runtime)
        .args(["--format", "json", "--strict"])
        .args(filters.flat_map(|filter| ["--filter", filter]))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let document: Value = serde_json::from_str(&text)
        .unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    document["cases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|case| (word(&case["id"]), word(&case["outcome"])))
        .collect()
}
