//! The front for containerd, called as containerd calls it: `start`, ttrpc, `delete`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod faults;
#[path = "../../src/containerd/ttrpc/frame.rs"]
#[allow(dead_code)]
mod frame;
mod given_up;
#[path = "../harness/mod.rs"]
mod harness;
mod memory;
#[path = "../../src/containerd/messages/mod.rs"]
#[allow(dead_code)]
mod messages;
mod peer;
mod roots;
mod starts;
mod streams;
mod tasks;

use serde_json::json;

use harness::{eventually, is_alive, new_id};
use messages::task::{
    ConnectRequest, ConnectResponse, CreateTaskResponse, DeleteRequest, DeleteResponse,
    ExecProcessRequest, KillRequest, ShutdownRequest, StartRequest, StartResponse, StateRequest,
    StateResponse, WaitRequest, WaitResponse,
};
use messages::well_known::{Any, Empty};
use peer::{Client, Containerd};

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
