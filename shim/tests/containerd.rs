//! The front for containerd, called as containerd calls it: `start`, ttrpc, `delete`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../src/containerd/ttrpc/frame.rs"]
#[allow(dead_code)]
mod frame;
mod harness;
#[path = "../src/containerd/messages/mod.rs"]
#[allow(dead_code)]
mod messages;
#[path = "harness/containerd.rs"]
mod peer;

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use prost::Message;
use serde_json::json;

use harness::{eventually, is_alive, new_id, signal};
use messages::events::{TaskExit, TaskStart};
use messages::introspection::RuntimeInfo;
use messages::pack;
use messages::runc_options::ProcessDetails;
use messages::task::{
    CloseIoRequest, ConnectRequest, ConnectResponse, CreateTaskResponse, DeleteRequest,
    DeleteResponse, ExecProcessRequest, KillRequest, PauseRequest, PidsRequest, PidsResponse,
    ResizePtyRequest, ResumeRequest, ShutdownRequest, StartRequest, StartResponse, StateRequest,
    StateResponse, StatsRequest, StatsResponse, Status, UpdateTaskRequest, WaitRequest,
    WaitResponse,
};
use messages::unpack;
use messages::well_known::{Any, Empty};
use peer::{Client, Containerd, feed, said};

const UNKNOWN: i32 = 2;
const DEADLINE_EXCEEDED: i32 = 4;
const NOT_FOUND: i32 = 5;
const ALREADY_EXISTS: i32 = 6;
const FAILED_PRECONDITION: i32 = 9;
const UNIMPLEMENTED: i32 = 12;

fn start(id: &str) -> StartRequest {
    StartRequest {
        id: id.to_owned(),
        exec_id: String::new(),
    }
}

fn wait(id: &str) -> WaitRequest {
    WaitRequest {
        id: id.to_owned(),
        exec_id: String::new(),
    }
}

fn delete(id: &str) -> DeleteRequest {
    DeleteRequest {
        id: id.to_owned(),
        exec_id: String::new(),
    }
}

fn kill(id: &str, signal: u32) -> KillRequest {
    KillRequest {
        id: id.to_owned(),
        exec_id: String::new(),
        signal,
        all: false,
    }
}

fn state(client: &mut Client, id: &str, exec: &str) -> StateResponse {
    let request = StateRequest {
        id: id.to_owned(),
        exec_id: exec.to_owned(),
    };
    client.call("State", &request).expect("State")
}

fn shut_down(client: &mut Client, id: &str) {
    let request = ShutdownRequest {
        id: id.to_owned(),
        now: false,
    };
    client
        .call::<Empty>("Shutdown", &request)
        .expect("Shutdown");
}

fn shim_pid(client: &mut Client, id: &str) -> u64 {
    let request = ConnectRequest { id: id.to_owned() };
    let answer: ConnectResponse = client.call("Connect", &request).expect("Connect");
    answer.shim_pid.into()
}

/// An exec of this shell script.
fn exec(id: &str, exec_id: &str, script: &str) -> ExecProcessRequest {
    let process = json!({
        "user": {"uid": 0, "gid": 0}, "args": ["sh", "-c", script], "env": ["PATH=/bin"], "cwd": "/"
    });
    ExecProcessRequest {
        id: id.to_owned(),
        exec_id: exec_id.to_owned(),
        spec: Some(Any {
            type_url: "types.containerd.io/opencontainers/runtime-spec/1/Process".to_owned(),
            value: process.to_string().into_bytes(),
        }),
        ..ExecProcessRequest::default()
    }
}

/// A shim with a container of this script, which runs.
fn running(containerd: &Containerd, script: &str) -> (String, Client) {
    containerd.shim.script(script);
    let id = new_id();
    let bundle = containerd.shim.bundle();
    let mut client = Client::new(&containerd.start(&bundle, &id));
    let request = containerd.create_request(&bundle, &id);
    client
        .call::<CreateTaskResponse>("Create", &request)
        .expect("Create");
    client
        .call::<StartResponse>("Start", &start(&id))
        .expect("Start");
    (id, client)
}

/// Kills the container, deletes it, and ends the shim.
fn end(client: &mut Client, id: &str) -> DeleteResponse {
    // It may have ended already.
    let _ = client.call::<Empty>("Kill", &kill(id, 9));
    client
        .call::<WaitResponse>("Wait", &wait(id))
        .expect("Wait");
    let deleted = client.call("Delete", &delete(id)).expect("Delete");
    let shim = shim_pid(client, id);
    shut_down(client, id);
    eventually("the shim has ended", || !is_alive(shim));
    deleted
}

#[test]
fn a_container_lives_and_its_events_come_in_order() {
    let containerd = Containerd::new();
    containerd.shim.script("exit 7");
    let (id, bundle) = (new_id(), containerd.shim.bundle());
    let address = containerd.start(&bundle, &id);
    let socket = Path::new(address.strip_prefix("unix://").unwrap()).to_owned();
    assert_eq!(
        fs::metadata(&socket).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let directory = fs::metadata(socket.parent().unwrap()).unwrap();
    assert_eq!(directory.permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_to_string(bundle.join("address")).unwrap(), address);

    let mut client = Client::of_service(&address, "containerd.task.v2.Task");
    let request = containerd.create_request(&bundle, &id);
    let created: CreateTaskResponse = client.call("Create", &request).unwrap();
    assert!(is_alive(created.pid.into()));
    let told = state(&mut client, &id, "");
    assert_eq!((told.status(), told.pid), (Status::Created, created.pid));
    assert_eq!(
        fs::read_to_string(bundle.join("init.pid")).unwrap(),
        created.pid.to_string()
    );
    let shim = shim_pid(&mut client, &id);

    let mut waiter = Client::new(&address);
    waiter.ask("Wait", &wait(&id));
    let started: StartResponse = client.call("Start", &start(&id)).unwrap();
    assert_eq!(started.pid, created.pid);
    let waited: WaitResponse = waiter.hear().unwrap();
    assert_eq!(waited.exit_status, 7);
    let told = state(&mut client, &id, "");
    assert_eq!((told.status(), told.exit_status), (Status::Stopped, 7));
    let deleted: DeleteResponse = client.call("Delete", &delete(&id)).unwrap();
    assert_eq!((deleted.exit_status, deleted.pid), (7, created.pid));
    assert_eq!(deleted.exited_at, waited.exited_at);
    assert!(!containerd.runtime_knows(&id));
    shut_down(&mut client, &id);
    eventually("the shim has ended", || !is_alive(shim));
    assert!(!socket.exists());
    containerd.expect_topics(&["create", "start", "exit", "delete"]);
    let exits: Vec<TaskExit> = containerd.events();
    assert_eq!(
        (exits[0].exit_status, exits[0].pid, &exits[0].id),
        (7, created.pid, &id)
    );
}

#[test]
fn an_end_is_never_told_before_the_start() {
    let containerd = Containerd::new();
    for _ in 0..10 {
        let (id, mut client) = running(&containerd, "exit 0");
        end(&mut client, &id);
    }
    let topics = containerd.topics();
    assert_eq!(topics.len(), 40);
    for four in topics.chunks(4) {
        assert_eq!(four, ["create", "start", "exit", "delete"]);
    }
}

#[test]
fn old_containerds_start_it_by_flags_and_environment() {
    let containerd = Containerd::new();
    containerd.shim.script("exit 0");
    let (id, bundle) = (new_id(), containerd.shim.bundle());
    let begun = said(&mut containerd.command(&bundle, &id, &["start"]), &[]);
    assert_eq!((begun.status, begun.stderr.as_str()), (0, ""));
    let address = begun.stdout;
    assert!(
        address.starts_with("unix:///run/containerd/s/"),
        "{address}"
    );
    containerd.note(&address, &bundle, &id);
    // It is there already; a newer containerd asks.
    let mut again = containerd.command(&bundle, &id, &["start"]);
    let options = pack(&containerd.options()).encode_to_vec();
    let again = said(again.env("MAX_SHIM_VERSION", "2"), &options);
    let answer: serde_json::Value = serde_json::from_str(&again.stdout).expect("JSON");
    assert_eq!(
        answer,
        json!({"version": 2, "address": address, "protocol": "ttrpc"})
    );
    let mut client = Client::new(&address);
    let shim = shim_pid(&mut client, &id);
    let stat = fs::read_to_string(format!("/proc/{shim}/cmdline")).unwrap();
    assert!(
        stat.contains("containerd-shim-windlass-v2\0-namespace"),
        "{stat}"
    );
    shut_down(&mut client, &id);
    eventually("the shim has ended", || !is_alive(shim));
}

#[test]
fn a_pod_has_one_shim() {
    let containerd = Containerd::new();
    containerd.shim.configure(|config| {
        config["process"]["args"] = json!(["sleep", "600"]);
        config["annotations"] = json!({"io.kubernetes.cri.sandbox-id": "pod"});
    });
    let (one, two) = (new_id(), new_id());
    let first = containerd.shim.bundle();
    let second = containerd.another_bundle("second", |_| {});
    let address = containerd.start(&first, &one);
    assert_eq!(containerd.start(&second, &two), address);
    let mut client = Client::new(&address);
    for (bundle, id) in [(&first, &one), (&second, &two)] {
        let request = containerd.create_request(bundle, id);
        client
            .call::<CreateTaskResponse>("Create", &request)
            .unwrap();
        client.call::<StartResponse>("Start", &start(id)).unwrap();
    }
    let shim = shim_pid(&mut client, &one);
    assert_eq!(shim_pid(&mut client, &two), shim);
    client.call::<Empty>("Kill", &kill(&one, 9)).unwrap();
    client.call::<WaitResponse>("Wait", &wait(&one)).unwrap();
    client
        .call::<DeleteResponse>("Delete", &delete(&one))
        .unwrap();
    // As after each that is deleted. The other one is served on.
    shut_down(&mut client, &one);
    assert_eq!(state(&mut client, &two, "").status(), Status::Running);
    // What containerd calls if it gave up the first one leaves the other's socket alone.
    containerd.delete(&first, &one);
    assert_eq!(end(&mut Client::new(&address), &two).exit_status, 137);
}

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
fn streams_go_through_fifos_and_input_ends_with_close_io() {
    let containerd = Containerd::new();
    containerd.shim.script("cat; echo err >&2");
    let (id, bundle) = (new_id(), containerd.shim.bundle());
    let mut client = Client::new(&containerd.start(&bundle, &id));
    let mut request = containerd.create_request(&bundle, &id);
    request.stdin = containerd.fifo("in");
    request.stdout = containerd.fifo("out");
    request.stderr = containerd.fifo("err");
    let read_all = |path: String| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        })
    };
    let (out, err) = (
        read_all(request.stdout.clone()),
        read_all(request.stderr.clone()),
    );
    client
        .call::<CreateTaskResponse>("Create", &request)
        .unwrap();
    client.call::<StartResponse>("Start", &start(&id)).unwrap();
    let bytes = harness::pattern(3 << 20, 11);
    let mut stdin = OpenOptions::new().write(true).open(&request.stdin).unwrap();
    stdin.write_all(&bytes).unwrap();
    drop(stdin);
    // A client that goes is not the end of it: another may come.
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(state(&mut client, &id, "").status(), Status::Running);
    let close = CloseIoRequest {
        id: id.clone(),
        exec_id: String::new(),
        stdin: true,
    };
    client.call::<Empty>("CloseIO", &close).unwrap();
    client.call::<WaitResponse>("Wait", &wait(&id)).unwrap();
    assert_eq!(end(&mut client, &id).exit_status, 0);
    harness::assert_same(&out.join().unwrap(), &bytes, "standard output");
    assert_eq!(err.join().unwrap(), b"err\n");
}

#[test]
fn output_that_nobody_reads_does_not_keep_the_container() {
    let containerd = Containerd::new();
    containerd.shim.script("dd if=/dev/zero bs=65536 count=4");
    let (id, bundle) = (new_id(), containerd.shim.bundle());
    let mut client = Client::new(&containerd.start(&bundle, &id));
    let mut request = containerd.create_request(&bundle, &id);
    request.stdout = containerd.fifo("out");
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let reader = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(&request.stdout);
    client
        .call::<CreateTaskResponse>("Create", &request)
        .unwrap();
    client.call::<StartResponse>("Start", &start(&id)).unwrap();
    // It has more to say than the fifo holds, so it waits; killed, it leaves some of that.
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(state(&mut client, &id, "").status(), Status::Running);
    assert_eq!(end(&mut client, &id).exit_status, 137);
    drop(reader);
}

#[test]
fn execs_come_and_go_and_end_before_their_container() {
    let containerd = Containerd::new();
    let (id, mut client) = running(&containerd, "sleep 600");
    let mut request = exec(&id, "one", "echo out; exit 5");
    request.stdout = containerd.fifo("exec-out");
    client.call::<Empty>("Exec", &request).unwrap();
    assert_eq!(client.refused("Exec", &request).0, ALREADY_EXISTS);
    assert_eq!(state(&mut client, &id, "one").status(), Status::Created);
    let reader = std::thread::spawn(move || fs::read(request.stdout).unwrap());
    let in_exec = |exec_id: &str| StartRequest {
        id: id.clone(),
        exec_id: exec_id.to_owned(),
    };
    let started: StartResponse = client.call("Start", &in_exec("one")).unwrap();
    let waited: WaitResponse = client
        .call(
            "Wait",
            &WaitRequest {
                id: id.clone(),
                exec_id: "one".to_owned(),
            },
        )
        .unwrap();
    assert_eq!(waited.exit_status, 5);
    let deleted: DeleteResponse = client
        .call(
            "Delete",
            &DeleteRequest {
                id: id.clone(),
                exec_id: "one".to_owned(),
            },
        )
        .unwrap();
    assert_eq!((deleted.exit_status, deleted.pid), (5, started.pid));
    assert_eq!(reader.join().unwrap(), b"out\n");

    client
        .call::<Empty>("Exec", &exec(&id, "two", "sleep 600"))
        .unwrap();
    let two: StartResponse = client.call("Start", &in_exec("two")).unwrap();
    let pids: PidsResponse = client
        .call("Pids", &PidsRequest { id: id.clone() })
        .unwrap();
    let process = pids.processes.iter().find(|process| process.pid == two.pid);
    let details = process
        .and_then(|process| process.info.as_ref())
        .expect("its details");
    let details: ProcessDetails = unpack(details).unwrap().expect("details");
    assert_eq!(details.exec_id, "two");

    client
        .call::<Empty>("Exec", &exec(&id, "three", "exit 0"))
        .unwrap();
    let mut bad = exec(&id, "four", "");
    bad.spec.as_mut().unwrap().value = b"[]".to_vec();
    assert_eq!(client.refused("Exec", &bad).0, 3);
    end(&mut client, &id);
    let exits: Vec<TaskExit> = containerd.events();
    let exits: Vec<(&str, u32)> = exits
        .iter()
        .map(|exit| (&*exit.id, exit.exit_status))
        .collect();
    assert_eq!(exits, [("one", 5), ("two", 137), (&*id, 137)]);
    let starts: Vec<TaskStart> = containerd.events();
    assert_eq!(starts.len(), 1);
    containerd.expect_topics(&[
        "create",
        "start",
        "exec-added",
        "exec-started",
        "exit",
        "exec-added",
        "exec-started",
        "exec-added",
        "exit",
        "exit",
        "delete",
    ]);
}

#[test]
fn a_container_is_paused_updated_and_measured() {
    let containerd = Containerd::new();
    let (id, mut client) = running(&containerd, "sleep 600");
    client
        .call::<Empty>("Pause", &PauseRequest { id: id.clone() })
        .unwrap();
    assert_eq!(state(&mut client, &id, "").status(), Status::Paused);
    assert_eq!(
        client.refused("Exec", &exec(&id, "one", "")).0,
        FAILED_PRECONDITION
    );
    client
        .call::<Empty>("Resume", &ResumeRequest { id: id.clone() })
        .unwrap();
    assert_eq!(state(&mut client, &id, "").status(), Status::Running);
    let update = UpdateTaskRequest {
        id: id.clone(),
        resources: Some(Any {
            type_url: "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources".to_owned(),
            value: br#"{"pids": {"limit": 77}}"#.to_vec(),
        }),
        ..UpdateTaskRequest::default()
    };
    client.call::<Empty>("Update", &update).unwrap();
    let stats: StatsResponse = client
        .call("Stats", &StatsRequest { id: id.clone() })
        .unwrap();
    let stats = stats.stats.expect("figures");
    let v1 = unpack::<messages::cgroups_v1::Metrics>(&stats).unwrap();
    let v2 = unpack::<messages::cgroups_v2::Metrics>(&stats).unwrap();
    let v1 = v1.and_then(|metrics| metrics.pids).map(|pids| pids.limit);
    let v2 = v2.and_then(|metrics| metrics.pids).map(|pids| pids.limit);
    let limit = v1.or(v2).expect("figures of processes");
    assert_eq!(limit, 77);
    end(&mut client, &id);
    containerd.expect_topics(&["create", "start", "paused", "resumed", "exit", "delete"]);
}

#[test]
fn a_terminal_has_the_size_that_it_is_given() {
    let containerd = Containerd::new();
    containerd.shim.configure(|config| {
        config["process"]["terminal"] = json!(true);
        config["process"]["args"] = json!(["sh", "-c", "read line; echo got $line; stty size"]);
    });
    let (id, bundle) = (new_id(), containerd.shim.bundle());
    let mut client = Client::new(&containerd.start(&bundle, &id));
    let mut request = containerd.create_request(&bundle, &id);
    request.terminal = true;
    request.stdin = containerd.fifo("in");
    request.stdout = containerd.fifo("out");
    let path = request.stdout.clone();
    let reader = std::thread::spawn(move || fs::read_to_string(path).unwrap());
    client
        .call::<CreateTaskResponse>("Create", &request)
        .unwrap();
    client.call::<StartResponse>("Start", &start(&id)).unwrap();
    let resize = ResizePtyRequest {
        id: id.clone(),
        exec_id: String::new(),
        width: 91,
        height: 17,
    };
    client.call::<Empty>("ResizePty", &resize).unwrap();
    fs::write(&request.stdin, "it\n").unwrap();
    client.call::<WaitResponse>("Wait", &wait(&id)).unwrap();
    end(&mut client, &id);
    let shown = reader.join().unwrap();
    assert!(shown.contains("got it\r\n17 91\r\n"), "{shown:?}");
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
fn it_says_what_it_is_and_what_its_runtime_can_do() {
    let containerd = Containerd::new();
    let bundle = containerd.shim.bundle();
    let version = said(&mut containerd.command(&bundle, "x", &["-v"]), &[]);
    assert!(
        version
            .stdout
            .starts_with("containerd-shim-windlass-v2:\n  Version:"),
        "{version:?}"
    );
    let options = pack(&containerd.options());
    let output = feed(
        &mut containerd.command(&bundle, "x", &["-info"]),
        &options.encode_to_vec(),
    );
    assert!(output.status.success());
    let info = RuntimeInfo::decode(output.stdout.as_slice()).unwrap();
    assert_eq!(info.name, "io.containerd.windlass.v2");
    assert_eq!(info.options, Some(options));
    let features = info.features.expect("features");
    assert!(
        features.type_url.ends_with("/features/Features"),
        "{}",
        features.type_url
    );
    let features: serde_json::Value = serde_json::from_slice(&features.value).unwrap();
    assert!(features["linux"]["namespaces"].is_array());
    let refused = said(&mut containerd.command(&bundle, "x", &["-what"]), &[]);
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.contains("-what"), "{refused:?}");
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
fn pipes_belong_to_whom_the_options_say() {
    let containerd = Containerd::new();
    // The runtime itself gives them to the process' user.
    containerd.shim.configure(|config| {
        config["process"]["args"] =
            json!(["sh", "-c", "ls -ln /proc/self/fd/1; ls -lnL /proc/1/fd/"]);
    });
    let (id, bundle) = (new_id(), containerd.shim.bundle());
    let mut client = Client::new(&containerd.start(&bundle, &id));
    let mut request = containerd.create_request(&bundle, &id);
    let mut options = containerd.options();
    options.io_gid = 4321;
    request.options = Some(pack(&options));
    request.stdout = containerd.fifo("out");
    let path = request.stdout.clone();
    let reader = std::thread::spawn(move || fs::read_to_string(path).unwrap());
    client
        .call::<CreateTaskResponse>("Create", &request)
        .unwrap();
    client.call::<StartResponse>("Start", &start(&id)).unwrap();
    client.call::<WaitResponse>("Wait", &wait(&id)).unwrap();
    end(&mut client, &id);
    let listed = reader.join().unwrap();
    assert!(listed.contains(" 4321 "), "{listed}");
}
