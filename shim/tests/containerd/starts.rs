//! How a shim comes into being, and what it says of itself.

use std::fs;
use std::path::Path;

use prost::Message;
use serde_json::json;

use crate::harness::{eventually, is_alive, new_id};
use crate::messages::introspection::RuntimeInfo;
use crate::messages::pack;
use crate::messages::runc_options::Options;
use crate::messages::task::{
    CreateTaskRequest, CreateTaskResponse, DeleteResponse, StartResponse, Status, WaitResponse,
};
use crate::messages::well_known::Empty;
use crate::peer::{Client, Containerd, feed, said};
use crate::{delete, end, kill, shim_pid, shut_down, start, state, wait};

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
fn the_runtime_and_the_shim_are_as_runcs_options_say() {
    let mut containerd = Containerd::new();
    containerd.shim.script("sleep 600");
    let words = containerd.shim.place.path().join("words");
    let script = format!("echo \" $* \" >>{}; exec $RUNTIME \"$@\"", words.display());
    containerd.shim.fake_runtime(&script);
    let (id, bundle) = (new_id(), containerd.shim.bundle());
    let name = format!("shim-of-{id}");
    // One hierarchy is enough where each controller has its own.
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = [root.to_owned(), root.join("pids"), root.join("memory")];
    let hierarchy = hierarchies
        .iter()
        .find(|path| path.join("cgroup.procs").exists());
    let cgroup = hierarchy.expect("a hierarchy of cgroups").join(&name);
    fs::create_dir(&cgroup).unwrap();
    let options = Options {
        no_pivot_root: true,
        no_new_keyring: true,
        shim_cgroup: format!("/{name}"),
        ..containerd.options()
    };
    let mut client = Client::new(&containerd.start_with(&bundle, &id, &options));
    let shim = shim_pid(&mut client, &id);
    let place = fs::read_to_string(format!("/proc/{shim}/cgroup")).unwrap();
    assert!(place.lines().any(|line| line.ends_with(&name)), "{place}");
    let request = CreateTaskRequest {
        options: Some(pack(&options)),
        ..containerd.create_request(&bundle, &id)
    };
    client
        .call::<CreateTaskResponse>("Create", &request)
        .unwrap();
    let words = fs::read_to_string(words).unwrap();
    for option in [" create ", " --no-pivot ", " --no-new-keyring "] {
        assert!(words.contains(option), "{words}");
    }
    end(&mut client, &id);
    eventually("the cgroup is empty", || fs::remove_dir(&cgroup).is_ok());
}

/// There need be no systemd here: the runtime that is told so passes everything else on.
#[test]
fn every_call_of_the_runtime_says_that_systemd_makes_cgroups() {
    let mut containerd = Containerd::new();
    containerd.shim.script("sleep 600");
    let calls = containerd.shim.place.path().join("calls");
    let script = format!(
        r#"echo " $* " >>{}
for word in "$@"; do
    shift
    [ "$word" = --systemd-cgroup ] || set -- "$@" "$word"
done
exec $RUNTIME "$@""#,
        calls.display()
    );
    containerd.shim.fake_runtime(&script);
    let (id, bundle) = (new_id(), containerd.shim.bundle());
    let options = Options {
        systemd_cgroup: true,
        ..containerd.options()
    };
    let mut client = Client::new(&containerd.start_with(&bundle, &id, &options));
    let request = CreateTaskRequest {
        options: Some(pack(&options)),
        ..containerd.create_request(&bundle, &id)
    };
    client
        .call::<CreateTaskResponse>("Create", &request)
        .unwrap();
    end(&mut client, &id);
    let calls = fs::read_to_string(calls).unwrap();
    for verb in ["create", "kill", "delete"] {
        let call = calls
            .lines()
            .find(|call| call.contains(&format!(" {verb} ")));
        let call = call.unwrap_or_else(|| panic!("no {verb}: {calls}"));
        let before_verb = call.split(verb).next().unwrap();
        assert!(before_verb.contains(" --systemd-cgroup "), "{call}");
    }
}
