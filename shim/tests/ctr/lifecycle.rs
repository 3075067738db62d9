//! What `ctr` has for containers: run, exec, pause, kill, metrics, events.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use crate::daemon::Containerd;
use crate::harness::{Owned, eventually, finish};

#[test]
fn a_container_runs_and_leaves_nothing() {
    let Some(containerd) = Containerd::start() else {
        return;
    };
    let said = containerd.run(&[], "echo out; echo err >&2; exit 3");
    assert_eq!(
        (said.status, said.stdout.as_str()),
        (3, "out\n"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("err\n"), "{}", said.stderr);
    containerd.assert_gone("c0");
    containerd.assert_idle();
}

#[test]
fn a_container_that_cannot_start_says_why_and_leaves_nothing() {
    let Some(containerd) = Containerd::start() else {
        return;
    };
    let mut command = containerd.ctr_command(&["run", "--rm", "--runtime", &containerd.runtime]);
    command
        .arg("--rootfs")
        .arg(containerd.rootfs())
        .args(["c0", "/no/such/program"]);
    let said = finish(command.stdin(Stdio::null()));
    assert_ne!(said.status, 0);
    assert!(said.stderr.contains("/no/such/program"), "{}", said.stderr);
    assert!(
        said.stderr.contains("no such file or directory"),
        "{}",
        said.stderr
    );
    containerd.assert_gone("c0");
    containerd.assert_idle();
}

#[test]
fn execs_run_beside_a_container_and_end_as_they_like() {
    let Some(containerd) = Containerd::start() else {
        return;
    };
    let id = containerd.run_detached(&[], "sleep 1000");
    let exec = |name: &str, script: &str| {
        containerd.ctr(&["task", "exec", "--exec-id", name, &id, "sh", "-c", script])
    };
    let said = exec("e1", "echo hello; echo $PATH >&2; exit 7");
    assert_eq!(
        (said.status, said.stdout.as_str()),
        (7, "hello\n"),
        "{}",
        said.stderr
    );
    assert_eq!(exec("e2", "kill -TERM $$; sleep 10").status, 143);
    assert_eq!(exec("e1", "exit 0").status, 0, "the name can be used again");
    let said = containerd.ctr(&["task", "exec", "--exec-id", "e3", &id, "/no/such"]);
    assert_ne!(said.status, 0);
    assert!(said.stderr.contains("/no/such"), "{}", said.stderr);
    let said = containerd.ctr(&[
        "task",
        "exec",
        "--detach",
        "--exec-id",
        "e4",
        &id,
        "sleep",
        "500",
    ]);
    assert_eq!(said.status, 0, "{}", said.stderr);
    let processes = containerd.ask(&["task", "ps", &id]);
    assert_eq!(processes.lines().count(), 3, "{processes}");
    assert!(processes.contains("e4"), "{processes}");
    containerd.ask(&["task", "kill", "--exec-id", "e4", "--signal", "KILL", &id]);
    eventually("the exec has ended", || {
        containerd.ask(&["task", "ps", &id]).lines().count() == 2
    });
    containerd.remove(&id);
    containerd.assert_idle();
}

#[test]
fn a_terminal_is_one_and_has_a_size() {
    let Some(containerd) = Containerd::start() else {
        return;
    };
    let run = containerd.run_command(
        &["--rm", "-t"],
        "c0",
        "tty; while size=$(stty size 2>&1); do case $size in *:*) sleep 0.1;; *) break;; esac; done; echo $size; exit 5",
    );
    let words: Vec<String> = std::iter::once(run.get_program())
        .chain(run.get_args())
        .map(|word| format!("'{}'", word.to_str().expect("UTF-8")))
        .collect();
    let mut script = Command::new("script");
    let line = format!("stty rows 33 cols 77; {}", words.join(" "));
    script.args(["-qec", &line, "/dev/null"]);
    let said = finish(script.stdin(Stdio::null()));
    assert_eq!(said.status, 5, "{} {}", said.stdout, said.stderr);
    assert!(said.stdout.contains("/dev/pts/0\r"), "{:?}", said.stdout);
    assert!(said.stdout.contains("33 77\r"), "{:?}", said.stdout);
    containerd.assert_gone("c0");
    containerd.assert_idle();
}

#[test]
fn pausing_killing_and_counting() {
    let Some(containerd) = Containerd::start() else {
        return;
    };
    let limit = ["--memory-limit", "67108864"];
    let id = containerd.run_detached(&limit, "trap 'exit 9' TERM; while :; do sleep 0.1; done");
    containerd.ask(&["task", "pause", &id]);
    assert_eq!(containerd.status(&id), "PAUSED");
    containerd.ask(&["task", "resume", &id]);
    assert_eq!(containerd.status(&id), "RUNNING");

    let metrics = containerd.metrics(&id);
    let on_v1 = metrics["memory"]["usage"].is_object();
    if on_v1 {
        assert_eq!(metrics["memory"]["usage"]["limit"], 67_108_864, "{metrics}");
        assert!(
            metrics["memory"]["usage"]["usage"].as_u64() > Some(0),
            "{metrics}"
        );
        assert!(
            metrics["cpu"]["usage"]["total"].as_u64() > Some(0),
            "{metrics}"
        );
    } else {
        assert_eq!(metrics["memory"]["usage_limit"], 67_108_864, "{metrics}");
        assert!(metrics["memory"]["usage"].as_u64() > Some(0), "{metrics}");
        assert!(metrics["cpu"]["usage_usec"].as_u64() > Some(0), "{metrics}");
    }
    assert!(metrics["pids"]["current"].as_u64() > Some(0), "{metrics}");

    containerd.ask(&["task", "kill", &id]);
    eventually("the task has ended", || containerd.status(&id) == "STOPPED");
    containerd.remove(&id);
    containerd.assert_idle();
}

#[test]
fn events_come_in_their_order() {
    let Some(containerd) = Containerd::start() else {
        return;
    };
    let mut events = Events::of(&containerd);
    let memory = ["--memory-limit", "16777216"];
    let id = containerd.run_detached(&memory, "sleep 1000");
    containerd.ask(&["task", "exec", "--exec-id", "e", &id, "true"]);
    containerd.ask(&["task", "pause", &id]);
    containerd.ask(&["task", "resume", &id]);
    let said = containerd.ctr(&["task", "exec", "--exec-id", "f", &id, "tail", "/dev/zero"]);
    assert_eq!(said.status, 137, "{}", said.stderr);
    containerd.remove(&id);
    let mut topics = Vec::new();
    while topics.last().is_none_or(|topic| topic != "delete") {
        let line = events.next();
        let Some((_, rest)) = line.split_once(" /tasks/") else {
            continue;
        };
        let (topic, event) = rest.split_once(' ').expect("a topic and an event");
        let event: serde_json::Value = serde_json::from_str(event).expect("JSON");
        assert_eq!(event["container_id"], id.as_str(), "{line}");
        if topic == "exit" {
            let (of, status) = (event["id"].as_str(), event["exit_status"].as_u64());
            let expected = if of == Some("e") { None } else { Some(137) };
            assert_eq!(status, expected, "{line}");
        }
        topics.push(topic.to_owned());
    }
    // On cgroup v1 the kernel may say it more than once.
    topics.dedup();
    let mut expected = vec![
        "create",
        "start",
        "exec-added",
        "exec-started",
        "exit",
        "paused",
        "resumed",
        "exec-added",
        "exec-started",
        "oom",
        "exit",
        "exit",
        "delete",
    ];
    expected.dedup();
    assert_eq!(topics, expected);
    containerd.assert_idle();
}

/// What `ctr events` prints.
struct Events {
    lines: Receiver<String>,
    _ctr: Owned,
}

impl Events {
    /// Every event from now on.
    fn of(containerd: &Containerd) -> Self {
        let mut command = containerd.ctr_command(&["events"]);
        let mut ctr = Owned(command.stdout(Stdio::piped()).spawn().expect("ctr starts"));
        let lines = BufReader::new(ctr.0.stdout.take().expect("a pipe")).lines();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let namespace = &containerd.namespace;
        let mut number = 0;
        loop {
            number += 1;
            let label = format!("number={number}");
            containerd.ctr(&["namespace", "create", namespace]);
            containerd.ask(&["namespace", "label", namespace, &label]);
            if receiver.recv_timeout(Duration::from_millis(100)).is_ok() {
                break;
            }
            assert!(number < 100, "ctr events prints nothing");
        }
        Events {
            lines: receiver,
            _ctr: ctr,
        }
    }

    fn next(&mut self) -> String {
        let line = self.lines.recv_timeout(Duration::from_secs(20));
        line.expect("an event comes")
    }
}
