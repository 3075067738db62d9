//! Containers whose health is checked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use harness::{Shim, eventually, new_id};

/// Checks that come quickly.
const QUICK: [&str; 4] = ["--health-interval", "100ms", "--health-retries", "2"];

fn run(shim: &Shim, id: &str, command: &str, further: &[&str]) {
    let options = [&QUICK[..], &["--health-cmd", command], further].concat();
    shim.run_detached(&options, id);
}

fn health(shim: &Shim, id: &str) -> Value {
    shim.state(id)["health"].clone()
}

fn await_status(shim: &Shim, id: &str, status: &str) {
    eventually(status, || health(shim, id)["status"] == status);
}

#[test]
fn health_follows_what_the_command_says() {
    let shim = Shim::new();
    // What is written in the container is seen by its checks.
    shim.configure(|config| {
        config["root"]["readonly"] = json!(false);
        config["process"]["args"] = json!(["sh", "-c", "exec sleep 600"]);
        config["process"]["env"] = json!(["PATH=/bin", "FILE=/tmp/well"]);
    });
    let well = shim.rootfs().join("tmp/well");
    let id = new_id();
    fs::write(&well, "").unwrap();
    run(&shim, &id, "echo looking for $FILE; cat $FILE", &[]);
    await_status(&shim, &id, "healthy");
    let listed = shim.say(&["ps"]).stdout;
    assert!(listed.contains("running (healthy)"), "{listed}");
    fs::remove_file(&well).unwrap();
    await_status(&shim, &id, "unhealthy");
    let health = health(&shim, &id);
    assert!(health["failing_streak"].as_u64().unwrap() >= 2, "{health}");
    let last = health["checks"].as_array().unwrap().last().unwrap();
    assert_eq!(last["exit_status"], 1);
    let output = last["output"].as_str().unwrap();
    assert!(output.starts_with("looking for /tmp/well\n"), "{output}");
    assert!(output.contains("No such file"), "{output}");
    fs::write(&well, "").unwrap();
    await_status(&shim, &id, "healthy");
    // None of it is the container's own output.
    assert_eq!(fs::read(shim.record(&id).join("log")).unwrap(), b"");
    assert_eq!(shim.say(&["rm", "--force", &id]).status, 0);
    shim.assert_gone(&id);
}

#[test]
fn a_check_that_takes_too_long_is_killed_and_has_failed() {
    let shim = Shim::new();
    shim.script("exec sleep 600");
    let id = new_id();
    run(
        &shim,
        &id,
        "echo hanging; exec sleep 601",
        &["--health-timeout", "300ms"],
    );
    await_status(&shim, &id, "unhealthy");
    let check = &health(&shim, &id)["checks"][0];
    assert_eq!(check["exit_status"], Value::Null);
    let output = check["output"].as_str().unwrap();
    assert!(output.contains("took more than 300ms"), "{output}");
    // There is one at a time.
    let pid = shim.state(&id)["pid"].to_string();
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let members = fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
        let name = entry.file_name().into_string().unwrap();
        name.parse::<u32>().is_ok() && namespace(&name) == namespace(&pid)
    });
    assert!(members.count() <= 2);
    assert_eq!(shim.say(&["rm", "--force", &id]).status, 0);
    shim.assert_gone(&id);
}

#[test]
fn failures_of_one_that_starts_do_not_count() {
    let shim = Shim::new();
    shim.script("exec sleep 600");
    let id = new_id();
    run(&shim, &id, "false", &["--health-start-period", "1h"]);
    eventually("five checks", || {
        let checks = health(&shim, &id)["checks"].clone();
        checks.as_array().is_some_and(|checks| checks.len() == 5)
    });
    assert_eq!(health(&shim, &id)["status"], "starting");
    assert_eq!(shim.say(&["rm", "--force", &id]).status, 0);
}

#[test]
fn one_that_is_unhealthy_is_killed_and_started_again() {
    let shim = Shim::new();
    shim.script("exec sleep 600");
    let id = new_id();
    let options = ["--health-on-failure", "kill", "--restart", "on-failure:1"];
    run(&shim, &id, "false", &options);
    assert_eq!(shim.say(&["wait", &id]).stdout, "137\n");
    let state = shim.state(&id);
    assert_eq!(state["restarts"], 1);
    assert_eq!(state["health"]["status"], "unhealthy");
    assert_eq!(shim.say(&["rm", &id]).status, 0);
    shim.assert_gone(&id);
}

#[test]
fn the_containers_end_is_the_checks_too() {
    let shim = Shim::new();
    // Without a pid namespace nothing but its supervisor ends a check.
    shim.configure(|config| {
        config["process"]["args"] = json!(["sh", "-c", "sleep 1; exit 7"]);
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "pid");
    });
    let id = new_id();
    let began = Instant::now();
    run(&shim, &id, "exec sleep 600", &[]);
    assert_eq!(shim.say(&["wait", &id]).stdout, "7\n");
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(health(&shim, &id)["status"], "starting");
    assert_eq!(shim.say(&["rm", &id]).status, 0);
    shim.assert_gone(&id);
}

#[test]
fn options_of_health_need_a_command() {
    let shim = Shim::new();
    shim.script("true");
    let said = shim.say(&["run", "--health-retries", "2", "--bundle", "/", "x"]);
    assert_ne!(said.status, 0);
    assert!(said.stderr.contains("--health-cmd"), "{}", said.stderr);
}
