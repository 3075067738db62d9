//! A container's life through the command line: statuses, exit statuses, and every option of the
//! verbs, as runc has them.
//!
//! Needs root and busybox-static.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;

use harness::{Sandbox, finish, wait_for, wait_until};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Ends on SIGTERM with status 7 and on SIGUSR1 with 8, which pid 1 does only with a handler.
const TRAPS: &str =
    "trap 'exit 7' TERM; trap 'exit 8' USR1; echo ready; while :; do sleep 0.02; done";

#[test]
fn statuses_from_create_to_delete() {
    let mut sandbox = Sandbox::new("life");
    sandbox.script("echo ran; sleep 1000");
    let mut created = sandbox.must(&["create", "ID"]);
    assert_eq!((created.stdout.as_str(), created.stderr.as_str()), ("", ""));
    let state = sandbox.state();
    assert_eq!(state["status"], "created");
    assert_eq!(state["id"], sandbox.id.as_str());
    assert_eq!(state["ociVersion"], "1.0.2");
    assert_eq!(state["bundle"], sandbox.bundle().to_str().unwrap());
    assert_eq!(state["rootfs"], sandbox.rootfs().to_str().unwrap());
    assert!(sandbox.pid() > 0);
    assert_eq!(created.output_now(), "", "the program ran before start");

    sandbox.must(&["start", "ID"]);
    assert_eq!(sandbox.status(), "running");
    wait_until("its output", || created.output_now() == "ran\n");
    let refused = sandbox.windlass(&["start", "ID"]);
    assert_eq!(refused.code(), 1);
    assert!(
        refused.error_line().contains("already running"),
        "{}",
        refused.stderr
    );
    let refused = sandbox.windlass(&["delete", "ID"]);
    assert_eq!(refused.code(), 1);
    assert!(
        refused.error_line().contains("is not stopped"),
        "{}",
        refused.stderr
    );

    sandbox.must(&["kill", "ID", "KILL"]);
    sandbox.wait_for_status("stopped");
    assert_eq!(sandbox.state()["pid"], 0);
    let refused = sandbox.windlass(&["kill", "ID", "KILL"]);
    assert!(
        refused.error_line().contains("container not running"),
        "{}",
        refused.stderr
    );
    sandbox.must(&["kill", "--all", "ID", "KILL"]);
    let refused = sandbox.windlass(&["exec", "ID", "true"]);
    assert_eq!(refused.code(), 255);
    assert!(
        refused.error_line().contains("exec failed: "),
        "{}",
        refused.stderr
    );
    sandbox.must(&["delete", "ID"]);
    sandbox.assert_clean("delete");
    for verb in ["state", "start", "kill", "delete"] {
        let refused = sandbox.windlass(&[verb, "ID"]);
        assert_eq!(refused.code(), 1, "{verb}");
        assert!(
            refused.error_line().contains("container does not exist"),
            "{}",
            refused.stderr
        );
    }
    sandbox.must(&["delete", "--force", "ID"]);
}

#[test]
fn a_start_that_is_killed_has_started_the_program() {
    let sandbox = Sandbox::new("halfstart");
    sandbox.must(&["create", "ID"]);
    // All that `start` does before init goes on by itself.
    let fifo = sandbox.state_directory().join("exec.fifo");
    fs::write(&fifo, "0").unwrap();
    sandbox.wait_for_status("running");
    assert!(fifo.exists());
    let refused = sandbox.windlass(&["start", "ID"]);
    let line = refused.error_line();
    assert!(
        line.contains("cannot start an already running container"),
        "{line}"
    );
    let refused = sandbox.windlass(&["delete", "ID"]);
    let line = refused.error_line();
    assert!(line.contains("that is not stopped: running"), "{line}");
    assert_eq!(sandbox.status(), "running");
    sandbox.must(&["delete", "--force", "ID"]);
    sandbox.assert_clean("delete");
}

#[test]
fn an_id_is_used_once() {
    let sandbox = Sandbox::new("twice");
    sandbox.must(&["create", "ID"]);
    for verb in ["create", "run"] {
        let refused = sandbox.windlass(&[verb, "ID"]);
        assert_eq!(refused.code(), 1);
        let line = refused.error_line();
        assert!(
            line.contains("container with given ID already exists"),
            "{line}"
        );
    }
    assert_eq!(sandbox.status(), "created", "the first one is unharmed");
    sandbox.must(&["delete", "--force", "ID"]);
    sandbox.assert_clean("delete");
}

#[test]
fn run_gives_the_status_of_the_program() {
    let mut sandbox = Sandbox::new("status");
    for (script, status) in [("exit 0", 0), ("exit 42", 42), ("exit 255", 255)] {
        sandbox.script(script);
        let ran = sandbox.windlass(&["run", "ID"]);
        assert_eq!((ran.code(), ran.stderr.as_str()), (status, ""), "{script}");
        sandbox.assert_clean(script);
    }
    // Pid 1 can't be killed by a signal from its own namespace: another has to send it.
    sandbox.script("echo ready; sleep 1000");
    let mut child = sandbox.command(&["run", "ID"]).spawn().unwrap();
    wait_until("the container", || {
        let stopped = sandbox.windlass(&["kill", "ID", "KILL"]);
        stopped.code() == 0
    });
    assert_eq!(wait_for(&mut child).code(), Some(128 + 9));
    sandbox.assert_clean("a killed container");
}

#[test]
fn run_leaves_another_container_of_its_name_alone() {
    let mut sandbox = Sandbox::new("anew");
    let mut child = sandbox.command(&["run", "ID"]).spawn().unwrap();
    wait_until("the container", || {
        let state = sandbox.windlass(&["state", "ID"]).stdout;
        state.contains("running")
    });
    // It may be running before `run` is done with it.
    wait_until("the lock", || {
        let directory = File::open(sandbox.state_directory()).unwrap();
        flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok()
    });
    let run = Pid::from_child(&child);
    kill_process(run, Signal::STOP).unwrap();
    sandbox.must(&["delete", "--force", "ID"]);
    // Elsewhere, so that no cgroup in use is in the way of the first one's removal.
    sandbox.config["linux"]["cgroupsPath"] = json!(format!("/{}/second", sandbox.id));
    sandbox.write_config();
    sandbox.must(&["run", "-d", "ID"]);
    let pid = sandbox.pid();
    kill_process(run, Signal::CONT).unwrap();
    assert_eq!(wait_for(&mut child).code(), Some(128 + 9));
    assert_eq!((sandbox.status().as_str(), sandbox.pid()), ("running", pid));
    sandbox.must(&["delete", "--force", "ID"]);
    sandbox.assert_clean("delete");
}

#[test]
fn run_keep_leaves_a_stopped_container() {
    let mut sandbox = Sandbox::new("keep");
    sandbox.script("exit 3");
    assert_eq!(sandbox.windlass(&["run", "--keep", "ID"]).code(), 3);
    assert_eq!(sandbox.status(), "stopped");
    sandbox.must(&["delete", "ID"]);
    sandbox.assert_clean("delete");
}

#[test]
fn run_detached_comes_back_at_once() {
    let mut sandbox = Sandbox::new("detached");
    sandbox.script("echo out; sleep 1000");
    let mut ran = sandbox.must(&["run", "-d", "--pid-file", "pid", "ID"]);
    assert_eq!(sandbox.status(), "running");
    let pid = fs::read_to_string(sandbox.bundle().join("pid")).unwrap();
    assert_eq!(
        pid,
        sandbox.pid().to_string(),
        "relative to the working directory"
    );
    wait_until("its output", || ran.output_now() == "out\n");
    sandbox.must(&["delete", "-f", "ID"]);
    sandbox.assert_clean("delete -f");
}

#[test]
fn pid_files_are_relative_to_the_caller() {
    let sandbox = Sandbox::new("pidfile");
    let bundle = sandbox.bundle();
    let bundle = bundle.to_str().unwrap();
    let mut create = sandbox.command(&["create", "--bundle", bundle, "--pid-file", "a.pid", "ID"]);
    create.current_dir(sandbox.directory());
    assert!(finish(&mut create).status.success());
    let read = |name: &str| fs::read_to_string(sandbox.directory().join(name)).unwrap();
    assert_eq!(read("a.pid"), sandbox.pid().to_string());
    let mut exec = sandbox.command(&["exec", "-d", "--pid-file", "a.pid", "ID", "sleep", "1000"]);
    exec.current_dir(sandbox.directory());
    assert!(finish(&mut exec).status.success());
    let cgroup = fs::read_to_string(format!("/proc/{}/cgroup", read("a.pid"))).unwrap();
    assert!(cgroup.contains(&sandbox.id), "{cgroup}");
    let beside = fs::read_dir(sandbox.directory()).unwrap();
    let beside: Vec<_> = beside.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(beside.len(), 3, "bundle, state and a.pid: {beside:?}");
    sandbox.must(&["delete", "-f", "ID"]);

    let failed = sandbox.windlass(&["create", "--pid-file", "missing/pid", "ID"]);
    assert_eq!(failed.code(), 1);
    assert!(
        failed.error_line().contains("missing/pid"),
        "{}",
        failed.stderr
    );
    sandbox.assert_clean("a pid file that can't be written");
}

#[test]
fn a_program_that_cannot_be_executed() {
    let mut sandbox = Sandbox::new("noexec");
    let rootfs = sandbox.rootfs();
    fs::write(rootfs.join("bin/text"), "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(rootfs.join("bin/text"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(rootfs.join("bin/forbidden"), "").unwrap();
    for (program, words) in [
        ("missing", "executable file not found in $PATH"),
        ("/bin/missing", "no such file or directory"),
        ("/bin/forbidden", "permission denied"),
        ("/bin", "is a directory"),
    ] {
        sandbox.config["process"]["args"] = json!([program]);
        sandbox.write_config();
        for verb in [&["create", "ID"][..], &["run", "ID"], &["run", "-d", "ID"]] {
            let failed = sandbox.windlass(verb);
            assert_eq!(failed.code(), 1, "{program}");
            assert!(
                failed.error_line().contains(words),
                "{program}: {}",
                failed.stderr
            );
            sandbox.assert_clean(program);
        }
    }
    // Only execve finds out: with create that is the affair of start.
    sandbox.config["process"]["args"] = json!(["text"]);
    sandbox.write_config();
    sandbox.must(&["create", "ID"]);
    let failed = sandbox.windlass(&["start", "ID"]);
    assert_eq!(failed.code(), 1);
    let line = failed.error_line();
    assert!(
        line.contains("exec /bin/text: no such file or directory"),
        "{line}"
    );
    sandbox.wait_for_status("stopped");
    sandbox.must(&["delete", "ID"]);
    // A person sees that line as it is, and runc's status: there it is the program's that was to be.
    let line = "exec /bin/text: no such file or directory";
    let failed = sandbox.windlass(&["run", "ID"]);
    assert_eq!((failed.code(), failed.stderr), (255, format!("{line}\n")));
    let log = sandbox.directory().join("log");
    let failed = sandbox.windlass(&["--log", log.to_str().unwrap(), "run", "ID"]);
    assert_eq!(failed.code(), 255);
    let logged = fs::read_to_string(&log).unwrap();
    assert!(
        logged.contains("level=error msg=") && logged.contains(line),
        "{logged}"
    );
    sandbox.assert_clean("run");
}

#[test]
fn kill_takes_names_and_numbers() {
    let mut sandbox = Sandbox::new("kill");
    let usr1 = libc::SIGUSR1.to_string();
    for signal in ["USR1", "SIGUSR1", "sigusr1", usr1.as_str()] {
        sandbox.script(TRAPS);
        let mut ran = sandbox.must(&["run", "-d", "ID"]);
        wait_until("the traps", || ran.output_now() == "ready\n");
        sandbox.must(&["kill", "ID", "0"]);
        sandbox.must(&["kill", "ID", signal]);
        sandbox.wait_for_status("stopped");
        sandbox.must(&["delete", "ID"]);
    }
    sandbox.must(&["create", "ID"]);
    for signal in ["NOSUCH", "65", "-1", ""] {
        let refused = sandbox.windlass(&["kill", "ID", signal]);
        assert_eq!(refused.code(), 1, "{signal:?}");
        assert!(
            refused.error_line().contains("unknown signal"),
            "{}",
            refused.stderr
        );
    }
    sandbox.must(&["delete", "--force", "ID"]);
    sandbox.assert_clean("delete");
}

#[test]
fn a_container_that_waits_for_start_ends_at_a_signal() {
    let sandbox = Sandbox::new("killwait");
    for signal in ["TERM", "INT", "KILL"] {
        sandbox.must(&["create", "ID"]);
        sandbox.must(&["kill", "ID", signal]);
        sandbox.wait_for_status("stopped");
        sandbox.must(&["delete", "ID"]);
    }
    sandbox.assert_clean("delete");
}

#[test]
fn kill_ends_all_of_a_container_without_pids_of_its_own() {
    let mut sandbox = Sandbox::new("killall");
    let namespaces = sandbox.config["linux"]["namespaces"]
        .as_array_mut()
        .unwrap();
    namespaces.retain(|namespace| namespace["type"] != "pid");
    sandbox.script("sleep 1000");
    for init_is_gone in [false, true] {
        sandbox.must(&["run", "-d", "ID"]);
        sandbox.must(&["exec", "-d", "ID", "sleep", "1000"]);
        if init_is_gone {
            let init = Pid::from_raw(sandbox.pid()).unwrap();
            kill_process(init, Signal::KILL).unwrap();
            sandbox.wait_for_status("stopped");
        }
        sandbox.must(&["kill", "ID", "KILL"]);
        wait_until("the end of all", || {
            sandbox.must(&["ps", "-f=json", "ID"]).stdout == "[]\n"
        });
        sandbox.wait_for_status("stopped");
        let failed = sandbox.windlass(&["kill", "ID", "KILL"]);
        assert!(
            failed.error_line().contains("container not running"),
            "{}",
            failed.stderr
        );
        sandbox.must(&["kill", "--all", "ID", "KILL"]);
        sandbox.must(&["delete", "ID"]);
    }
    sandbox.assert_clean("delete");
}

#[test]
fn signals_reach_the_program_in_the_foreground() {
    let mut sandbox = Sandbox::new("forward");
    sandbox.script(TRAPS);
    for (signal, status) in [(Signal::TERM, 7), (Signal::USR1, 8)] {
        let output = tempfile::NamedTempFile::new().unwrap();
        let mut command = sandbox.command(&["run", "ID"]);
        command.stdout(output.reopen().unwrap());
        let mut child = command.spawn().unwrap();
        wait_until("the traps", || {
            fs::read_to_string(output.path()).unwrap() == "ready\n"
        });
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(wait_for(&mut child).code(), Some(status));
        sandbox.assert_clean("run");
    }
}

#[test]
fn list_shows_what_is_there() {
    let mut sandbox = Sandbox::new("list");
    let missing = sandbox.windlass(&["list"]);
    assert_eq!(missing.code(), 1, "a given root that isn't there");
    assert!(!sandbox.state_root().exists(), "list has made the root");
    sandbox.must(&["create", "ID"]);
    sandbox.config["linux"]["cgroupsPath"] = json!(format!("/{}/second", sandbox.id));
    sandbox.write_config();
    sandbox.must(&["run", "-d", "second"]);

    let table = sandbox.must(&["list"]).stdout;
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows[0],
        ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    );
    assert_eq!(rows.len(), 3);
    assert_eq!(
        (rows[1][0], rows[1][2], rows[1][5]),
        (sandbox.id.as_str(), "created", "root")
    );
    assert_eq!((rows[2][0], rows[2][2]), ("second", "running"));

    let text = sandbox.must(&["list", "--format", "json"]).stdout;
    let first = format!(r#"[{{"ociVersion":"1.0.2","id":"{}","pid":"#, sandbox.id);
    assert!(text.starts_with(&first), "{text}");
    let list: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(list[1]["status"], "running");
    assert_eq!(list[1]["owner"], "root");
    assert_eq!(
        sandbox.must(&["list", "-q"]).stdout,
        format!("{}\nsecond\n", sandbox.id)
    );
    let failed = sandbox.windlass(&["list", "--format", "xml"]);
    assert!(
        failed.error_line().contains("invalid format option"),
        "{}",
        failed.stderr
    );
    sandbox.must(&["delete", "-f", "second"]);
}

#[test]
fn spec_writes_a_config_that_runs() {
    let mut sandbox = Sandbox::new("spec");
    let refused = sandbox.windlass(&["spec"]);
    assert_eq!(refused.code(), 1);
    assert!(
        refused.error_line().contains("exists"),
        "{}",
        refused.stderr
    );
    let file = sandbox.bundle().join("config.json");
    fs::remove_file(&file).unwrap();
    sandbox.must(&["spec", "--rootless"]);
    // The schema has no nulls.
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("null"), "{text}");
    fs::remove_file(&file).unwrap();
    sandbox.must(&["spec", "--bundle", sandbox.bundle().to_str().unwrap()]);
    let text = fs::read_to_string(sandbox.bundle().join("config.json")).unwrap();
    sandbox.config = serde_json::from_str(&text).unwrap();
    assert_eq!(sandbox.config["process"]["args"], json!(["sh"]));
    assert_eq!(sandbox.config["process"]["terminal"], true);
    sandbox.config["process"]["terminal"] = json!(false);
    sandbox.config["process"]["env"] = json!(["PATH=/bin"]);
    sandbox.config["process"]["args"] = json!(["true"]);
    sandbox.write_config();
    let ran = sandbox.windlass(&["run", "ID"]);
    assert_eq!((ran.code(), ran.stderr.as_str()), (0, ""));
    sandbox.assert_clean("run");
}

#[test]
fn errors_go_to_the_log_in_its_format() {
    let sandbox = Sandbox::new("log");
    let log = sandbox.directory().join("log.json");
    let shown = log.to_str().unwrap();
    let failed = sandbox.windlass(&["--log", shown, "--log-format", "json", "state", "ID"]);
    assert_eq!(failed.code(), 1);
    assert_eq!(failed.stderr, "container does not exist\n");
    let line: Value = serde_json::from_str(&fs::read_to_string(&log).unwrap()).unwrap();
    assert_eq!(line["level"], "error");
    assert_eq!(line["msg"], "container does not exist");
    assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
}

/// In a user namespace another process makes the container's, which may speak before that one does.
#[test]
fn debug_messages_may_come_before_the_news_of_the_birth() {
    let mut sandbox = Sandbox::new("earlyword");
    sandbox.map_ids();
    sandbox.script("sleep 1000");
    sandbox.must(&["run", "-d", "ID"]);
    for _ in 0..20 {
        sandbox.must(&["--debug", "exec", "ID", "true"]);
    }
    sandbox.must(&["delete", "--force", "ID"]);
}
