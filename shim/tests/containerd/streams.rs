//! What goes into a process and what comes out of it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use serde_json::json;

use crate::harness::{self, new_id};
use crate::messages::pack;
use crate::messages::task::{
    CloseIoRequest, CreateTaskResponse, ResizePtyRequest, StartResponse, Status, WaitResponse,
};
use crate::messages::well_known::Empty;
use crate::peer::{Client, Containerd};
use crate::{end, start, state, wait};

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
