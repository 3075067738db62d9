//! Containers and execs, and the events that tell of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::harness::{eventually, is_alive, new_id};
use crate::messages;
use crate::messages::events::{TaskExit, TaskStart};
use crate::messages::runc_options::{CheckpointOptions, ProcessDetails};
use crate::messages::task::{
    CheckpointTaskRequest, CreateTaskResponse, DeleteRequest, DeleteResponse, PauseRequest,
    PidsRequest, PidsResponse, ResumeRequest, StartRequest, StartResponse, StatsRequest,
    StatsResponse, Status, UpdateTaskRequest, WaitRequest, WaitResponse,
};
use crate::messages::well_known::{Any, Empty};
use crate::messages::{pack, unpack};
use crate::peer::{Client, Containerd};
use crate::{
    ALREADY_EXISTS, FAILED_PRECONDITION, delete, end, exec, running, shim_pid, shut_down, start,
    state, wait,
};

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

/// The runtime that is called here does no more than containerd sees of CRIU, which works on few
/// machines: it notes what it is told, and "restores" by creating and starting.
#[test]
fn a_checkpoint_is_made_and_restored_by_the_runtime() {
    let mut containerd = Containerd::new();
    containerd.shim.script("sleep 600");
    let notes = containerd.shim.place.path().join("notes");
    containerd.shim.fake_runtime(&format!(
        r#"case " $* " in
*" checkpoint "*) echo "$@" >> {notes}; exit 0;;
*" restore "*) echo "$@" >> {notes}
    set -- $(echo "$@" | sed -e 's/ restore / create /' -e 's/ --detach//' -e 's/ --no-subreaper//' \
        -e 's/ --image-path [^ ]*//' -e 's/ --work-path [^ ]*//')
    $RUNTIME "$@" || exit
    for id; do :; done
    exec $RUNTIME "$1" "$2" start $id;;
*) exec $RUNTIME "$@";;
esac"#,
        notes = notes.display()
    ));
    let (id, mut client) = running(&containerd, "sleep 600");
    let request = CheckpointTaskRequest {
        id: id.clone(),
        path: "/images".to_owned(),
        options: Some(pack(&CheckpointOptions {
            open_tcp: true,
            ..CheckpointOptions::default()
        })),
    };
    client.call::<Empty>("Checkpoint", &request).unwrap();
    let bundle = containerd.shim.bundle();
    let work = bundle.join("work/criu-work");
    let noted = fs::read_to_string(&notes).unwrap();
    let expected = format!(
        "checkpoint --image-path /images --work-path {} --tcp-established --leave-running {id}\n",
        work.display()
    );
    assert!(noted.ends_with(&expected), "{noted}");
    end(&mut client, &id);
    containerd.expect_topics(&["create", "start", "checkpointed", "exit", "delete"]);

    let id = new_id();
    let mut client = Client::new(&containerd.start(&bundle, &id));
    let mut request = containerd.create_request(&bundle, &id);
    request.checkpoint = "/images".to_owned();
    let created: CreateTaskResponse = client.call("Create", &request).unwrap();
    assert_eq!(created.pid, 0);
    assert_eq!(state(&mut client, &id, "").status(), Status::Created);
    let started: StartResponse = client.call("Start", &start(&id)).unwrap();
    assert!(is_alive(started.pid.into()));
    assert_eq!(state(&mut client, &id, "").status(), Status::Running);
    let noted = fs::read_to_string(&notes).unwrap();
    assert!(noted.contains(" restore --detach --bundle "), "{noted}");
    assert!(noted.contains(" --image-path /images "), "{noted}");
    let deleted = end(&mut client, &id);
    assert_eq!((deleted.exit_status, deleted.pid), (137, started.pid));
    let topics = containerd.topics();
    assert_eq!(topics[5..], ["create", "start", "exit", "delete"]);
}

#[test]
fn the_shim_may_open_more_than_its_containers() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // Each test is a process of its own.
    let hard = getrlimit(Resource::Nofile).maximum;
    let given = Rlimit {
        current: Some(300),
        maximum: hard,
    };
    setrlimit(Resource::Nofile, given).unwrap();
    let containerd = Containerd::new();
    let (id, mut client) = running(&containerd, "sleep 1000");
    let limit = |pid: u64| {
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max open files"));
        line.unwrap().split_whitespace().nth(3).unwrap().to_owned()
    };
    let container = state(&mut client, &id, "").pid;
    assert_eq!(limit(container.into()), "300");
    let hard = hard.map_or("unlimited".to_owned(), |hard| hard.to_string());
    assert_eq!(limit(shim_pid(&mut client, &id)), hard);
    end(&mut client, &id);
}

#[test]
fn an_execs_name_is_no_name_of_another_file() {
    let containerd = Containerd::new();
    let (id, mut client) = running(&containerd, "sleep 600");
    let pid_file = containerd.shim.bundle().join("init.pid");
    let before = fs::read_to_string(&pid_file).unwrap();
    client
        .call::<Empty>("Exec", &exec(&id, "init", "sleep 600"))
        .unwrap();
    let exec_id = "init".to_owned();
    let request = StartRequest {
        exec_id,
        ..start(&id)
    };
    client.call::<StartResponse>("Start", &request).unwrap();
    assert_eq!(fs::read_to_string(&pid_file).unwrap(), before);
    end(&mut client, &id);
}

#[test]
fn one_that_has_ended_still_has_a_process_and_so_a_use() {
    let containerd = Containerd::new();
    let (id, mut client) = running(&containerd, "exit 3");
    client.call::<WaitResponse>("Wait", &wait(&id)).unwrap();
    // What containerd asks when it is started again; without one it would end the shim.
    let request = PidsRequest { id: id.clone() };
    let pids: PidsResponse = client.call("Pids", &request).unwrap();
    let listed: Vec<u32> = pids.processes.iter().map(|process| process.pid).collect();
    assert_eq!(listed, [state(&mut client, &id, "").pid]);
    assert_eq!(end(&mut client, &id).exit_status, 3);
}
