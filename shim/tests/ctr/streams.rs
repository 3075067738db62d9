//! A container's streams: by fifo through `ctr`, into files, into logging programs.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::daemon::Containerd;
use crate::harness::{assert_same, eventually, finish, pattern};

/// More than all pipes on the way hold.
const MUCH: usize = 3 << 20;

#[test]
fn bytes_come_through_unchanged_in_both_directions() {
    let Some(containerd) = Containerd::start() else {
        return;
    };
    let mut command = containerd.run_command(&["--rm"], "c0", "cat");
    let mut ctr = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("ctr starts");
    let bytes = pattern(MUCH, 7);
    let mut stdin = ctr.stdin.take().expect("a pipe");
    let mut stdout = ctr.stdout.take().expect("a pipe");
    let mut got = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            stdin.write_all(&bytes).expect("cat reads");
            drop(stdin);
        });
        stdout.read_to_end(&mut got).expect("cat writes");
    });
    assert!(ctr.wait().expect("ctr ends").success());
    assert_same(&got, &bytes, "what cat wrote");
    containerd.assert_idle();
}

#[test]
fn all_that_a_container_wrote_before_its_end_arrives() {
    let Some(containerd) = Containerd::start() else {
        return;
    };
    let bytes = pattern(MUCH, 9);
    fs::write(containerd.rootfs().join("bytes"), &bytes).expect("a file");
    for _ in 0..3 {
        let mut command = containerd.run_command(&["--rm"], &containerd.new_id(), "cat /bytes");
        let output = command.stdin(Stdio::null()).output().expect("ctr starts");
        assert_same(&output.stdout, &bytes, "what ctr printed");
    }
    let id = containerd.run_detached(&[], "sleep 1000");
    let mut command = containerd.ctr_command(&["task", "exec", "--exec-id", "e", &id]);
    let output = command
        .args(["cat", "/bytes"])
        .stdin(Stdio::null())
        .output()
        .expect("ctr starts");
    assert_same(&output.stdout, &bytes, "what the exec wrote");
    containerd.remove(&id);
    containerd.assert_idle();
}

#[test]
fn a_file_takes_the_output_of_whoever_is_not_looked_at() {
    let Some(containerd) = Containerd::start() else {
        return;
    };
    let log = containerd.place.path().join("logs/new/c0.log");
    let uri = format!("file://{}", log.display());
    let script = "cat /bytes; exec >&-; sleep 0.2; echo two >&2; exit 4";
    let bytes = pattern(MUCH, 11);
    fs::write(containerd.rootfs().join("bytes"), &bytes).expect("a file");
    let id = containerd.run_detached(&["--log-uri", &uri], script);
    eventually("the task has ended", || containerd.status(&id) == "STOPPED");
    let said = containerd.ctr(&["task", "rm", &id]).stderr;
    assert!(said.contains("exit code 4\""), "{said}");
    let expected = [bytes.as_slice(), b"two\n"].concat();
    assert_same(&fs::read(&log).expect("the log"), &expected, "the log");
    containerd.remove(&id);
    containerd.assert_idle();
}

#[test]
fn a_logging_program_takes_output_and_is_waited_for() {
    let Some(containerd) = Containerd::start() else {
        return;
    };
    let at = containerd.place.path();
    let logger = at.join("logger");
    let program = |script: &str| {
        fs::write(
            &logger,
            format!("#!/bin/sh\ncd {}\n{script}\n", at.display()),
        )
        .expect("a file");
        fs::set_permissions(&logger, fs::Permissions::from_mode(0o755)).expect("chmod");
    };
    let uri = format!("binary://{}?--key=value", logger.display());
    let bytes = pattern(MUCH, 13);
    fs::write(containerd.rootfs().join("bytes"), &bytes).expect("a file");
    program(
        "echo $CONTAINER_NAMESPACE/$CONTAINER_ID $* >who; printf x >&5; exec 5>&-
         /bin/cat <&4 >err & /bin/cat <&3 >out; wait; echo done >>who",
    );
    let id = containerd.run_detached(&["--log-uri", &uri], "cat /bytes; echo err >&2; exit 4");
    eventually("the task has ended", || containerd.status(&id) == "STOPPED");
    containerd.remove(&id);
    let read = |name: &str| fs::read(at.join(name)).expect("what the logger wrote");
    assert_same(&read("out"), &bytes, "standard output");
    assert_eq!(read("err"), b"err\n");
    let who = format!("{}/{id} --key value\ndone\n", containerd.namespace);
    assert_eq!(String::from_utf8_lossy(&read("who")), who);

    if containerd.is_ours {
        program("exit 1");
        let mut command = containerd.run_command(&["-d", "--log-uri", &uri], "c9", "true");
        let said = finish(command.stdin(Stdio::null()));
        assert_ne!(said.status, 0);
        assert!(
            said.stderr.contains("without saying that it is ready"),
            "{}",
            said.stderr
        );
        containerd.assert_gone("c9");
    }
    containerd.assert_idle();
}

#[test]
fn a_container_whose_output_nobody_reads_waits_and_can_be_killed() {
    let Some(containerd) = Containerd::start() else {
        return;
    };
    let mut command = containerd.run_command(&["--rm"], "c0", "while :; do echo much; done");
    // Nobody reads this pipe, so ctr stops reading the fifo.
    let mut ctr = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ctr starts");
    eventually("the task runs", || containerd.status("c0") == "RUNNING");
    std::thread::sleep(std::time::Duration::from_millis(300));
    let shim = containerd.shims()[0];
    let ticks = || {
        let stat = fs::read_to_string(format!("/proc/{shim}/stat")).expect("the shim's stat");
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .expect("fields")
            .split(' ')
            .collect();
        let number = |index: usize| fields[index].parse::<u64>().expect("a number");
        number(12) + number(13)
    };
    let before = ticks();
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(ticks() - before <= 1, "the shim is busy waiting");
    containerd.ask(&["task", "kill", "--signal", "KILL", "c0"]);
    drop(ctr.stdout.take());
    assert_eq!(ctr.wait().expect("ctr ends").code(), Some(137));
    containerd.assert_gone("c0");
    containerd.assert_idle();
}
