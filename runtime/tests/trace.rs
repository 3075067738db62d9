//! `create --trace` and `run --trace`.
//!
//! Needs root and busybox-static.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::fs;

use harness::Sandbox;
use serde_json::{Value, json};

/// A container with hooks on both sides, a tmpfs and a filter, moved clocks included.
fn sandbox(name: &str) -> Sandbox {
    let mut sandbox = Sandbox::new(name);
    sandbox.script("true");
    let hook = json!([{"path": "/bin/true"}]);
    sandbox.config["hooks"] = json!({
        "createRuntime": hook, "createContainer": hook,
        "startContainer": [{"path": "/bin/busybox", "args": ["busybox", "true"]}],
    });
    let mounts = sandbox.config["mounts"].as_array_mut().unwrap();
    mounts.push(json!({"destination": "/scratch", "type": "tmpfs", "source": "tmpfs"}));
    sandbox.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["swapon"], "action": "SCMP_ACT_ERRNO"}],
    });
    let namespaces = sandbox.config["linux"]["namespaces"]
        .as_array_mut()
        .unwrap();
    namespaces.push(json!({"type": "time"}));
    sandbox.config["linux"]["timeOffsets"] = json!({"monotonic": {"secs": 100_000}});
    sandbox.write_config();
    sandbox
}

/// The steps of a trace, checked against those of `explain`.
fn steps(sandbox: &Sandbox, trace: &Value) -> Vec<Value> {
    let explained = sandbox.must(&["explain", "--json"]).stdout;
    let explained: Value = serde_json::from_str(&explained).unwrap();
    let mut explained = explained["steps"].as_array().unwrap().iter();
    let events = trace["traceEvents"].as_array().unwrap();
    let rows: Vec<&Value> = events.iter().filter(|event| event["ph"] == "M").collect();
    let steps: Vec<Value> = events
        .iter()
        .filter(|event| event["ph"] == "X")
        .cloned()
        .collect();
    assert_eq!(rows.len() + steps.len(), events.len());
    for step in &steps {
        // All of a plan's steps, in its order; only the wait for `start` is none of `run`'s.
        let mut of_plan = explained.next().unwrap();
        if of_plan["step"] == "wait for `start`" {
            of_plan = explained.next().unwrap();
        }
        assert_eq!(step["name"], of_plan["step"]);
        assert_eq!(step["cat"], of_plan["side"]);
        assert_eq!(step["args"]["pointer"], of_plan["pointer"]);
        assert_eq!(step["args"]["clause"], of_plan["clause"]);
        let row = rows.iter().find(|row| row["pid"] == step["pid"]).unwrap();
        assert_eq!(row["args"]["name"], step["cat"]);
        assert!(step["ts"].as_f64().unwrap() < 60e6, "{step}");
        assert!(
            (0.0..60e6).contains(&step["dur"].as_f64().unwrap()),
            "{step}"
        );
    }
    // The list is the order in which they are carried out.
    for pair in steps.windows(2) {
        let end = pair[0]["ts"].as_f64().unwrap() + pair[0]["dur"].as_f64().unwrap();
        let next = pair[1]["ts"].as_f64().unwrap();
        assert!(end <= next + 1.0, "{} before {}", pair[1], pair[0]);
    }
    steps
}

fn traced(sandbox: &Sandbox, verb: &str) -> (harness::Finished, Value) {
    let file = sandbox.directory().join("trace.json");
    let finished = sandbox.windlass(&[verb, "--trace", file.to_str().unwrap(), "ID"]);
    let text = fs::read_to_string(&file).unwrap();
    fs::remove_file(&file).unwrap();
    (finished, serde_json::from_str(&text).unwrap())
}

#[test]
fn run_traces_every_step_of_the_plan() {
    let sandbox = sandbox("trace-run");
    let (finished, trace) = traced(&sandbox, "run");
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let steps = steps(&sandbox, &trace);
    assert_eq!(steps.last().unwrap()["name"], "execute the program");
    for words in ["hooks", "mount tmpfs on /scratch", "seccomp", "start init"] {
        let named = |step: &&Value| step["name"].as_str().unwrap().contains(words);
        assert!(steps.iter().any(|step| named(&step)), "{words}");
    }
    assert_eq!(trace["otherData"]["error"], Value::Null);
    sandbox.assert_clean("a traced run");
}

#[test]
fn create_traces_as_far_as_it_goes() {
    let sandbox = sandbox("trace-create");
    let (finished, trace) = traced(&sandbox, "create");
    assert_eq!(finished.code(), 0, "{}", finished.stderr);
    let steps = steps(&sandbox, &trace);
    let last = &steps.last().unwrap()["name"];
    assert_eq!(last, "record that the container is created");
    sandbox.must(&["start", "ID"]);
    sandbox.wait_for_status("stopped");
    sandbox.must(&["delete", "ID"]);
    sandbox.assert_clean("a traced create");
}

#[test]
fn a_step_that_fails_is_the_last_on_either_side() {
    let mut sandbox = sandbox("trace-failure");
    let mut check = |change: &dyn Fn(&mut Value), side: &str, step: &str| {
        let before = sandbox.config.clone();
        change(&mut sandbox.config);
        sandbox.write_config();
        for verb in ["create", "run"] {
            let (failed, trace) = traced(&sandbox, verb);
            assert_eq!(failed.code(), 1, "{}", failed.stderr);
            let steps = steps(&sandbox, &trace);
            let last = steps.last().unwrap();
            assert_eq!(last["cat"], side, "{last}");
            assert!(last["name"].as_str().unwrap().contains(step), "{last}");
            let error = last["args"]["error"].as_str().unwrap();
            assert!(
                failed.stderr.contains(error.split('"').next().unwrap()),
                "{error}"
            );
            let errors = steps
                .iter()
                .filter(|step| step["args"]["error"] != Value::Null);
            assert_eq!(errors.count(), 1);
            assert_eq!(trace["otherData"]["error"], error);
            sandbox.assert_clean(step);
        }
        sandbox.config = before;
    };
    let failing = json!([{"path": "/bin/false"}]);
    check(
        &|config| config["hooks"]["createRuntime"] = failing.clone(),
        "runtime",
        "run createRuntime hooks",
    );
    check(
        &|config| config["hooks"]["createContainer"] = failing.clone(),
        "init",
        "run createContainer hooks",
    );
    check(
        &|config| config["process"]["args"] = json!(["/no/such/program"]),
        "init",
        "locate",
    );
    // Before there is a plan, there is no step.
    sandbox.config["process"]["cwd"] = json!("relative");
    sandbox.write_config();
    let (failed, trace) = traced(&sandbox, "create");
    assert_eq!(failed.code(), 1);
    assert_eq!(trace["traceEvents"], json!([]));
    assert!(
        trace["otherData"]["error"]
            .as_str()
            .unwrap()
            .contains("/process/cwd")
    );
}

#[test]
fn a_trace_that_can_not_be_written_stops_everything() {
    let sandbox = sandbox("trace-unwritable");
    let failed = sandbox.windlass(&["create", "--trace", "/no/such/directory/trace", "ID"]);
    assert_eq!(failed.code(), 1);
    let line = failed.error_line();
    assert!(
        line.contains("open the trace /no/such/directory/trace"),
        "{line}"
    );
    sandbox.assert_clean("a refused trace");
}
