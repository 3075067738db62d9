//! Is a runtime that does one thing wrong caught, and by the case meant for it?
//!
//! This program is two things. As a test it runs the suite against wrappers around runc or windlass,
//! one fault each, and prints the mutation score. As a wrapper (`WINDLASS_FAULT` names the fault) it
//! is the faulty runtime: it changes config.json, the command line or the output.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "faults/wrapper.rs"]
mod wrapper;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

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
    ("exit-with-0", "engine-contract/exit-status"),
    ("newline-in-pid-file", "engine-contract/pid-file"),
    ("no-log", "engine-contract/log-json"),
    ("ignore-console-size", "console/size"),
    ("kill-with-term", "lifecycle/kill-sends-the-signal"),
    ("create-starts", "lifecycle/create-does-not-run"),
    ("delete-does-nothing", "lifecycle/delete-stopped"),
    ("delete-always-forces", "lifecycle/delete-running"),
    ("delete-leaves-a-file", "lifecycle/delete-stopped"),
    ("start-never-fails", "lifecycle/start-unknown"),
    ("create-never-fails", "bad-input/truncated-config"),
    ("exec-ignores-user", "exec/user-alone"),
    ("exec-ignores-cwd", "exec/cwd-env-user"),
    ("cut-environment", "limits/environment"),
    ("cut-arguments", "limits/arguments"),
    ("cut-long-values", "limits/too-long-environment"),
    ("cut-mounts", "limits/mounts"),
    ("cut-masks", "limits/masks"),
    ("ignore-long-cwd", "limits/long-paths"),
    ("lower-the-memory-limit", "limits/little-memory"),
    ("ignore-memory-limit", "limits/too-little-memory"),
    ("list-ten", "limits/containers"),
    ("wrong-id-mapping", "rootless/run"),
    ("mask-dev", "rootless/devices"),
    ("wrong-status-for-users", "rootless/lifecycle"),
    ("skip-masked-paths-for-users", "rootless/masks"),
    ("map-own-id", "rootless/foreign-ids"),
    ("ignore-cgroup", "rootless/limits-refused"),
    ("update-never-fails", "cgroups/check-before-update-v*"),
    ("forget-hidden-throttles", "cgroups/block-io-rates-v*"),
    ("ignore-weights", "cgroups/block-io-weight-device"),
    ("ignore-rdma", "cgroups/rdma-of-nothing"),
    ("ignore-huge-pages", "cgroups/huge-pages"),
    ("ignore-burst", "cgroups/burst-v*"),
    ("forget-network-priorities", "cgroups/network-priorities"),
    ("ignore-metadata", "seccomp/metadata-without-agent"),
    ("silent-errors", "hooks/relative-path"),
    ("forget-net-devices", "net-devices/not-moved-back"),
    ("ignore-intel-rdt", "intel-rdt/no-resctrl"),
    ("wrong-group", "intel-rdt/tasks"),
    ("always-a-group", "intel-rdt/unset"),
    ("own-group-for-the-default", "intel-rdt/default-group"),
    ("cut-lines", "intel-rdt/forms"),
    ("forget-bandwidth", "intel-rdt/schemata-of-two"),
    ("forget-schemata", "intel-rdt/schemata"),
    ("always-a-line", "intel-rdt/no-schema"),
    ("no-new-group", "intel-rdt/group-made"),
    ("compare-nothing", "intel-rdt/group-compared"),
    ("make-any-group", "intel-rdt/group-pre-configured"),
    ("keep-own-group", "intel-rdt/group-removed"),
    ("forget-monitoring", "intel-rdt/monitoring"),
    ("ignore-monitoring-failures", "intel-rdt/monitoring-fails"),
    ("believe-a-false-proc", "hostile/exec-under-a-false-proc"),
    ("follow-console", "hostile/swapped-console"),
    ("leak-when-create-is-killed", "crash/create"),
    ("leak-when-start-is-killed", "crash/start"),
    ("leak-when-exec-is-killed", "crash/exec"),
    ("leak-when-delete-is-killed", "crash/delete"),
];

/// Of what [`FAULTS`] are faults: runc, or where Debian's can't do what the case is about, windlass.
fn base(case: &str) -> &'static str {
    const ONLY_WINDLASS: [&str; 11] = [
        "intel-rdt/",
        "crash/",
        "cgroups/block-io",
        "cgroups/burst",
        "cgroups/huge-pages",
        "cgroups/network",
        "cgroups/rdma",
        "hooks/relative-path",
        "limits/too-little-memory",
        "net-devices/",
        "seccomp/metadata",
    ];
    if ONLY_WINDLASS
        .iter()
        .any(|beginning| case.starts_with(beginning))
    {
        "windlass"
    } else {
        "runc"
    }
}

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

    let mut missing = BTreeSet::new();
    let mut faults = Vec::new();
    for (fault, case) in FAULTS {
        let base = runtime(base(case));
        if Command::new(&base).arg("--version").output().is_ok() {
            faults.push((*fault, *case, base));
        } else {
            missing.insert(base);
        }
    }
    for base in missing {
        println!(
            "SKIPPED: the faults of {}, which is not built",
            base.display()
        );
    }
    sound_runtimes_pass(scratch.path(), &faults);

    let results: Mutex<BTreeMap<usize, Outcome>> = Mutex::default();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some((fault, case, base)) = faults.get(next.fetch_add(1, Relaxed)) {
                    let number = faults.iter().position(|other| other.0 == *fault).unwrap();
                    let faulty = wrapper_script(scratch.path(), fault, base);
                    let outcome = Outcome::of(&outcomes(&faulty, std::iter::once(*case)));
                    results.lock().unwrap().insert(number, outcome);
                }
            });
        }
    });
    print_score(&faults, &results.into_inner().unwrap())
}

/// What a fault came to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Caught,
    Survived,
    /// Each case that could catch it is skipped here.
    NotRun,
}

impl Outcome {
    fn of(outcomes: &BTreeMap<String, String>) -> Outcome {
        if outcomes.values().any(|outcome| outcome == "failed") {
            Outcome::Caught
        } else if outcomes.values().all(|outcome| outcome == "skipped") {
            Outcome::NotRun
        } else {
            Outcome::Survived
        }
    }
}

/// Prints a line a fault, and the score; fails below 95 %.
fn print_score(faults: &[(&str, &str, PathBuf)], outcomes: &BTreeMap<usize, Outcome>) -> ExitCode {
    let with = |wanted: Outcome| -> Vec<&str> {
        outcomes
            .iter()
            .filter(|(_, outcome)| **outcome == wanted)
            .map(|(number, _)| faults[*number].0)
            .collect()
    };
    for (number, outcome) in outcomes {
        let word = match outcome {
            Outcome::Caught => "caught",
            Outcome::Survived => "SURVIVED",
            Outcome::NotRun => "not run",
        };
        let (fault, case, base) = &faults[*number];
        let base = base.file_name().unwrap().to_string_lossy();
        println!("{word:<9}{fault:<32}{base:<10}{case}");
    }
    let (caught, survivors) = (with(Outcome::Caught).len(), with(Outcome::Survived));
    let all = caught + survivors.len();
    let score = caught * 100 / all.max(1);
    println!("mutation score: {caught} of {all} faults caught ({score} %)");
    println!("survivors: {}", list(&survivors));
    println!("not run on this host: {}", list(&with(Outcome::NotRun)));
    if score >= 95 && all >= 60 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn list(names: &[&str]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

/// A case that fails without any fault would catch anything.
fn sound_runtimes_pass(scratch: &Path, faults: &[(&str, &str, PathBuf)]) {
    let bases: BTreeSet<&PathBuf> = faults.iter().map(|(_, _, base)| base).collect();
    for base in bases {
        let sound = wrapper_script(scratch, "none", base);
        let cases: BTreeSet<&str> = faults
            .iter()
            .filter(|(_, _, other)| other == base)
            .map(|(_, case, _)| *case)
            .collect();
        let unsound: Vec<_> = outcomes(&sound, cases.into_iter())
            .into_iter()
            .filter(|(_, outcome)| outcome != "passed" && outcome != "skipped")
            .collect();
        assert!(
            unsound.is_empty(),
            "these cases fail without any fault: {unsound:?}"
        );
    }
}

/// Debian's runc, or the windlass that was built beside the suite.
fn runtime(name: &str) -> PathBuf {
    if name == "windlass" {
        Path::new(env!("CARGO_BIN_EXE_windlass-conformance")).with_file_name(name)
    } else {
        PathBuf::from(name)
    }
}

/// A program that is the base with one fault.
fn wrapper_script(directory: &Path, fault: &str, base: &Path) -> PathBuf {
    let program = directory.join(fault);
    let this = std::env::current_exe().unwrap();
    let text = format!(
        "#!/bin/sh\nWINDLASS_FAULT={fault} WINDLASS_FAULT_OF='{}' exec '{}' \"$@\"\n",
        base.display(),
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
