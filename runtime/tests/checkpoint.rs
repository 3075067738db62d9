//! Checkpoint and restore, with the CRIU of PATH, or the one that `scripts/test` fetches. Where
//! there is none that works on this kernel, a test says so and is skipped.

#![allow(clippy::unwrap_used, clippy::panic)]

mod harness;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use harness::criu::{IMAGES, call, checkpoint, count, restore, run, sandbox};
use harness::wait_until;
use serde_json::json;

#[test]
fn a_container_goes_on_where_it_was() {
    let Some((sandbox, path)) = sandbox("criu-goes-on") else {
        return;
    };
    run(&sandbox, &path);
    // A second time, what was restored is checkpointed, with what was executed in it.
    for round in 0..2 {
        let before = count(&sandbox);
        checkpoint(&sandbox, &path, &[]);
        assert_eq!(sandbox.windlass(&["state", &sandbox.id]).code(), 1);
        sandbox.assert_clean("checkpoint");
        restore(&sandbox, &path);
        assert_eq!(sandbox.status(), "running");
        let after = count(&sandbox);
        assert!(after >= before, "round {round}: {after} after {before}");
        wait_until("it goes on counting", || count(&sandbox) > after);
        let executed = ["sh", "-c", "sleep 1000 </dev/null >/dev/null 2>&1 &"];
        sandbox.must(&[&["exec", &sandbox.id], &executed[..]].concat());
        let links = sandbox.must(&["exec", &sandbox.id, "/bin/busybox", "ip", "link"]);
        assert!(
            links.stdout.contains("lo: <LOOPBACK,UP"),
            "{}",
            links.stdout
        );
    }
    assert!(
        !fs::read_to_string("/proc/self/mountinfo")
            .unwrap()
            .contains("criu-root")
    );
    sandbox.must(&["delete", "--force", &sandbox.id]);
    sandbox.assert_clean("delete");
}

#[test]
fn a_container_left_running_runs() {
    let Some((sandbox, path)) = sandbox("criu-leave") else {
        return;
    };
    run(&sandbox, &path);
    let pid = sandbox.pid();
    checkpoint(&sandbox, &path, &["--leave-running"]);
    assert_eq!((sandbox.status().as_str(), sandbox.pid()), ("running", pid));
    let before = count(&sandbox);
    wait_until("it goes on counting", || count(&sandbox) > before);
}

#[test]
fn bind_mounts_and_their_mount_points_come_back() {
    let Some((mut sandbox, path)) = sandbox("criu-binds") else {
        return;
    };
    let [outer, inner] = ["outer", "inner"].map(|name| sandbox.directory().join(name));
    for directory in [&outer, &inner] {
        fs::create_dir(directory).unwrap();
    }
    std::os::unix::fs::symlink("real", sandbox.rootfs().join("link")).unwrap();
    fs::create_dir(sandbox.rootfs().join("real")).unwrap();
    let inner_by_link = sandbox.directory().join("inner-by-link");
    std::os::unix::fs::symlink(&inner, &inner_by_link).unwrap();
    let bind = |source: &Path, destination: &str| json!({"destination": destination, "type": "bind", "source": source, "options": ["bind"]});
    let mounts = sandbox.config["mounts"].as_array_mut().unwrap();
    mounts.push(bind(&outer, "/link/outer"));
    mounts.push(bind(&inner_by_link, "/link/outer/made/inner"));
    sandbox.write_config();
    run(&sandbox, &path);
    checkpoint(&sandbox, &path, &[]);
    fs::remove_dir_all(outer.join("made")).unwrap();
    fs::write(inner.join("file"), "from outside").unwrap();
    restore(&sandbox, &path);
    let seen = sandbox.must(&[
        "exec",
        &sandbox.id,
        "/bin/cat",
        "/real/outer/made/inner/file",
    ]);
    assert_eq!(seen.stdout, "from outside");
}

/// runc can't: the file is in none of the container's mounts. CRIU wants it as long as it was.
#[test]
fn a_log_of_the_hosts_is_written_on() {
    let Some((mut sandbox, path)) = sandbox("criu-log") else {
        return;
    };
    let loops = "i=0; while :; do i=$((i+1)); echo $i > /tmp/count; echo tick $i; sleep 0.05; done";
    sandbox.script(loops);
    let log = sandbox.directory().join("log");
    let bundle = sandbox.bundle();
    let bundle = ["-d", "-b", bundle.to_str().unwrap()];
    let with_log = |verb: &str, options: &[&str]| {
        let arguments = [&[verb], options, &bundle, &[&sandbox.id]].concat();
        let mut command = sandbox.command(&arguments);
        let output = fs::File::options().append(true).create(true).open(&log);
        command.env("PATH", &path).current_dir(sandbox.directory());
        command.stdin(Stdio::null()).stdout(output.unwrap());
        assert!(command.stderr(Stdio::null()).status().unwrap().success());
    };
    let lines = || fs::read_to_string(&log).unwrap().lines().count();
    with_log("run", &[]);
    wait_until("there is a log", || lines() > 2);
    checkpoint(&sandbox, &path, &[]);
    let before = lines();
    with_log("restore", &IMAGES);
    wait_until("the log grows", || lines() > before + 2);
    let text = fs::read_to_string(&log).unwrap();
    let numbers = text
        .lines()
        .map(|line| line.trim_start_matches("tick ").parse::<usize>());
    assert!(
        numbers.enumerate().all(|(at, number)| number == Ok(at + 1)),
        "{text}"
    );
}

#[test]
fn hooks_of_the_host_run_before_the_processes_go_on() {
    let Some((mut sandbox, path)) = sandbox("criu-hooks") else {
        return;
    };
    run(&sandbox, &path);
    checkpoint(&sandbox, &path, &[]);
    let seen = sandbox.directory().join("seen");
    let script = format!("cat >> {}", seen.display());
    sandbox.config["hooks"] =
        json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]});
    sandbox.write_config();
    restore(&sandbox, &path);
    let state: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&seen).unwrap()).unwrap();
    assert_eq!(state["status"], "created");
    assert_eq!(state["pid"], sandbox.pid());
    sandbox.must(&["delete", "--force", &sandbox.id]);

    sandbox.config["hooks"] = json!({"createRuntime": [{"path": "/bin/false"}]});
    sandbox.write_config();
    let bundle = sandbox.bundle();
    let bundle = ["-d", "-b", bundle.to_str().unwrap()];
    let refused = call(
        &sandbox,
        &path,
        &[&["restore"], &IMAGES[..], &bundle, &[&sandbox.id]].concat(),
    );
    assert_eq!(refused.code(), 1);
    assert!(
        refused.stderr.contains("createRuntime hook #0"),
        "{}",
        refused.stderr
    );
    sandbox.assert_clean("a restore that failed");
}

#[test]
fn what_is_asked_wrong_is_said() {
    let Some((sandbox, path)) = sandbox("criu-wrong") else {
        return;
    };
    run(&sandbox, &path);
    let absolute = sandbox.directory().join("parent");
    for (options, expected) in [
        (
            ["--parent-path", absolute.to_str().unwrap()],
            "--parent-path must be relative",
        ),
        (["--parent-path", "../none"], "invalid --parent-path"),
        (["--manage-cgroups-mode", "all"], "manage-cgroups-mode"),
        (["--empty-ns", "pid"], "is not supported"),
        (["--page-server", "1.2.3.4"], "ADDRESS:PORT"),
    ] {
        let arguments = [&["checkpoint"], &IMAGES[..], &options, &[&sandbox.id]].concat();
        let refused = call(&sandbox, &path, &arguments);
        assert_eq!(refused.code(), 1, "{options:?}");
        assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    }
    assert_eq!(sandbox.status(), "running");

    // Without CRIU.
    let arguments = [&["checkpoint"], &IMAGES[..], &[&sandbox.id]].concat();
    let refused = call(&sandbox, "/nowhere", &arguments);
    assert!(
        refused.stderr.contains("is criu installed"),
        "{}",
        refused.stderr
    );
    assert_eq!(sandbox.status(), "running");

    // Without images.
    let arguments = ["restore", "--image-path", "empty", "criu-wrong-other"];
    fs::create_dir(sandbox.directory().join("empty")).unwrap();
    let bundle = sandbox.bundle();
    let arguments = [&arguments[..], &["-d", "-b", bundle.to_str().unwrap()]].concat();
    let refused = call(&sandbox, &path, &arguments);
    assert!(
        refused.stderr.contains("descriptors.json"),
        "{}",
        refused.stderr
    );
}
