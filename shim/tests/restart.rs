//! Containers that are started again when they end, and what stops that.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use harness::{Owned, Shim, eventually, logged, new_id, signal};

fn inspect(shim: &Shim, id: &str) -> Value {
    let said = shim.say(&["inspect", id]);
    assert_eq!(said.status, 0, "{said:?}");
    serde_json::from_str(&said.stdout).unwrap()
}

fn log(shim: &Shim, id: &str) -> String {
    let log = fs::read(shim.record(id).join("log")).unwrap();
    String::from_utf8(logged(&log, "stdout")).unwrap()
}

fn pid_of(shim: &Shim, id: &str) -> u32 {
    let pid = shim.state(id)["pid"].as_u64();
    u32::try_from(pid.expect("it runs")).unwrap()
}

#[test]
fn a_container_that_fails_is_started_again_as_often_as_was_said() {
    let shim = Shim::new();
    shim.script("echo run; exit 3");
    let id = new_id();
    let began = Instant::now();
    shim.run_detached(&["--restart", "on-failure:3"], &id);
    assert_eq!(shim.say(&["wait", &id]).stdout, "3\n");
    // 100 + 200 + 400 ms.
    assert!(began.elapsed() >= Duration::from_millis(700));
    assert_eq!(log(&shim, &id), "run\n".repeat(4));
    let state = shim.state(&id);
    assert_eq!(state["restarts"], 3);
    assert_eq!(state["restart"], "on-failure:3");
    assert_eq!(
        (&state["status"], &state["exit_status"]),
        (&json!("exited"), &json!(3))
    );
    assert_eq!(
        fs::read_to_string(shim.record(&id).join("exit")).unwrap(),
        "3\n"
    );
    shim.say(&["rm", &id]);
    shim.assert_gone(&id);
}

#[test]
fn success_is_no_failure_and_always_is_always() {
    let shim = Shim::new();
    shim.script("echo run");
    let id = new_id();
    shim.run_detached(&["--restart", "on-failure"], &id);
    assert_eq!(shim.say(&["wait", &id]).stdout, "0\n");
    assert_eq!(log(&shim, &id), "run\n");
    let id = new_id();
    shim.run_detached(&["--restart", "always"], &id);
    eventually("three runs", || log(&shim, &id).len() >= 3 * "run\n".len());
    assert_eq!(shim.say(&["stop", &id]).status, 0);
    let state = shim.state(&id);
    assert_eq!(
        (&state["status"], &state["exit_status"]),
        (&json!("exited"), &json!(0))
    );
    assert!(state["restarts"].as_u64().unwrap() >= 2);
    assert!(!shim.runtime_knows(&id));
}

#[test]
fn what_waits_to_be_restarted_says_so_and_can_be_stopped() {
    let shim = Shim::new();
    shim.script("echo run; exit 1");
    for stop in [&["stop"][..], &["kill"], &["rm", "--force"]] {
        let id = new_id();
        shim.run_detached(&["--restart", "always"], &id);
        // The pauses grow: 800 ms is long enough to look.
        eventually("four runs", || log(&shim, &id).len() >= 4 * "run\n".len());
        eventually("the pause", || shim.state(&id)["status"] == "restarting");
        let state = inspect(&shim, &id);
        assert_eq!(state["last_exit_status"], 1);
        assert!(state["next_start"].is_string());
        assert!(state.get("exit_status").is_none());
        assert!(!shim.record(&id).join("exit").exists());
        let table = shim.say(&["ps"]).stdout;
        assert!(table.contains("restarting (1)"), "{table}");
        let refused = shim.say(&["rm", &id]);
        assert!(refused.stderr.contains("kill it first"), "{refused:?}");
        let refused = shim.say(&["kill", &id, "USR1"]);
        assert!(
            refused.stderr.contains("will be started again"),
            "{refused:?}"
        );
        let said = shim.say(&[stop, &[id.as_str()]].concat());
        assert_eq!(said.status, 0, "{stop:?}: {said:?}");
        if stop[0] == "rm" {
            shim.assert_gone(&id);
        } else {
            assert_eq!(shim.say(&["wait", &id]).stdout, "1\n");
        }
    }
}

#[test]
fn one_that_was_killed_is_not_started_again_unless_by_someone_else() {
    let shim = Shim::new();
    shim.script("echo run; trap 'exit 7' TERM; while :; do sleep 0.01; done");
    let id = new_id();
    shim.run_detached(&["--restart", "unless-stopped"], &id);
    eventually("the first run", || log(&shim, &id) == "run\n");
    // The kernel does the same when there is no memory left.
    signal(pid_of(&shim, &id), Signal::KILL);
    eventually("the second run", || log(&shim, &id) == "run\nrun\n");
    assert_eq!(shim.state(&id)["last_exit_status"], 137);
    shim.say(&["rm", "--force", &id]);
    shim.assert_gone(&id);
    for end in [&["kill"][..], &["stop"]] {
        let id = new_id();
        shim.run_detached(&["--restart", "unless-stopped"], &id);
        eventually("the run", || log(&shim, &id) == "run\n");
        assert_eq!(shim.say(&[end, &[id.as_str()]].concat()).status, 0);
        assert_eq!(shim.say(&["wait", &id]).stdout, "7\n");
        assert_eq!(log(&shim, &id), "run\n");
    }
}

#[test]
fn stop_kills_what_does_not_listen() {
    let shim = Shim::new();
    shim.script("trap '' TERM; echo ready; while :; do sleep 1; done");
    let id = new_id();
    shim.run_detached(&[], &id);
    eventually("readiness", || log(&shim, &id) == "ready\n");
    let began = Instant::now();
    assert_eq!(shim.say(&["stop", "--time", "1", &id]).status, 0);
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(shim.say(&["wait", &id]).stdout, "137\n");
    // Once more is no error.
    assert_eq!(shim.say(&["stop", &id]).status, 0);
}

#[test]
fn the_foreground_stays_through_restarts_and_ends_them_with_ctrl_c() {
    let shim = Shim::new();
    shim.script("echo run; read line && echo got $line && read line; exit 1");
    let id = new_id();
    let mut command = shim.run_command(&["--restart", "always"], &id);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut run = Owned(command.spawn().unwrap());
    let mut stdin = run.0.stdin.take().unwrap();
    let mut lines = BufReader::new(run.0.stdout.take().unwrap()).lines();
    let mut expect = |line: &str| assert_eq!(lines.next().unwrap().unwrap(), line);
    for word in ["one", "two", "three"] {
        // All but the first come while there is no container, and wait for the next.
        writeln!(stdin, "{word}").unwrap();
        expect("run");
        expect(&format!("got {word}"));
        signal(pid_of(&shim, &id), Signal::KILL);
        eventually("the end", || shim.state(&id)["status"] == "restarting");
    }
    drop(stdin);
    // Without input each run ends at once.
    expect("run");
    expect("run");
    signal(run.0.id(), Signal::INT);
    let status = run.0.wait().unwrap().code().unwrap();
    assert!([1, 130].contains(&status), "{status}");
    assert_eq!(shim.state(&id)["status"], "exited");
}

#[test]
fn a_restart_that_the_runtime_refuses_counts_as_a_failed_run() {
    let shim = Shim::new();
    let here = shim.rootfs().join("here");
    fs::write(&here, "").unwrap();
    shim.script("echo run; read line");
    let id = new_id();
    shim.run_detached(&["--restart", "on-failure:2"], &id);
    eventually("the run", || log(&shim, &id) == "run\n");
    shim.configure(|config| config["process"]["args"] = json!(["/nowhere"]));
    signal(pid_of(&shim, &id), Signal::KILL);
    assert_eq!(shim.say(&["wait", &id]).stdout, "125\n");
    let state = shim.state(&id);
    assert_eq!(state["restarts"], 2);
    let troubles = state["troubles"].to_string();
    assert!(troubles.contains("/nowhere"), "{troubles}");
    shim.say(&["rm", &id]);
    shim.assert_gone(&id);
}

#[test]
fn inspect_tells_what_the_supervisor_knows() {
    let shim = Shim::new();
    shim.script("echo four; echo seven! >&2; read line");
    let id = new_id();
    shim.run_detached(&["--log-max-size", "1m"], &id);
    eventually("the output", || inspect(&shim, &id)["stderr_bytes"] == 7);
    let state = inspect(&shim, &id);
    assert_eq!(state["stdout_bytes"], 5);
    assert_eq!(state["status"], "running");
    assert_eq!(
        (&state["supervised"], &state["oom_killed"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(state["log_state"]["rotations"], 0);
    let memory = state["supervisor_memory"].as_u64().unwrap();
    assert!((10_000..20_000_000).contains(&memory), "{memory}");
    shim.say(&["kill", &id, "KILL"]);
    shim.say(&["wait", &id]);
    let state = inspect(&shim, &id);
    assert_eq!(
        (&state["supervised"], &state["exit_status"]),
        (&json!(false), &json!(137))
    );
}

#[test]
fn a_supervisor_that_is_out_of_descriptors_rests_and_serves_later() {
    let shim = Shim::new();
    shim.script("read line");
    let id = new_id();
    shim.run_detached(&[], &id);
    let supervisor = shim.state(&id)["supervisor_pid"].as_u64().unwrap();
    let descriptors = fs::read_dir(format!("/proc/{supervisor}/fd")).unwrap();
    let numbers = descriptors.map(|fd| fd.unwrap().file_name().into_string().unwrap());
    let highest: u64 = numbers.map(|number| number.parse().unwrap()).max().unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(supervisor).unwrap());
    let set_limit = |current: u64| {
        let limit = rustix::process::Rlimit {
            current: Some(current),
            maximum: Some(4096),
        };
        rustix::process::prlimit(pid, rustix::process::Resource::Nofile, limit).unwrap();
    };
    set_limit(highest + 1);
    let mut waiters: Vec<Owned> = (0..8)
        .map(|_| {
            Owned(
                shim.command(&["wait", &id])
                    .stdout(Stdio::null())
                    .spawn()
                    .unwrap(),
            )
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    let ticks = || -> u64 {
        let stat = fs::read_to_string(format!("/proc/{supervisor}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split(' ').collect();
        fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap()
    };
    let before = ticks();
    std::thread::sleep(Duration::from_secs(1));
    assert!(ticks() - before < 10, "it spins");
    set_limit(1024);
    assert_eq!(shim.say(&["stop", "--time", "0", &id]).status, 0);
    for waiter in &mut waiters {
        assert_eq!(waiter.0.wait().unwrap().code(), Some(137));
    }
}
