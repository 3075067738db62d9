//! The six kinds of hooks: their order, their surroundings, and what their failure means.
//!
//! Needs root and busybox-static.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::fs::{self};
use std::path::Path;

use harness::{Sandbox, finish};
use serde_json::json;

/// Hooks that write their name, their argv[0] and their state's status, one line each.
fn tracing_hooks(sandbox: &mut Sandbox, trace: &Path) {
    let mut hooks = json!({});
    for kind in [
        "prestart",
        "createRuntime",
        "createContainer",
        "poststart",
        "poststop",
    ] {
        let script = format!(
            "read -r state; status=${{state#*\\\"status\\\":\\\"}}; \
             echo {kind} $0 ${{status%%\\\"*}} >> {}",
            trace.display()
        );
        hooks[kind] = json!([{ "path": "/bin/busybox", "args": ["sh", "-c", script, "name"] }]);
    }
    hooks["startContainer"] = json!([{
        "path": "/bin/busybox", "args": ["sh", "-c", "echo started > /tmp/start-container"],
    }]);
    sandbox.config["hooks"] = hooks;
    sandbox.write_config();
}

#[test]
fn hooks_run_in_order() {
    let mut sandbox = Sandbox::new("hooks");
    let trace = sandbox.directory().join("trace");
    tracing_hooks(&mut sandbox, &trace);
    let so_far = || fs::read_to_string(&trace).unwrap_or_default();
    sandbox.must(&["create", "ID"]);
    let created = "prestart name created\ncreateRuntime name created\n\
                   createContainer name created\n";
    assert_eq!(so_far(), created);
    let inside = sandbox.rootfs().join("tmp/start-container");
    assert!(!inside.exists());
    sandbox.must(&["start", "ID"]);
    assert!(inside.exists());
    let started = format!("{created}poststart name running\n");
    assert_eq!(so_far(), started);
    sandbox.must(&["delete", "--force", "ID"]);
    assert_eq!(so_far(), format!("{started}poststop name stopped\n"));
    sandbox.assert_clean("delete");
}

#[test]
fn hooks_begin_with_no_signal_blocked_and_a_umask() {
    let mut sandbox = Sandbox::new("hookmask");
    let trace = sandbox.directory().join("trace");
    let script = |path: &Path| {
        let script = format!(
            "{{ umask; while read -r line; do case $line in SigBlk*) echo $line;; esac; done \
             < /proc/self/status; }} >> {}",
            path.display()
        );
        json!([{ "path": "/bin/busybox", "args": ["sh", "-c", script] }])
    };
    for kind in ["createRuntime", "createContainer", "poststart", "poststop"] {
        sandbox.config["hooks"][kind] = script(&trace);
    }
    sandbox.config["hooks"]["startContainer"] = script(Path::new("/tmp/trace"));
    sandbox.config["process"]["args"] = json!(["true"]);
    sandbox.write_config();
    // In the foreground the runtime itself has all signals blocked.
    sandbox.must(&["run", "ID"]);
    let fresh = "0022\nSigBlk: 0000000000000000\n";
    assert_eq!(fs::read_to_string(&trace).unwrap(), fresh.repeat(4));
    let inside = sandbox.rootfs().join("tmp/trace");
    assert_eq!(fs::read_to_string(inside).unwrap(), fresh);
}

#[test]
fn hooks_have_the_surroundings_of_their_kind() {
    let mut sandbox = Sandbox::new("hookplace");
    let trace = sandbox.directory().join("trace");
    let script = |path: &Path| {
        let script = format!(
            "read -r state; pid=${{state#*\\\"pid\\\":}}; \
             echo $(pwd) ${{pid%%,*}} ${{FROM:-none}} >> {}",
            path.display()
        );
        json!([{ "path": "/bin/busybox", "args": ["sh", "-c", script] }])
    };
    for kind in ["createRuntime", "createContainer", "poststart", "poststop"] {
        sandbox.config["hooks"][kind] = script(&trace);
    }
    sandbox.config["hooks"]["startContainer"] = script(Path::new("/tmp/trace"));
    sandbox.config["process"]["env"] = json!(["PATH=/bin", "FROM=process"]);
    sandbox.write_config();
    let (bundle, id) = (sandbox.bundle(), sandbox.id.as_str());
    let call = |arguments: &[&str]| {
        let done = finish(sandbox.command(arguments).current_dir("/"));
        assert_eq!(done.code(), 0, "{}", done.stderr);
    };
    call(&["run", "-d", "-b", bundle.to_str().unwrap(), id]);
    let pid = sandbox.pid();
    call(&["delete", "-f", id]);
    let (bundle, rootfs) = (bundle.display(), sandbox.rootfs());
    let seen = fs::read_to_string(&trace).unwrap();
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines[0], format!("{bundle} {pid} none"));
    assert_eq!(lines[1], format!("{} 1 none", rootfs.display()));
    assert_eq!(lines[2], format!("{bundle} {pid} none"));
    // Its process is gone: the state has no pid (runtime.md, "State").
    assert!(lines[3].starts_with(&format!("{bundle} ")), "{seen}");
    let inside = fs::read_to_string(rootfs.join("tmp/trace")).unwrap();
    assert_eq!(inside, "/ 1 process\n");
}

#[test]
fn a_failing_hook_ends_the_container() {
    for kind in [
        "prestart",
        "createRuntime",
        "createContainer",
        "startContainer",
        "poststart",
    ] {
        let mut sandbox = Sandbox::new("hook");
        let trace = sandbox.directory().join("trace");
        tracing_hooks(&mut sandbox, &trace);
        let failing = json!({
            "path": "/bin/busybox", "args": ["sh", "-c", "echo the reason >&2; exit 3"],
        });
        sandbox.config["hooks"][kind]
            .as_array_mut()
            .unwrap()
            .push(failing);
        sandbox.write_config();
        let failed = sandbox.windlass(&["run", "-d", "ID"]);
        assert_eq!(failed.code(), 1, "{kind}");
        let line = failed.error_line();
        assert!(
            line.contains(&format!("error running {kind} hook #1: ")),
            "{line}"
        );
        assert!(
            line.contains("exit status 3") && line.contains("the reason"),
            "{line}"
        );
        sandbox.assert_clean(kind);
        let trace = fs::read_to_string(&trace).unwrap();
        assert_eq!(
            trace.matches("poststop name stopped\n").count(),
            1,
            "{kind}: {trace}"
        );
    }
}

#[test]
fn a_hook_may_not_take_longer_than_it_is_given() {
    let mut sandbox = Sandbox::new("timeout");
    sandbox.config["hooks"] = json!({ "createRuntime": [
        { "path": "/bin/busybox", "args": ["sleep", "1000"], "timeout": 1 },
    ] });
    sandbox.write_config();
    let failed = sandbox.windlass(&["create", "ID"]);
    assert!(
        failed.error_line().contains("timeout of 1s"),
        "{}",
        failed.stderr
    );
    sandbox.assert_clean("a slow hook");
}

#[test]
fn a_poststop_hook_that_fails_is_only_warned_about() {
    let mut sandbox = Sandbox::new("poststop");
    sandbox.config["hooks"] = json!({ "poststop": [
        { "path": "/bin/busybox", "args": ["false"] },
    ] });
    sandbox.write_config();
    sandbox.must(&["create", "ID"]);
    let deleted = sandbox.must(&["delete", "--force", "ID"]);
    assert!(
        deleted.stderr.contains("level=warning"),
        "{}",
        deleted.stderr
    );
    sandbox.assert_clean("delete");
}

/// As a limit of time it is none.
#[test]
fn a_hook_may_be_given_all_the_time_in_the_world() {
    let mut sandbox = Sandbox::new("patience");
    sandbox.config["hooks"] = json!({
        "createRuntime": [{ "path": "/bin/true", "timeout": i64::MAX }]
    });
    sandbox.script("exit 0");
    sandbox.must(&["run", "ID"]);
    sandbox.assert_clean("the hook");
}
