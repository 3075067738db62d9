//! Callers that give up, and calls for what goes away meanwhile: each is answered, and nothing stays
//! half done.

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::json;

use crate::harness::{eventually, is_alive, new_id};
use crate::messages::task::{
    CreateTaskResponse, DeleteRequest, DeleteResponse, PauseRequest, StartRequest, StartResponse,
    Status, WaitRequest, WaitResponse,
};
use crate::messages::well_known::Empty;
use crate::peer::{Client, Containerd};
use crate::{
    DEADLINE_EXCEEDED, NOT_FOUND, delete, end, exec, running, shim_pid, shut_down, start, state,
    wait,
};

#[test]
fn a_shutdown_for_one_container_lets_another_be_made() {
    let mut containerd = Containerd::new();
    containerd.shim.script("sleep 600");
    let begun = containerd.shim.place.path().join("begun");
    containerd.shim.fake_runtime(&format!(
        "case \" $* \" in *\" create \"*/two*) touch {}; sleep 1;; esac; exec $RUNTIME \"$@\"",
        begun.display()
    ));
    let of_group = |config: &mut serde_json::Value| {
        config["annotations"] = json!({"io.containerd.runc.v2.group": "g"});
    };
    let one = containerd.another_bundle("one", of_group);
    let two = containerd.another_bundle("two", of_group);
    let (first, second) = (new_id(), new_id());
    let address = containerd.start(&one, &first);
    let mut client = Client::new(&address);
    client
        .call::<CreateTaskResponse>("Create", &containerd.create_request(&one, &first))
        .unwrap();
    assert_eq!(containerd.start(&two, &second), address);
    let mut other = Client::new(&address);
    other.ask("Create", &containerd.create_request(&two, &second));
    eventually("the runtime is at it", || begun.exists());
    client
        .call::<DeleteResponse>("Delete", &delete(&first))
        .unwrap();
    shut_down(&mut client, &first);
    other.hear::<CreateTaskResponse>().unwrap();
    end(&mut other, &second);
}

#[test]
fn who_waits_for_an_exec_that_is_deleted_is_told() {
    let containerd = Containerd::new();
    let (id, mut client) = running(&containerd, "sleep 600");
    let address = fs::read_to_string(containerd.shim.bundle().join("address")).unwrap();
    let mut waiter = Client::new(&address);
    client
        .call::<Empty>("Exec", &exec(&id, "one", "true"))
        .unwrap();
    let exec_id = "one".to_owned();
    let request = WaitRequest {
        exec_id: exec_id.clone(),
        ..wait(&id)
    };
    waiter.ask_within(Duration::from_secs(20), "Wait", &request);
    std::thread::sleep(Duration::from_millis(200));
    let request = DeleteRequest {
        exec_id,
        ..delete(&id)
    };
    client.call::<DeleteResponse>("Delete", &request).unwrap();
    let status = waiter.hear::<WaitResponse>().unwrap_err();
    assert_eq!(status.code, NOT_FOUND, "{}", status.message);
    end(&mut client, &id);
}

/// What still writes to an exec's output is given up after a while, which both are answered then.
#[test]
fn two_who_delete_an_exec_are_both_answered() {
    let containerd = Containerd::new();
    let (id, mut client) = running(&containerd, "sleep 600");
    let address = fs::read_to_string(containerd.shim.bundle().join("address")).unwrap();
    let mut other = Client::new(&address);
    let mut request = exec(&id, "one", "sleep 300 & exit 3");
    request.stdout = containerd.fifo("out");
    let reader = {
        let path = request.stdout.clone();
        std::thread::spawn(move || fs::read(path))
    };
    client.call::<Empty>("Exec", &request).unwrap();
    let exec_id = "one".to_owned();
    let request = StartRequest {
        exec_id: exec_id.clone(),
        ..start(&id)
    };
    client.call::<StartResponse>("Start", &request).unwrap();
    let request = WaitRequest {
        exec_id: exec_id.clone(),
        ..wait(&id)
    };
    client.call::<WaitResponse>("Wait", &request).unwrap();
    let request = DeleteRequest {
        exec_id,
        ..delete(&id)
    };
    for client in [&mut other, &mut client] {
        client.ask_within(Duration::from_secs(25), "Delete", &request);
    }
    for client in [&mut other, &mut client] {
        assert_eq!(client.hear::<DeleteResponse>().unwrap().exit_status, 3);
    }
    end(&mut client, &id);
    reader.join().unwrap().unwrap();
}

#[test]
fn a_create_that_is_given_up_while_its_logger_gets_ready_is_not_begun() {
    let containerd = Containerd::new();
    containerd.shim.script("sleep 600");
    let logger = containerd.shim.place.path().join("logger");
    let go = logger.with_file_name("go");
    let script = format!(
        "#!/bin/sh\nwhile ! [ -e {} ]; do /bin/sleep 0.05; done\nexec 5>&-; exec /bin/cat <&3 >/dev/null\n",
        go.display()
    );
    fs::write(&logger, script).unwrap();
    fs::set_permissions(&logger, fs::Permissions::from_mode(0o755)).unwrap();
    let (id, bundle) = (new_id(), containerd.shim.bundle());
    let mut client = Client::new(&containerd.start(&bundle, &id));
    let mut request = containerd.create_request(&bundle, &id);
    request.stdout = format!("binary://{}", logger.display());
    client.ask_within(Duration::from_millis(300), "Create", &request);
    let status = client.hear::<CreateTaskResponse>().unwrap_err();
    assert_eq!(status.code, DEADLINE_EXCEEDED);
    fs::write(&go, "").unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert!(!containerd.runtime_knows(&id));
    // The id is free again.
    client
        .call::<CreateTaskResponse>("Create", &request)
        .unwrap();
    end(&mut client, &id);
    containerd.expect_topics(&["create", "exit", "delete"]);
}

#[test]
fn a_shim_that_ends_waits_for_no_logger() {
    let containerd = Containerd::new();
    containerd.shim.script("sleep 600");
    let logger = containerd.shim.place.path().join("logger");
    fs::write(&logger, "#!/bin/sh\nexec /bin/sleep 20\n").unwrap();
    fs::set_permissions(&logger, fs::Permissions::from_mode(0o755)).unwrap();
    let (id, bundle) = (new_id(), containerd.shim.bundle());
    let address = containerd.start(&bundle, &id);
    let (mut client, mut other) = (Client::new(&address), Client::new(&address));
    let shim = shim_pid(&mut client, &id);
    let mut request = containerd.create_request(&bundle, &id);
    request.stdout = format!("binary://{}", logger.display());
    other.ask("Create", &request);
    std::thread::sleep(Duration::from_millis(200));
    let began = Instant::now();
    shut_down(&mut client, &id);
    let status = other.hear::<CreateTaskResponse>().unwrap_err();
    assert!(
        status.message.contains("the shim is to end"),
        "{}",
        status.message
    );
    eventually("the shim has ended", || !is_alive(shim));
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_pause_that_is_given_up_leaves_nothing_frozen() {
    let mut containerd = Containerd::new();
    let paused = containerd.shim.place.path().join("paused");
    containerd.shim.fake_runtime(&format!(
        "case \" $* \" in *\" pause \"*) $RUNTIME \"$@\"; touch {}; exec sleep 600;; esac; \
         exec $RUNTIME \"$@\"",
        paused.display()
    ));
    let (id, mut client) = running(&containerd, "sleep 600");
    let request = PauseRequest { id: id.clone() };
    client.ask_within(Duration::from_secs(2), "Pause", &request);
    let status = client.hear::<Empty>().unwrap_err();
    assert_eq!(status.code, DEADLINE_EXCEEDED);
    assert!(paused.exists());
    eventually("it runs again", || {
        state(&mut client, &id, "").status() == Status::Running
    });
    // What is frozen doesn't end by this.
    let request = exec(&id, "one", "true");
    client.call::<Empty>("Exec", &request).unwrap();
    let exec_id = "one".to_owned();
    let request = StartRequest {
        exec_id: exec_id.clone(),
        ..start(&id)
    };
    client.call::<StartResponse>("Start", &request).unwrap();
    let request = WaitRequest {
        exec_id,
        ..wait(&id)
    };
    client.ask_within(Duration::from_secs(10), "Wait", &request);
    assert_eq!(client.hear::<WaitResponse>().unwrap().exit_status, 0);
    end(&mut client, &id);
}

fn pty() -> (OwnedFd, String) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    (master, name.into_string().unwrap())
}

#[test]
fn a_terminal_that_nobody_reads_holds_nobody_up() {
    for scheme in ["", "file://"] {
        let containerd = Containerd::new();
        containerd
            .shim
            .script("head -c 200000 /dev/zero | tr '\\0' x; sleep 600");
        let (id, bundle) = (new_id(), containerd.shim.bundle());
        let mut client = Client::new(&containerd.start(&bundle, &id));
        let (master, name) = pty();
        let mut request = containerd.create_request(&bundle, &id);
        request.stdout = format!("{scheme}{name}");
        client
            .call::<CreateTaskResponse>("Create", &request)
            .unwrap();
        client.call::<StartResponse>("Start", &start(&id)).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        let shim = shim_pid(&mut client, &id);
        let stat = fs::read_to_string(format!("/proc/{shim}/stat")).unwrap();
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let terminal = fields.split_whitespace().nth(4).unwrap();
        assert_eq!(terminal, "0", "the shim has got a terminal");
        assert_eq!(state(&mut client, &id, "").status(), Status::Running);
        // Nothing is lost: it waits for who reads it. EIO: nobody has the terminal open any more.
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let reader = std::thread::spawn(move || {
            let (mut master, mut bytes) = (fs::File::from(master), vec![0; 4096]);
            while let Ok(length) = master.read(&mut bytes) {
                counted.fetch_add(length, Ordering::Relaxed);
            }
        });
        eventually("all is read", || count.load(Ordering::Relaxed) >= 200_000);
        end(&mut client, &id);
        reader.join().unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 200_000);
    }
}
