//! The comparison from outside: its output, its JSON, and what it leaves behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::process::{Command, Output, Stdio};

use windlass_bench::hierarchies;

/// Runs a comparison and checks that nothing of it is left.
fn bench(arguments: &[&str]) -> Output {
    let temporary = tempfile::tempdir().unwrap();
    let bench = Command::new(env!("CARGO_BIN_EXE_windlass-bench"))
        .env("TMPDIR", temporary.path())
        .args(["--floor", env!("CARGO_BIN_EXE_windlass-floor")])
        .args(["--config", "docker", "--network", "new", "--rounds", "2"])
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
