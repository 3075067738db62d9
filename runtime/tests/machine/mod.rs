//! The throw-away machine that has cgroup v2 and systemd.

use std::path::{Path, PathBuf};
use std::process::Command;

const INSIDE: &str = "WINDLASS_TEST_INSIDE_VM";

/// Runs this very program in the machine, as this user of it (`root` or `tester`). There it finds
/// itself and the runtime at the same paths. Whether we are in there.
///
/// Says so where there is no machine; in continuous integration that is a failure.
#[track_caller]
#[allow(dead_code)] // not every program needs a machine of its own kind
pub fn run_in_machine_as(user: &str) -> bool {
    run_in_machine(&["--user", user])
}

/// The same with options of the machine's `run`.
#[track_caller]
pub fn run_in_machine(options: &[&str]) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let run = std::env::var_os("WINDLASS_VM").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vm/run"),
        PathBuf::from,
    );
    if !run.exists() {
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "no machine at {}",
            run.display()
        );
        eprintln!(
            "NOT RUN: what needs cgroup v2 or systemd, since there is no machine at {}: set WINDLASS_VM",
            run.display()
        );
        return false;
    }
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(run);
    for shared in [program.as_path(), Path::new(env!("CARGO_BIN_EXE_windlass"))] {
        let mut share = shared.parent().unwrap().as_os_str().to_owned();
        share.push(":ro");
        command.arg("--share").arg(share);
    }
    let output = command
        .args(options)
        .args(["--env", &format!("{INSIDE}=1")])
        .args(["--timeout", "300", "--"])
        .arg(&program)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("test result: ok"), "{text}");
    false
}
