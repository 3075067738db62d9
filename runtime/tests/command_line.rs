//! The command line as callers of runc know it: help, misuse, logs, and what `ps` prints.
//!
//! Needs root, busybox-static and procps.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::fs;
use std::io::{Read as _, Seek as _};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use harness::{Sandbox, WINDLASS, finish, wait_until};
use serde_json::{Value, json};

const VERBS: &[&str] = &[
    "create", "delete", "exec", "explain", "features", "kill", "list", "ps", "run", "spec",
    "start", "state",
];

/// The runtime under another name.
fn called(name: &str, arguments: &[&str]) -> harness::Finished {
    finish(Command::new(WINDLASS).arg0(name).args(arguments))
}

#[test]
fn help_begins_with_the_name_that_it_was_called_by() {
    for arguments in [&["-h"][..], &["--help"], &["help"], &[]] {
        let help = called("/usr/bin/runc", arguments);
        assert_eq!(help.code(), 0, "{arguments:?}");
        let begins = "NAME:\n   runc - Open Container Initiative runtime\n\nUSAGE:\n   runc ";
        assert!(help.stdout.starts_with(begins), "{}", help.stdout);
        for verb in VERBS {
            let found = help.stdout.contains(&format!("\n   {verb} "));
            assert!(found, "no {verb} in {}", help.stdout);
        }
    }
    for verb in VERBS {
        for arguments in [[verb, "-h"], [verb, "--help"], ["help", verb], ["h", verb]] {
            let help = called("runc", &arguments);
            assert_eq!(help.code(), 0, "{arguments:?}");
            let begins = format!("NAME:\n   runc {verb} - ");
            assert!(help.stdout.starts_with(&begins), "{}", help.stdout);
        }
    }
    let version = called("runc", &["-v"]);
    let lines: Vec<&str> = version.stdout.lines().collect();
    assert!(lines[0].starts_with("runc version "), "{lines:?}");
    assert!(lines[1].starts_with("commit: "), "{lines:?}");
    assert!(lines[2].starts_with("spec: 1."), "{lines:?}");
}

#[test]
fn what_is_not_understood_is_said_as_runc_says_it() {
    for (arguments, status, line) in [
        (&["foo"][..], 3, "No help topic for 'foo'"),
        (&["help", "foo"], 3, "No help topic for 'foo'"),
        (&["foo", "-h"], 1, "No help topic for 'foo'"),
        (
            &["create"],
            1,
            r#"runc: \"create\" requires exactly 1 argument(s)"#,
        ),
        (
            &["kill"],
            1,
            r#"runc: \"kill\" requires a minimum of 1 argument(s)"#,
        ),
        (
            &["kill", "a", "b", "c"],
            1,
            r#"\"kill\" requires a maximum of 2 argument(s)"#,
        ),
        (
            &["list", "x"],
            1,
            r#"runc: \"list\" requires exactly 0 argument(s)"#,
        ),
        (&["--nope"], 1, "flag provided but not defined: -nope"),
        (
            &["create", "--nope", "c"],
            1,
            "flag provided but not defined: -nope",
        ),
        (
            &["create", "--pid-file"],
            1,
            "flag needs an argument: --pid-file",
        ),
        (
            &["--root", "/", "list"],
            1,
            "Option --root argument should not be set to /",
        ),
        (
            &["--root=", "list"],
            1,
            "Option --root argument should not be set to /",
        ),
        (
            &["--root", "/..//.", "list"],
            1,
            "Option --root argument should not be set to /",
        ),
        (
            &["--log-format", "xml", "list"],
            1,
            "invalid log-format: xml",
        ),
        (
            &["--log-level", "loud", "list"],
            1,
            "invalid log-level: loud",
        ),
    ] {
        let failed = called("runc", arguments);
        assert_eq!(failed.code(), status, "{arguments:?}");
        let last = failed.stderr.lines().last().unwrap();
        let expected = "level=error msg=\"";
        assert!(
            last.contains(expected) && last.contains(line),
            "{arguments:?}: {last}"
        );
        let misused = failed.stdout.contains("USAGE:\n   runc ");
        let is_misuse =
            line.contains("argument") && !line.contains("--root") || line.contains("flag");
        assert_eq!(misused, is_misuse, "{arguments:?}: {}", failed.stdout);
        let said = format!("{}{}", failed.stdout, failed.stderr);
        assert_eq!(
            said.contains("Incorrect Usage"),
            is_misuse,
            "{arguments:?}: {said}"
        );
    }
}

#[test]
fn the_hosts_logs_are_written_in_their_own_forms() {
    let sandbox = Sandbox::new("host-log");
    let directory = sandbox.directory();
    let listen = |name: &str| {
        let socket = UnixDatagram::bind(directory.join(name)).unwrap();
        socket
            .set_read_timeout(Some(std::time::Duration::from_secs(5)))
            .unwrap();
        socket
    };
    let heard = |socket: &UnixDatagram| {
        let mut datagram = [0; 4096];
        let length = socket.recv(&mut datagram).unwrap();
        String::from_utf8_lossy(&datagram[..length]).into_owned()
    };
    let (journal, syslog) = (listen("socket"), listen("log"));
    let failing = |place: &str, target: &str| {
        // In a mount namespace of its own our sockets are where the host's are.
        let script = "mount -t tmpfs tmpfs /run && mkdir -p \"$1\" && mount --bind \"$2\" \"$1\" && \
                      shift 2 && exec \"$@\"";
        let failed = Command::new("unshare")
            .args(["--mount", "sh", "-c", script, "sh", place])
            .arg(directory)
            .arg(WINDLASS)
            .args(["--root", "/run/none", "--log", target, "state", "nobody"])
            .output()
            .unwrap();
        assert_eq!(failed.status.code(), Some(1));
        String::from_utf8(failed.stderr).unwrap()
    };
    let said = failing("/run/systemd/journal", "journald:me");
    assert_eq!(said, "container does not exist\n");
    assert_eq!(
        heard(&journal),
        "PRIORITY=3\nSYSLOG_IDENTIFIER=me\nMESSAGE\n\u{18}\0\0\0\0\0\0\0container does not exist\n"
    );
    let said = failing("/dev", "syslog:");
    assert_eq!(said, "container does not exist\n");
    let line = heard(&syslog);
    assert!(
        line.starts_with("<11>windlass[") && line.ends_with("]: container does not exist"),
        "{line}"
    );
    // Where nobody listens.
    let said = failing("/run/elsewhere", "journald:me");
    assert!(
        said.contains("connect(/run/systemd/journal/socket)"),
        "{said}"
    );
}

#[test]
fn a_level_keeps_lesser_messages_out_of_the_log() {
    let mut sandbox = Sandbox::new("log-level");
    sandbox.script("true");
    let log = sandbox.directory().join("log");
    let target = format!("file:{}", log.display());
    for (level, debug) in [("error", false), ("warning", false), ("debug", true)] {
        let global = ["--log", &target, "--log-level", level];
        sandbox.must(&[&global[..], &["run", "ID"]].concat());
        let written = fs::read_to_string(&log).unwrap_or_default();
        assert_eq!(written.contains("level=debug"), debug, "{level}: {written}");
        sandbox.windlass(&[&global[..], &["state", "ID"]].concat());
        let written = fs::read_to_string(&log).unwrap();
        assert!(written.contains("level=error"), "{level}: {written}");
        fs::remove_file(&log).unwrap();
    }
}

#[test]
fn debug_messages_go_to_the_log_alone() {
    let mut sandbox = Sandbox::new("debug");
    sandbox.script("echo hello");
    let of_run = [
        "runc exeseal: using /proc/self/exe clone",
        "nsexec container setup",
        "child process in init()",
        "init: closing the pipe to signal completion",
    ];
    let ran = sandbox.must(&["--debug", "run", "ID"]);
    for message in of_run {
        let line = ran.stderr.lines().find(|line| line.contains(message));
        let line = line.unwrap_or_else(|| panic!("no {message} in {}", ran.stderr));
        assert!(line.contains("level=debug"), "{line}");
    }
    let log = sandbox.directory().join("log");
    let to_log = [
        "--log",
        log.to_str().unwrap(),
        "--log-format=json",
        "--debug",
    ];
    let ran = sandbox.must(&[&to_log[..], &["run", "ID"]].concat());
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("hello\n", ""));
    let written = fs::read_to_string(&log).unwrap();
    for message in of_run {
        let found = written.lines().any(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["level"] == "debug" && line["msg"].as_str().unwrap().contains(message)
        });
        assert!(found, "no {message} in {written}");
    }
    sandbox.script("sleep 1000");
    let created = sandbox.must(&["--debug", "create", "ID"]);
    assert!(created.stderr.contains(of_run[3]), "{}", created.stderr);
    sandbox.must(&["start", "ID"]);
    let executed = sandbox.must(&["--debug", "exec", "ID", "true"]);
    let last_words = "setns_init: about to exec";
    assert!(executed.stderr.contains(last_words), "{}", executed.stderr);
    let first = r#"{"args":["/bin/busybox","true"],"cwd":"/","execCPUAffinity":{"initial":"0"}}"#;
    let process = sandbox.directory().join("process.json");
    fs::write(&process, first).unwrap();
    let process = process.to_str().unwrap();
    let executed = sandbox.must(&["--debug", "exec", "-p", process, "ID"]);
    let affinity = "nsexec: affinity: 0x1";
    assert!(executed.stderr.contains(affinity), "{}", executed.stderr);
    let quiet = sandbox.must(&["--debug=false", "exec", "ID", "true"]);
    assert_eq!(quiet.stderr, "");
    sandbox.must(&["delete", "-f", "ID"]);
    sandbox.assert_clean("delete");
}

#[test]
fn ps_lists_the_containers_processes_alone() {
    let mut sandbox = Sandbox::new("ps");
    sandbox.script("sleep 1234 & sleep 4321 & wait");
    sandbox.must(&["run", "-d", "ID"]);
    let ids = || -> Vec<i64> {
        let listed = sandbox.must(&["ps", "--format", "json", "ID"]).stdout;
        serde_json::from_str(&listed).unwrap()
    };
    wait_until("three processes", || ids().len() == 3);
    assert!(ids().contains(&sandbox.pid().into()));
    for arguments in [
        &["ps", "ID"][..],
        &["ps", "-f", "table", "ID", "-e", "-o", "pid,args"],
    ] {
        let listed = sandbox.must(arguments).stdout;
        let lines: Vec<&str> = listed.lines().collect();
        assert!(lines[0].contains("PID"), "{listed}");
        assert_eq!(lines.len(), 4, "{listed}");
        assert!(
            listed.contains("sleep 1234") && listed.contains("sleep 4321"),
            "{listed}"
        );
    }
    let failed = sandbox.windlass(&["ps", "ID", "-o", "args"]);
    assert!(
        failed.error_line().contains("couldn't find PID field"),
        "{}",
        failed.stderr
    );
    let failed = sandbox.windlass(&["ps", "-f", "xml", "ID"]);
    assert!(
        failed.error_line().contains("invalid format option"),
        "{}",
        failed.stderr
    );
    sandbox.must(&["kill", "ID", "KILL"]);
    sandbox.wait_for_status("stopped");
    assert_eq!(sandbox.must(&["ps", "ID"]).stdout.lines().count(), 1);
    assert_eq!(sandbox.must(&["ps", "-f=json", "ID"]).stdout, "[]\n");
    sandbox.must(&["delete", "ID"]);
}

#[test]
fn options_may_follow_the_id_and_the_verb() {
    let mut sandbox = Sandbox::new("order");
    sandbox.config["process"]["args"] = json!(["sh", "-c", "exit 4"]);
    sandbox.write_config();
    let bundle = sandbox.bundle();
    let bundle = bundle.to_str().unwrap();
    for arguments in [
        &["run", "ID", "-b", bundle][..],
        &["run", "-bundle", bundle, "ID"],
        &["run", "--bundle=/nowhere", "-b", bundle, "--debug=0", "ID"],
    ] {
        assert_eq!(sandbox.windlass(arguments).code(), 4, "{arguments:?}");
    }
    let root = sandbox.state_root();
    let listed = finish(
        Command::new(WINDLASS)
            .args(["list", "-q", "--root"])
            .arg(root),
    );
    assert_eq!((listed.code(), listed.stdout.as_str()), (0, ""));
}

#[test]
fn containers_are_deleted_by_a_regular_expression() {
    let mut sandbox = Sandbox::new("regex");
    // A cgroup for each, then.
    let linux = sandbox.config["linux"].as_object_mut().unwrap();
    linux.remove("cgroupsPath");
    sandbox.write_config();
    for name in ["web-1", "web-2", "db-1"] {
        sandbox.must(&["create", &format!("{}.{name}", sandbox.id)]);
    }
    let pattern = format!("^{}\\.web-[0-9]+$", sandbox.id);
    sandbox.must(&["delete", "--regex", "--force", &pattern]);
    let left = sandbox.must(&["list", "-q"]).stdout;
    assert_eq!(left, format!("{}.db-1\n", sandbox.id));
    sandbox.must(&["delete", "--regex", "nothing matches this"]);
    let failed = sandbox.windlass(&["delete", "--regex", "("]);
    let line = failed.error_line();
    assert!(line.contains("is no regular expression"), "{line}");
    sandbox.must(&["delete", "--force", "--regex", "."]);
    sandbox.assert_clean("delete");
}

#[test]
fn readiness_is_passed_on_to_systemd() {
    let mut sandbox = Sandbox::new("notify");
    sandbox.script("echo $NOTIFY_SOCKET; ls /run/notify; sleep 1000");
    let host = sandbox.directory().join("host.sock");
    let systemd = UnixDatagram::bind(&host).unwrap();
    systemd.set_read_timeout(Some(harness::PATIENCE)).unwrap();
    let inside = sandbox.state_directory().join("notify/notify.sock");
    let heard = || -> String {
        let mut message = [0_u8; 100];
        let length = systemd.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    let say_ready = || {
        wait_until("the socket", || inside.exists());
        let program = UnixDatagram::unbound().unwrap();
        program.send_to(b"STATUS=not yet", &inside).unwrap();
        program.send_to(b"STATUS=now\nREADY=1\n", &inside).unwrap();
    };
    for verbs in [&["run -d ID"][..], &["create ID", "start ID"]] {
        let (last, before) = verbs.split_last().unwrap();
        let command = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let mut command = sandbox.command(&words);
            command.env("NOTIFY_SOCKET", &host);
            command
        };
        for line in before {
            assert_eq!(finish(&mut command(line)).code(), 0);
        }
        let mut output = tempfile::tempfile().unwrap();
        let mut last = command(last);
        last.stdout(output.try_clone().unwrap());
        let mut child = last.spawn().unwrap();
        say_ready();
        assert_eq!(heard(), "READY=1\n");
        assert_eq!(heard(), format!("MAINPID={}\n", sandbox.pid()));
        assert_eq!(heard(), "BARRIER=1");
        assert_eq!(harness::wait_for(&mut child).code(), Some(0));
        if before.is_empty() {
            // The program has not been waited for.
            wait_until("what the program sees", || {
                let mut text = String::new();
                output.rewind().unwrap();
                output.read_to_string(&mut text).unwrap();
                text == "/run/notify/notify.sock\nnotify.sock\n"
            });
        }
        sandbox.must(&["delete", "-f", "ID"]);
    }
    // In the foreground it is us whom systemd watches.
    let mut run = sandbox.command(&["run", "ID"]);
    let mut child = run
        .env("NOTIFY_SOCKET", &host)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    say_ready();
    assert_eq!(heard(), "READY=1\n");
    assert_eq!(heard(), format!("MAINPID={}\n", child.id()));
    sandbox.must(&["kill", "ID", "KILL"]);
    assert_eq!(harness::wait_for(&mut child).code(), Some(137));
    sandbox.assert_clean("run");
}
