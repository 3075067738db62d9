//! `exec`: one more process in a container, and what the command line says of it.
//!
//! Needs root and busybox-static.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::path::Path;

use harness::{Sandbox, finish, wait_until};
use serde_json::json;

#[test]
fn exec_gives_the_status_of_its_process() {
    let sandbox = Sandbox::new("exec");
    sandbox.must(&["run", "-d", "ID"]);
    for (script, status) in [("exit 0", 0), ("exit 9", 9), ("kill -KILL $$", 137)] {
        let ran = sandbox.windlass(&["exec", "ID", "sh", "-c", script]);
        assert_eq!((ran.code(), ran.stderr.as_str()), (status, ""), "{script}");
    }
    for (arguments, words) in [
        (
            &["exec", "ID", "missing"][..],
            "executable file not found in $PATH",
        ),
        (&["exec", "ID", "/bin/missing"], "no such file or directory"),
        (&["exec", "--pid-file", "no/pid", "ID", "true"], "no/pid"),
        (&["exec", "nobody", "true"], "container does not exist"),
        (&["exec", "--user", "root", "ID", "true"], "--user"),
        (&["exec", "--cwd", "/missing", "ID", "true"], "/missing"),
    ] {
        let failed = sandbox.windlass(arguments);
        assert_eq!(failed.code(), 255, "{arguments:?}");
        let line = failed.error_line();
        assert!(
            line.contains("exec failed: ") && line.contains(words),
            "{line}"
        );
    }
    let inside = sandbox.must(&[
        "exec",
        "ID",
        "sh",
        "-c",
        "hostname; echo $$; cat /proc/1/comm",
    ]);
    let lines: Vec<&str> = inside.stdout.lines().collect();
    assert_eq!(
        (lines[0], lines[2]),
        ("windlass", "sleep"),
        "{}",
        inside.stdout
    );
    sandbox.must(&["delete", "-f", "ID"]);
    sandbox.assert_clean("delete");
}

#[test]
fn exec_takes_what_the_command_line_says() {
    let sandbox = Sandbox::new("options");
    sandbox.must(&["create", "ID"]);
    let ran = |arguments: &[&str]| sandbox.must(arguments).stdout;
    let script = "pwd; id -u; id -g; id -G; echo $A,$B,$HOME";
    let all = ran(&[
        "exec",
        "--cwd",
        "/tmp",
        "-u",
        "1000:1001",
        "-g",
        "50",
        "-g",
        "60",
        "-e",
        "A=1",
        "--env",
        "B=2",
        "ID",
        "sh",
        "-c",
        script,
    ]);
    assert_eq!(all, "/tmp\n1000\n1001\n1001 50 60\n1,2,/\n");
    assert_eq!(ran(&["exec", "-u", "7", "ID", "id", "-g"]), "0\n");
    assert_eq!(
        ran(&["exec", "-e", "PATH=/x", "ID", "/bin/env"]),
        "PATH=/x\nHOME=/root\n"
    );

    let sets = |arguments: &[&str]| -> Vec<u64> {
        let text = ran(arguments);
        let value = |line: &str| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok();
        text.lines()
            .filter(|line| line.starts_with("Cap"))
            .filter_map(value)
            .collect()
    };
    let plain = sets(&["exec", "ID", "cat", "/proc/self/status"]);
    let more = sets(&[
        "exec",
        "--cap",
        "CAP_CHOWN",
        "ID",
        "cat",
        "/proc/self/status",
    ]);
    // Inheritable, permitted, effective, bounding, ambient (proc_pid_status(5)).
    assert_eq!(plain[0], 0);
    assert_eq!(more, [0, plain[1] | 1, plain[2] | 1, plain[3] | 1, 0]);

    let none = ran(&["exec", "ID", "cat", "/proc/self/status"]);
    assert!(none.contains("NoNewPrivs:\t1"), "{none}");
    sandbox.must(&["delete", "-f", "ID"]);
}

#[test]
fn exec_sets_no_new_privileges_when_asked() {
    let mut sandbox = Sandbox::new("nnp");
    sandbox.config["process"]["noNewPrivileges"] = json!(false);
    sandbox.write_config();
    sandbox.must(&["run", "-d", "ID"]);
    for (option, words) in [
        (None, "NoNewPrivs:\t0"),
        (Some("--no-new-privs"), "NoNewPrivs:\t1"),
    ] {
        let mut arguments = vec!["exec"];
        arguments.extend(option);
        arguments.extend(["ID", "cat", "/proc/self/status"]);
        let status = sandbox.must(&arguments).stdout;
        assert!(status.contains(words), "{option:?}: {status}");
    }
}

#[test]
fn exec_takes_a_process_from_a_file() {
    let sandbox = Sandbox::new("process");
    sandbox.must(&["run", "-d", "ID"]);
    let file = sandbox.directory().join("process.json");
    let process = json!({
        "user": { "uid": 5, "gid": 6, "additionalGids": [7], "umask": 0o077 },
        "args": ["/bin/sh", "-c", "id -u; id -G; pwd; umask; echo $ONLY,$HOME"],
        "env": ["ONLY=this"],
        "cwd": "/tmp",
    });
    fs::write(&file, process.to_string()).unwrap();
    let ran = sandbox.must(&["exec", "--process", file.to_str().unwrap(), "ID"]);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines[..4], ["5", "6 7", "/tmp", "0077"]);
    assert_eq!(lines[4], "this,/");

    for (text, words) in [
        (r#"{"args":["a"],"cwd":"x"}"#, "/cwd"),
        (r#"{"args":"a"}"#, "/args"),
        ("{", "process.json"),
    ] {
        fs::write(&file, text).unwrap();
        let failed = sandbox.windlass(&["exec", "-p", file.to_str().unwrap(), "ID"]);
        assert_eq!(failed.code(), 255);
        assert!(
            failed.error_line().contains(words),
            "{text}: {}",
            failed.stderr
        );
    }
    let failed = sandbox.windlass(&["exec", "-p", "/no/such/file", "ID"]);
    assert_eq!(failed.code(), 255);
    assert!(
        failed.error_line().contains("/no/such/file"),
        "{}",
        failed.stderr
    );
    let failed = sandbox.windlass(&["exec", "ID"]);
    assert_eq!(failed.code(), 255);
    failed.error_line();
}

#[test]
fn exec_detached_leaves_its_process() {
    let sandbox = Sandbox::new("execd");
    sandbox.must(&["run", "-d", "ID"]);
    sandbox.must(&["exec", "-d", "--pid-file", "pid", "ID", "sleep", "1000"]);
    let pid = fs::read_to_string(sandbox.bundle().join("pid")).unwrap();
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
    assert_eq!(name, "sleep\n");
    sandbox.must(&["delete", "--force", "ID"]);
    wait_until("its end", || !Path::new(&format!("/proc/{pid}")).exists());
    sandbox.assert_clean("delete");
}

#[test]
fn preserved_descriptors_reach_the_program() {
    let mut sandbox = Sandbox::new("descriptors");
    sandbox.script("ls /proc/self/fd; cat <&3; cat <&4");
    let files: Vec<File> = ["three\n", "four\n"]
        .iter()
        .map(|text| {
            let path = sandbox.directory().join(text.trim());
            fs::write(&path, text).unwrap();
            File::open(path).unwrap()
        })
        .collect();
    let with_files = |sandbox: &Sandbox, arguments: &[&str]| {
        let mut command = sandbox.command(arguments);
        // Through numbers that nothing else has: 3 and 4 may be a file's own.
        for (file, number) in files.iter().zip([13, 14]) {
            harness::sys::pass_descriptor(&mut command, file.as_raw_fd(), number);
        }
        for number in [3, 4] {
            harness::sys::pass_descriptor(&mut command, number + 10, number);
        }
        for number in [13, 14] {
            harness::sys::close_descriptor(&mut command, number);
        }
        finish(&mut command)
    };
    // `ls` has one more of its own, for the directory.
    let ran = with_files(&sandbox, &["run", "--preserve-fds", "2", "ID"]);
    assert_eq!(
        ran.stdout, "0\n1\n2\n3\n4\n5\nthree\nfour\n",
        "{}",
        ran.stderr
    );
    sandbox.script("sleep 1000");
    sandbox.must(&["run", "-d", "ID"]);
    let ran = with_files(
        &sandbox,
        &["exec", "--preserve-fds=1", "ID", "ls", "/proc/self/fd"],
    );
    assert_eq!(ran.stdout, "0\n1\n2\n3\n4\n", "{}", ran.stderr);
    let ran = with_files(&sandbox, &["exec", "ID", "ls", "/proc/self/fd"]);
    assert_eq!(ran.stdout, "0\n1\n2\n3\n", "{}", ran.stderr);
}

#[test]
fn what_the_runtime_has_opened_itself_is_not_there_to_be_preserved() {
    let mut sandbox = Sandbox::new("own-descriptors");
    sandbox.script("sleep 1000");
    sandbox.must(&["run", "-d", "ID"]);
    // The first numbers are those that it uses itself.
    for count in ["1", "2", "3", "4", "40"] {
        for arguments in [
            &["exec", "--preserve-fds", count, "ID", "true"][..],
            &["run", "--preserve-fds", count, "other"],
        ] {
            let mut command = sandbox.command(arguments);
            for number in 3..8 {
                harness::sys::close_descriptor(&mut command, number);
            }
            let failed = finish(&mut command);
            let line = failed.error_line();
            assert!(line.contains("unable to preserve fd 3"), "{line}");
        }
    }
}
