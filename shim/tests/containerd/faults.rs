//! Refusals, and what is left when a shim is killed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::harness::{eventually, is_alive, new_id, signal};
use crate::messages::task::{
    CreateTaskResponse, DeleteResponse, Mount, ResumeRequest, StartRequest, StartResponse,
    StateRequest, WaitResponse,
};
use crate::messages::well_known::Empty;
use crate::peer::{Client, Containerd};
use crate::{
    ALREADY_EXISTS, DEADLINE_EXCEEDED, FAILED_PRECONDITION, NOT_FOUND, UNIMPLEMENTED, UNKNOWN,
    delete, end, exec, kill, running, shim_pid, shut_down, start, state, wait,
};

#[test]
fn refusals_have_the_codes_that_containerd_tells_them_apart_by() {
    let containerd = Containerd::new();
    let (id, mut client) = running(&containerd, "sleep 600");
    let bundle = containerd.shim.bundle();
    let nobody = "nobody".to_owned();
    let request = StateRequest {
        id: nobody.clone(),
        exec_id: String::new(),
    };
    assert_eq!(client.refused("State", &request).0, NOT_FOUND);
    let request = StateRequest {
        id: id.clone(),
        exec_id: nobody,
    };
    assert_eq!(client.refused("State", &request).0, NOT_FOUND);
    let request = containerd.create_request(&bundle, &id);
    assert_eq!(client.refused("Create", &request).0, ALREADY_EXISTS);
    assert_eq!(client.refused("Start", &start(&id)).0, FAILED_PRECONDITION);
    assert_eq!(
        client.refused("Delete", &delete(&id)).0,
        FAILED_PRECONDITION
    );
    let request = ResumeRequest { id: id.clone() };
    assert_eq!(client.refused("Resume", &request).0, FAILED_PRECONDITION);
    assert_eq!(client.refused("Levitate", &request).0, UNIMPLEMENTED);
    let address = fs::read_to_string(bundle.join("address")).unwrap();
    let mut other = Client::of_service(&address, "containerd.task.v9.Task");
    assert_eq!(other.refused("State", &request).0, UNIMPLEMENTED);
    client.call::<Empty>("Kill", &kill(&id, 9)).unwrap();
    client.call::<WaitResponse>("Wait", &wait(&id)).unwrap();
    let (code, message) = client.refused("Kill", &kill(&id, 9));
    assert_eq!(
        (code, message.as_str()),
        (NOT_FOUND, "process already finished")
    );
    end(&mut client, &id);
}

#[test]
fn what_the_runtime_refuses_is_told_in_its_words_and_nothing_is_left() {
    let containerd = Containerd::new();
    containerd
        .shim
        .configure(|config| config["process"]["args"] = json!(["/no/such/program"]));
    let (id, bundle) = (new_id(), containerd.shim.bundle());
    let mut client = Client::new(&containerd.start(&bundle, &id));
    let shim = shim_pid(&mut client, &id);
    let request = containerd.create_request(&bundle, &id);
    client.ask("Create", &request);
    // runc says it at once, others at the start.
    let created = client.hear::<CreateTaskResponse>();
    let (what, refused) = if let Err(status) = created {
        ("create", status)
    } else {
        let started = client.call::<StartResponse>("Start", &start(&id));
        ("start", started.expect_err("there is no such program"))
    };
    assert_eq!(refused.code, UNKNOWN);
    let message = refused.message;
    assert!(
        message.starts_with(&format!("OCI runtime {what} failed: ")),
        "{message}"
    );
    assert!(message.contains("no such file or directory"), "{message}");
    if what == "start" {
        client
            .call::<DeleteResponse>("Delete", &delete(&id))
            .unwrap();
    }
    assert!(!containerd.runtime_knows(&id));
    shut_down(&mut client, &id);
    eventually("the shim has ended", || !is_alive(shim));
}

#[test]
fn after_a_killed_shim_delete_removes_everything() {
    let containerd = Containerd::new();
    let (id, mut client) = running(&containerd, "sleep 600");
    let bundle = containerd.shim.bundle();
    let first = state(&mut client, &id, "").pid;
    let shim = shim_pid(&mut client, &id);
    signal(u32::try_from(shim).unwrap(), rustix::process::Signal::KILL);
    eventually("the shim has ended", || !is_alive(shim));
    let address = fs::read_to_string(bundle.join("address")).unwrap();
    let socket = address.strip_prefix("unix://").unwrap();
    assert!(Path::new(socket).exists());
    let (response, error) = containerd.delete(&bundle, &id);
    assert_eq!(
        (response.exit_status, response.pid, error.as_str()),
        (137, first, "")
    );
    assert!(response.exited_at.is_some());
    assert!(!Path::new(socket).exists());
    assert!(!containerd.runtime_knows(&id));
    eventually("the container has ended", || !is_alive(first.into()));
    // Again, and for what never was.
    let (response, error) = containerd.delete(&bundle, &id);
    assert_eq!((response.exit_status, error.as_str()), (137, ""));
    assert_eq!(containerd.delete(&bundle, "never").1, "");
}

#[test]
fn a_runtime_that_outlasts_its_callers_patience_is_given_up() {
    let mut containerd = Containerd::new();
    containerd.shim.script("sleep 600");
    containerd.shim.fake_runtime(
        "case \" $* \" in *\" create \"*) exec sleep 600;; *) exec $RUNTIME \"$@\";; esac",
    );
    let (id, bundle) = (new_id(), containerd.shim.bundle());
    let mut client = Client::new(&containerd.start(&bundle, &id));
    let request = containerd.create_request(&bundle, &id);
    client.ask_within(Duration::from_millis(300), "Create", &request);
    let status = client
        .hear::<CreateTaskResponse>()
        .expect_err("it never ends");
    assert_eq!(status.code, DEADLINE_EXCEEDED);
    // What it was doing is undone, and the id is free again.
    let mut answer = (0, String::new());
    eventually("the runtime is given up", || {
        client.ask_within(Duration::from_millis(300), "Create", &request);
        let status = client
            .hear::<CreateTaskResponse>()
            .expect_err("it never ends");
        answer = (status.code, status.message);
        answer.0 == DEADLINE_EXCEEDED
    });
    let shim = shim_pid(&mut client, &id);
    shut_down(&mut client, &id);
    eventually("the shim has ended", || !is_alive(shim));
    assert!(!containerd.runtime_knows(&id));
}

#[test]
fn wherever_a_shim_is_killed_delete_finds_what_it_has_left() {
    for verb in ["create", "start", "exec", "delete"] {
        for moment in ["before", "after"] {
            kill_shim_at(verb, moment);
        }
    }
}

/// Kills the shim from inside of the runtime that it calls, which then goes on if it can.
fn kill_shim_at(verb: &str, moment: &str) {
    let mut containerd = Containerd::new();
    containerd.shim.script("sleep 600");
    let bundle = containerd.another_bundle("mounted", |config| {
        config["root"]["path"] = json!("rootfs");
    });
    let (before, after) = match moment {
        "before" => ("kill -9 $PPID; sleep 0.1;", ""),
        _ => ("", "kill -9 $PPID; sleep 0.1;"),
    };
    containerd.shim.fake_runtime(&format!(
        "case \" $* \" in *\" --force \"*) ;; *\" {verb} \"*) {before} $RUNTIME \"$@\"; {after} exit;; esac; \
         exec $RUNTIME \"$@\""
    ));
    let id = new_id();
    let mut client = Client::new(&containerd.start(&bundle, &id));
    let shim = shim_pid(&mut client, &id);
    let mut request = containerd.create_request(&bundle, &id);
    request.rootfs = vec![Mount {
        r#type: "bind".to_owned(),
        source: containerd.shim.rootfs().to_str().unwrap().to_owned(),
        target: String::new(),
        options: vec!["rbind".to_owned(), "ro".to_owned()],
    }];
    client.ask("Create", &request);
    if verb != "create" {
        client.hear::<CreateTaskResponse>().unwrap();
        client.ask("Start", &start(&id));
    }
    if verb == "exec" || verb == "delete" {
        client.hear::<StartResponse>().unwrap();
    }
    if verb == "exec" {
        client
            .call::<Empty>("Exec", &exec(&id, "one", "sleep 600"))
            .unwrap();
        let exec_id = "one".to_owned();
        client.ask(
            "Start",
            &StartRequest {
                exec_id,
                ..start(&id)
            },
        );
    }
    if verb == "delete" {
        client.call::<Empty>("Kill", &kill(&id, 9)).unwrap();
        client.call::<WaitResponse>("Wait", &wait(&id)).unwrap();
        client.ask("Delete", &delete(&id));
    }
    eventually("the shim is killed", || !is_alive(shim));
    let pids = [bundle.join("init.pid"), bundle.join("one.pid")];
    let pids: Vec<u64> = pids
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok()?.parse().ok())
        .collect();
    let (response, error) = containerd.delete(&bundle, &id);
    let case = format!("{moment} {verb}");
    assert_eq!((response.exit_status, error.as_str()), (137, ""), "{case}");
    for pid in pids {
        eventually("its processes have ended", || !is_alive(pid));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(
        !mounts.contains(bundle.to_str().unwrap()),
        "{case}: {mounts}"
    );
    assert!(!containerd.runtime_knows(&id), "{case}");
    // Nothing comes later, either: a runtime that went on would make a container after all.
    std::thread::sleep(Duration::from_millis(200));
    assert!(!containerd.runtime_knows(&id), "{case}, later");
}
