//! `--exec`, as podman and CRI-O use it: beside a container, with or without somebody attached.

use std::fs;
use std::time::Duration;

use crate::caller::{Attached, Caller, Program, Started};
use crate::harness::{assert_same, eventually, pattern};

/// A running container; the supervisor of the exec is to be found in the pid file afterwards.
fn running(program: Program) -> Caller {
    let caller = Caller::new(program, "sleep 1000");
    drop(caller.run(&[]));
    fs::create_dir(caller.place("exec")).unwrap();
    fs::create_dir(caller.place("exec-exits")).unwrap();
    caller
}

fn options<'a>(caller: &Caller, process: &'a str, more: &[&'a str]) -> Vec<String> {
    let mut options: Vec<String> = ["-e", "--exec-process-spec", process]
        .map(String::from)
        .into();
    options.extend([
        "-b".into(),
        caller.text("exec"),
        "-p".into(),
        caller.text("exec.pid"),
    ]);
    options.extend(["-l".into(), format!("k8s-file:{}", caller.text("exec.log"))]);
    options.extend(["--exit-dir".into(), caller.text("exec-exits")]);
    options.extend(more.iter().map(ToString::to_string));
    options
}

fn exec(caller: &Caller, process: &str, more: &[&str], waits: bool) -> Started {
    let options = options(caller, process, more);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    caller.begin(&options, waits)
}

for_both! {
    fn pid_and_status_come_through_the_sync_pipe(program: Program) {
        let caller = running(program);
        let process = caller.process("echo hello; exit 3", false);
        let mut started = exec(&caller, &process, &[], false);
        caller.note_supervisor();
        let pid = started.said()["data"].as_u64().unwrap();
        assert_eq!(fs::read_to_string(caller.place("exec.pid")).unwrap(), pid.to_string());
        assert_eq!(started.rest(), "{\"data\": 3}\n");
        let log = fs::read(caller.place("exec.log")).unwrap();
        assert_eq!(crate::caller::logged(&log, "stdout"), b"hello\n");
        let status = fs::read_to_string(caller.place("exec-exits").join(&caller.id)).unwrap();
        assert_eq!(status, "3");
    }

    fn before_api_version_1_only_the_status_comes(program: Program) {
        let caller = running(program);
        let process = caller.process("exit 4", false);
        let runtime = fs::canonicalize(crate::harness::which(&caller.shim.runtime)).unwrap();
        let mut command = caller.bare(&["--cid", &caller.id, "--exec", "-l", "none"]);
        command.arg("--runtime").arg(runtime);
        command.args(["--exec-process-spec", &process, "-p", &caller.text("exec.pid")]);
        command.args(["--runtime-arg=--root", "--runtime-arg", &caller.text("state")]);
        let mut started = Started::begin(command, &[], false);
        assert_eq!(started.rest(), "{\"exit_code\": 4}\n");
    }

    fn an_exec_that_somebody_attaches_to_begins_when_they_are_there(program: Program) {
        let caller = running(program);
        let process = caller.process("echo first; cat; exit 5", false);
        let mut started = exec(&caller, &process, &["--exec-attach", "-i"], true);
        started.go();
        assert_eq!(started.attachable()["data"], 0);
        caller.note_supervisor();
        let client = Attached::connect(&caller.place("exec/attach"));
        assert!(started.is_silent(Duration::from_millis(150)), "it waits for the second word");
        started.go();
        assert!(started.said()["data"].as_i64().unwrap() > 0);
        client.send(b"second\n");
        client.end_input();
        assert_eq!(client.rest()[0], b"first\nsecond\n");
        assert_eq!(started.rest(), "{\"data\": 5}\n");
    }

    fn an_exec_with_a_terminal_can_be_attached_to(program: Program) {
        let caller = running(program);
        let process = caller.process("tty; sleep 0.1; stty size; read line; echo $line; exit 6", true);
        // conmon 2.1 passes --tty to the runtime as well.
        let mut started = exec(&caller, &process, &["--exec-attach", "-t"], true);
        started.go();
        started.attachable();
        caller.note_supervisor();
        let client = Attached::connect(&caller.place("exec/attach"));
        crate::caller::write_line(&caller.place("exec/ctl"), "1 33 44");
        started.go();
        assert!(started.said()["data"].as_i64().unwrap() > 0);
        client.await_text("/dev/pts/0\r\n");
        client.await_text("33 44\r\n");
        client.send(b"hello\n");
        client.await_text("hello\r\n");
        client.rest();
        assert_eq!(started.rest(), "{\"data\": 6}\n");
    }

    /// The output of a command that ends at once, whichever is heard of first.
    fn a_short_exec_loses_nothing(program: Program) {
        let caller = running(program);
        let sent = pattern(256 * 1024, 6);
        fs::write(caller.shim.rootfs().join("pattern"), &sent).unwrap();
        let process = caller.process("cat /pattern", false);
        for _ in 0..10 {
            let mut started = exec(&caller, &process, &["--exec-attach"], true);
            started.go();
            started.attachable();
            let client = Attached::connect(&caller.place("exec/attach"));
            started.go();
            assert_same(&client.rest()[0], &sent, "what the client got");
            assert!(started.said()["data"].as_i64().unwrap() > 0);
            assert_eq!(started.rest(), "{\"data\": 0}\n");
        }
    }

    fn an_exec_that_can_t_begin_says_why(program: Program) {
        let caller = running(program);
        let process = caller.process("", false);
        let text = fs::read_to_string(&process).unwrap().replace("\"sh\"", "\"/no/such\"");
        fs::write(&process, text).unwrap();
        let mut started = exec(&caller, &process, &[], false);
        let said = started.said();
        assert_eq!(said["data"], -1, "{said}");
        assert!(said["message"].as_str().unwrap().contains("no such file"), "{said}");
    }

    fn an_exec_that_takes_too_long_is_killed_with_its_children(program: Program) {
        let caller = running(program);
        let process = caller.process("sleep 1234 & sleep 1234", false);
        let mut started = exec(&caller, &process, &["-T", "1"], false);
        caller.note_supervisor();
        assert!(started.said()["data"].as_i64().unwrap() > 0);
        let said = started.said();
        assert_eq!((&said["data"], &said["message"]), (&(-1).into(), &"command timed out".into()));
        eventually("the processes are gone", || {
            let pids = caller.runtime(&["ps", "--format", "json", &caller.id]).stdout;
            pids.split(',').count() == 1
        });
    }

    fn an_exec_that_is_to_be_attached_to_needs_its_pipe(program: Program) {
        let caller = running(program);
        let process = caller.process("true", false);
        let options = options(&caller, &process, &["--exec-attach", "--sync"]);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let said = crate::harness::finish(&mut caller.command(&options));
        assert_eq!(said.status, 1);
        assert!(said.stderr.contains("--attach specified but _OCI_ATTACHPIPE was not"), "{said:?}");
    }
}
