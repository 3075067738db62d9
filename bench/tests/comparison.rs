//! The comparison from outside: its output, its JSON, and what it leaves behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::process::{Command, Output, Stdio};

use windlass_bench::hierarchies;

/// Runs a comparison and checks that nothing of it is left.
fn bench(arguments: &[&str]) -> Output {
    let mut all = vec!["--floor", env!("CARGO_BIN_EXE_windlass-floor")];
    all.extend(["--config", "docker", "--network", "new", "--rounds", "2"]);
    all.extend(arguments);
    run(env!("CARGO_BIN_EXE_windlass-bench"), &all)
}

fn run(program: &str, arguments: &[&str]) -> Output {
    let temporary = tempfile::tempdir().unwrap();
    let bench = Command::new(program)
        .env("TMPDIR", temporary.path())
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let parent = format!("windlass-bench-{}", bench.id());
    let output = bench.wait_with_output().unwrap();
    assert_eq!(
        fs::read_dir(temporary.path()).unwrap().count(),
        0,
        "files are left"
    );
    for hierarchy in hierarchies::mounted().unwrap() {
        let cgroup = hierarchy.mount.join(&parent);
        assert!(!cgroup.exists(), "{} is left", cgroup.display());
    }
    output
}

fn error_of(output: Output) -> String {
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn result_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("result.json");
    let output = bench(&["--runtime", "runc", "--json", json.to_str().unwrap()]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    let results = report["results"].as_array().unwrap();
    assert_eq!(results.len(), 3);
    for result in results {
        let [floor, runc] = &result["contestants"].as_array().unwrap()[..] else {
            panic!("two contestants expected: {result}");
        };
        assert_eq!(runc["wall_samples"].as_array().unwrap().len(), 2);
        assert!(floor["footprint"]["calls"].as_u64() < runc["footprint"]["calls"].as_u64());
        assert!(floor["cpu"]["median"].as_f64() < runc["cpu"]["median"].as_f64());
        assert!(runc["footprint"]["peak_kib"].as_u64() > Some(1000));
    }
}

#[test]
fn failing_runtime_is_named() {
    let error = error_of(bench(&["--runtime", "false=/bin/false"]));
    assert!(error.contains("/bin/false --root"), "{error}");
}

#[test]
fn missing_runtime_is_named() {
    let error = error_of(bench(&["--runtime", "no-such-runtime"]));
    assert!(error.contains("no-such-runtime"), "{error}");
}

#[test]
fn numbers_are_measured() {
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("result.json");
    let output = run(
        env!("CARGO_BIN_EXE_windlass-scale-bench"),
        &[
            "--runtime",
            "runc",
            "--rounds",
            "2",
            "--crowd",
            "2",
            "--json",
            json.to_str().unwrap(),
        ],
    );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let results: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    let figure = |pointer: &str| results.pointer(pointer).and_then(serde_json::Value::as_f64);
    assert!(figure("/mounts/0/cpu/3/quartile") > figure("/mounts/0/cpu/0/quartile"));
    assert!(figure("/at_once/0/wall/minimum") > Some(100.0));
    assert!(figure("/crowd/0/cpu/quartile") > Some(1.0));
    assert!(
        error_of(run(
            env!("CARGO_BIN_EXE_windlass-scale-bench"),
            &["--runtime", "false=/bin/false", "--only", "crowd"],
        ))
        .contains("/bin/false --root")
    );
}
