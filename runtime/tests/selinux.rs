//! SELinux contexts of the process and of mounts, in a throw-away machine whose kernel is told to use
//! SELinux, with a policy of a few types ([`POLICY`]) that enforces nothing.
//!
//! Needs root, busybox-static and checkpolicy.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;
mod machine;

use std::fs;
use std::path::Path;
use std::process::Command;

use harness::Sandbox;
use serde_json::json;

const POLICY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/selinux/policy.conf"
);

/// Where the machine finds the policy as its kernel takes it.
const COMPILED: &str = "WINDLASS_TEST_SELINUX_POLICY";

const PROCESS: &str = "system_u:system_r:container_t:s0:c4,c5";
const FILES: &str = "system_u:object_r:container_file_t:s0:c4,c5";
const OTHER: &str = "system_u:object_r:file_t:s0:c1,c2";
/// What the policy says of everything else.
const DEFAULT: &str = "system_u:object_r:file_t:s0";

#[test]
fn contexts_of_processes_and_mounts() {
    if let Some(compiled) = std::env::var_os(COMPILED) {
        fs::write("/sys/fs/selinux/load", fs::read(compiled).unwrap()).unwrap();
        check_contexts();
        return;
    }
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let compiled = directory.path().join("policy");
    let version = ["-M", "-U", "allow", "-c", "33", "-o"];
    match Command::new("checkpolicy")
        .args(version)
        .arg(&compiled)
        .arg(POLICY)
        .output()
    {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(error) => {
            assert_ne!(
                std::env::var("CI").as_deref(),
                Ok("true"),
                "checkpolicy: {error}"
            );
            eprintln!("NOT RUN: SELinux, since there is no checkpolicy here: {error}");
            return;
        }
    }
    let share = format!("{}:ro", directory.path().display());
    let environment = format!("{COMPILED}={}", compiled.display());
    machine::run_in_machine(&[
        "--append",
        "lsm=selinux selinux=1 enforcing=0",
        "--share",
        &share,
        "--env",
        &environment,
    ]);
}

fn check_contexts() {
    let mut sandbox = Sandbox::new("selinux");
    sandbox.config["process"]["selinuxLabel"] = json!(PROCESS);
    sandbox.config["linux"]["mountLabel"] = json!(FILES);
    sandbox.config["linux"]["maskedPaths"] = json!(["/sys/kernel", "/etc", "/proc/kcore"]);
    fs::create_dir(sandbox.rootfs().join("up")).unwrap();
    fs::write(sandbox.rootfs().join("up/file"), "").unwrap();
    let mounts = sandbox.config["mounts"].as_array_mut().unwrap();
    for (kind, destination, options) in [
        ("mqueue", "/queues", json!(["nosuid"])),
        ("devpts", "/terminals", json!(["newinstance"])),
        ("tmpfs", "/shared", json!(["rshared"])),
        ("tmpfs", "/up", json!(["tmpcopyup"])),
        ("tmpfs", "/own", json!([format!("context=\"{OTHER}\"")])),
        ("bind", "/bound", json!(["bind"])),
    ] {
        mounts.push(
            json!({ "type": kind, "source": "/sys", "destination": destination,
            "options": options }),
        );
    }
    sandbox.script("trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done");
    sandbox.must(&["run", "-d", "ID"]);
    let later = sandbox.directory().join("mounts.json");
    let added = json!([{ "type": "tmpfs", "source": "tmpfs", "destination": "/added" }]);
    fs::write(&later, added.to_string()).unwrap();
    sandbox.must(&["mounts", "add", "ID", later.to_str().unwrap()]);

    let root = format!("/proc/{}/root", sandbox.pid());
    for (path, context) in [
        ("/dev", FILES),
        ("/dev/null", FILES),
        ("/queues", FILES),
        ("/terminals", FILES),
        ("/shared", FILES),
        ("/up/file", FILES),
        ("/added", FILES),
        ("/etc", FILES),
        ("/sys/kernel", FILES),
        ("/own", OTHER),
        ("/proc", DEFAULT),
        ("/proc/kcore", DEFAULT),
        ("/sys", DEFAULT),
        ("/bound", DEFAULT),
    ] {
        assert_eq!(context_of(format!("{root}{path}")), context, "{path}");
    }

    let question = ["cat", "/proc/self/attr/current"];
    let answer = |options: &[&str]| {
        let ran = sandbox.must(&[&["exec"], options, &["ID"], &question[..]].concat());
        ran.stdout.trim_end_matches(['\0', '\n', ' ']).to_owned()
    };
    assert_eq!(answer(&[]), PROCESS);
    let other = "system_u:system_r:container_t:s0:c1";
    assert_eq!(answer(&["--process-label", other]), other);
    sandbox.must(&["delete", "-f", "ID"]);
    sandbox.assert_clean("delete");
}

fn context_of(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    let mut stat = Command::new("stat");
    let output = stat.args(["-L", "-c", "%C"]).arg(path).output().unwrap();
    assert!(output.status.success(), "{}: {output:?}", path.display());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
