//! The hooks that connect containers, with the real plugins, on a host of the test's own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod network_host;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use network_host::{Host, Process};
use serde_json::{Value, json};

const PLUGINS: &str = "/usr/lib/cni";

/// A bundle, as far as its hooks look at it.
struct Bundle {
    path: PathBuf,
    record: Value,
}

impl Bundle {
    /// One in the standard network, but for what `change` makes of it.
    fn new(host: &Host, name: &str, change: impl FnOnce(&mut Value)) -> Self {
        let path = host.path(name);
        std::fs::create_dir(&path).unwrap();
        for file in ["hosts", "resolv.conf"] {
            std::fs::write(path.join(file), "").unwrap();
        }
        let mut record = json!({
            "networks": host.path("networks"),
            "pluginPath": [PLUGINS, host.path("plugins")],
            "network": {
                "cniVersion": "1.0.0",
                "name": "test",
                "plugins": [
                    {
                        "type": "bridge",
                        "bridge": "test0",
                        "isGateway": true,
                        "ipMasq": true,
                        "hairpinMode": true,
                        "ipam": {
                            "type": "host-local",
                            "ranges": [[{ "subnet": "10.99.0.0/24" }]],
                            "routes": [{ "dst": "0.0.0.0/0" }],
                            "dataDir": host.path("addresses"),
                        },
                    },
                    { "type": "portmap", "capabilities": { "portMappings": true } },
                    { "type": "firewall" },
                ],
            },
            "ports": [],
            "hostname": format!("{name}-host"),
            "hosts": path.join("hosts"),
            "addedHosts": [],
            "resolvConf": path.join("resolv.conf"),
            "resolver": {},
        });
        change(&mut record);
        let json = serde_json::to_vec(&record).unwrap();
        std::fs::write(path.join("network.json"), json).unwrap();
        Bundle { path, record }
    }

    fn hosts(&self) -> String {
        std::fs::read_to_string(self.path.join("hosts")).unwrap()
    }

    fn attach(&self, host: &Host, id: &str, process: &Process) -> Output {
        let record = self.path.join("network.json");
        hook(host, "attach", &record, id, process.pid())
    }
}

fn start(host: &Host, verb: &str, argument: &Path, id: &str, pid: u32) -> Child {
    let state = json!({ "ociVersion": "1.0.2", "id": id, "pid": pid, "status": "creating" });
    let mut child = host
        .command(env!("CARGO_BIN_EXE_windlass-img"))
        .args(["network-hook", verb])
        .arg(argument)
        // Hooks may have no environment at all.
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(state.to_string().as_bytes()).unwrap();
    child
}

fn hook(host: &Host, verb: &str, argument: &Path, id: &str, pid: u32) -> Output {
    let child = start(host, verb, argument, id, pid);
    child.wait_with_output().unwrap()
}

fn detach(host: &Host, id: &str) {
    succeeded(&hook(host, "detach", &host.path("networks"), id, 0));
}

fn succeeded(output: &Output) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stderr, "");
}

fn refused(output: &Output, why: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(why), "'{why}' is not in: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

fn address(process: &Process) -> Option<String> {
    let mut ip = process.command("ip");
    let output = ip.args(["-j", "addr", "show", "eth0"]).output().unwrap();
    let shown: Value = serde_json::from_slice(&output.stdout).ok()?;
    Some(shown[0]["addr_info"][0]["local"].as_str()?.to_owned())
}

/// The addresses that host-local has given out.
fn addresses(host: &Host) -> Vec<String> {
    let listed = std::fs::read_dir(host.path("addresses/test"));
    let names = listed
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("10.")).collect()
}

/// The rules that are a container's, by the comments that plugins give them.
fn rules_of(host: &Host, id: &str) -> Vec<String> {
    host.rules_with(&format!("id: \\\"{id}\\\""))
}

/// That nothing is left of a container.
fn assert_nothing_of(host: &Host, id: &str) {
    assert_eq!(addresses(host), [""; 0]);
    assert_eq!(rules_of(host, id), [""; 0]);
    assert_eq!(host.rules_with("10.99.0.2"), [""; 0]);
    for directory in ["attachments", "namespaces"] {
        let path = host.path("networks").join(directory);
        let left = std::fs::read_dir(path).unwrap().count();
        assert_eq!(left, 0, "{directory}");
    }
    let mounts = host.run("cat", &["/proc/self/mountinfo"]);
    let own = host.path("networks").display().to_string();
    assert!(!mounts.contains(&own), "{mounts}");
    let links = host.run("ip", &["-o", "link"]);
    assert!(!links.contains("veth"), "{links}");
}

/// Waits for a listener of TCP in a process's network.
fn wait_for_listener(process: &Process, port: u16) {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let mut cat = process.command("cat");
        let output = cat.args(["/proc/net/tcp", "/proc/net/tcp6"]).output();
        let sockets = String::from_utf8(output.unwrap().stdout).unwrap();
        let port = format!(":{port:04X} ");
        // 0A is TCP_LISTEN.
        if sockets
            .lines()
            .any(|line| line.contains(&port) && line.contains(" 0A "))
        {
            return;
        }
        assert!(Instant::now() < until, "nobody listens: {sockets}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A server in a process's network that says `text` to one client.
fn serve(process: &Process, port: u16, text: &str) -> Process {
    let port_text = port.to_string();
    let server = process.program(
        "busybox",
        &["nc", "-l", "-p", &port_text, "-e", "echo", text],
    );
    wait_for_listener(process, port);
    server
}

fn ask(mut client: Command, address: &str, port: u16) -> String {
    let port = port.to_string();
    let client = client.args(["nc", "-w", "5", address, &port]);
    let output = client.stdin(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn containers_reach_each_other_by_address_and_name_and_leave_nothing() {
    let host = Host::new();
    let (web, db) = (host.process(), host.process());
    let web_bundle = Bundle::new(&host, "web", |record| {
        record["addedHosts"] = json!([{ "name": "outside", "address": null }]);
    });
    let db_bundle = Bundle::new(&host, "db", |_| {});
    succeeded(&web_bundle.attach(&host, "web", &web));
    succeeded(&db_bundle.attach(&host, "db", &db));

    let (of_web, of_db) = (address(&web).unwrap(), address(&db).unwrap());
    assert_ne!(of_web, of_db);
    let hosts = web_bundle.hosts();
    assert!(hosts.contains("127.0.0.1\tlocalhost\n"), "{hosts}");
    assert!(hosts.contains("10.99.0.1\toutside\n"), "{hosts}");
    let own = hosts.find(&format!("{of_web}\tweb-host web\n")).unwrap();
    let other = hosts.find(&format!("{of_db}\tdb-host db\n")).unwrap();
    assert!(own < other, "{hosts}");
    assert!(
        db_bundle
            .hosts()
            .contains(&format!("{of_web}\tweb-host web\n")),
        "who came later knows who was there"
    );

    let server = serve(&db, 5432, "rows");
    assert_eq!(ask(web.command("busybox"), &of_db, 5432), "rows\n");
    server.wait();
    let loopback = serve(&web, 80, "itself");
    assert_eq!(ask(web.command("busybox"), "127.0.0.1", 80), "itself\n");
    loopback.wait();
    assert_eq!(rules_of(&host, "web").len(), 3, "masquerade");

    // Their namespaces end first, as they do in a runtime.
    db.end();
    detach(&host, "db");
    let hosts = web_bundle.hosts();
    assert!(!hosts.contains("db"), "{hosts}");
    assert!(hosts.contains("web-host"), "{hosts}");
    assert_eq!(address(&web).unwrap(), of_web);
    web.end();
    detach(&host, "web");
    assert!(!web_bundle.hosts().contains("web-host"));
    assert_nothing_of(&host, "web");
    detach(&host, "web"); // a second time is fine
}

#[test]
fn a_published_port_leads_into_the_container_and_is_nobody_elses() {
    let host = Host::new();
    let publish = |port: u16| {
        move |record: &mut Value| {
            record["ports"] = json!([{ "hostPort": port, "containerPort": 80, "protocol": "tcp" }]);
        }
    };
    let (first, second) = (host.process(), host.process());
    let web = Bundle::new(&host, "web", publish(4000));
    succeeded(&web.attach(&host, "web", &first));
    for from in ["127.0.0.1", "10.99.0.1"] {
        let server = serve(&first, 80, "page");
        assert_eq!(ask(host.command("busybox"), from, 4000), "page\n", "{from}");
        server.wait();
    }
    let server = serve(&first, 80, "by its own way out");
    let answer = ask(first.command("busybox"), "10.99.0.1", 4000);
    assert_eq!(answer, "by its own way out\n");
    server.wait();

    let other = Bundle::new(&host, "other", publish(4000));
    let output = other.attach(&host, "other", &second);
    refused(
        &output,
        "0.0.0.0:4000->80/tcp can't be published: container web has it",
    );
    assert_eq!(address(&second), None);

    let program = host.program("busybox", &["nc", "-l", "-p", "4001"]);
    wait_for_listener(&program, 4001);
    let third = Bundle::new(&host, "third", publish(4001));
    let output = third.attach(&host, "third", &second);
    refused(
        &output,
        "4001->80/tcp can't be published: a program of this host has it",
    );
    program.end();

    first.end();
    detach(&host, "web");
    assert_nothing_of(&host, "web");
    assert_eq!(host.rules_with("4000"), [""; 0]);
    succeeded(&other.attach(&host, "other", &second));
    detach(&host, "other");
}

/// Adds a program to the plugins.
fn plugin(host: &Host, name: &str, script: &str) {
    let directory = host.path("plugins");
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn a_plugin_that_fails_undoes_those_before_it() {
    let host = Host::new();
    plugin(
        &host,
        "refuses",
        "[ $CNI_COMMAND = DEL ] && exit\n\
         echo '{\"cniVersion\":\"1.0.0\",\"code\":111,\"msg\":\"not today\",\"details\":\"why not\"}'\n\
         exit 1\n",
    );
    plugin(&host, "mute", "exit 0\n");
    plugin(&host, "dies", "echo some words >&2\nkill -9 $$\n");
    let process = host.process();
    for (name, why) in [
        (
            "refuses",
            "network 'test': CNI plugin 'refuses', ADD: not today (why not)",
        ),
        (
            "dies",
            "CNI plugin 'dies', ADD: signal: 9 (SIGKILL): some words",
        ),
        (
            "mute",
            "CNI plugin 'mute', ADD: it succeeds without a result",
        ),
        (
            "missing",
            "there is no CNI plugin 'missing' in /usr/lib/cni, ",
        ),
    ] {
        let bundle = Bundle::new(&host, name, |record| {
            let plugins = record["network"]["plugins"].as_array_mut().unwrap();
            plugins.push(json!({ "type": name }));
            record["ports"] = json!([{ "hostPort": 4000, "containerPort": 80, "protocol": "tcp" }]);
        });
        let output = bundle.attach(&host, "web", &process);
        refused(&output, why);
        refused(&output, "can't connect container web");
        assert_eq!(address(&process), None);
        if !matches!(name, "refuses" | "mute") {
            // Nor could it be asked to undo what it may have done: somebody has to try again.
            refused(&output, "not undone yet");
            assert!(host.path("networks/attachments/web").exists());
            plugin(&host, name, "");
            let networks = host.path("networks");
            succeeded(&hook(&host, "detach", &networks, "web", process.pid()));
        }
        assert_nothing_of(&host, "web");
    }
}

#[test]
fn what_was_asked_for_and_the_network_cannot_do_is_an_error() {
    let host = Host::new();
    let process = host.process();
    let bundle = Bundle::new(&host, "six", |record| {
        record["ports"] = json!([{ "hostPort": 4000, "containerPort": 80, "protocol": "tcp",
            "hostIP": "::1" }]);
    });
    let output = bundle.attach(&host, "six", &process);
    refused(
        &output,
        "[::1]:4000->80/tcp can't be published: the container has no such address",
    );
    assert_nothing_of(&host, "six");
    let output = bundle.attach(&host, "a+b", &process);
    refused(&output, "a container's id may have");
}

#[test]
fn a_signal_undoes_what_was_done() {
    let host = Host::new();
    let waits = "[ $CNI_COMMAND = DEL ] && exit\ntouch \"${0%/*}/reached\"\nexec sleep 100\n";
    plugin(&host, "waits", waits);
    let process = host.process();
    let bundle = Bundle::new(&host, "web", |record| {
        let plugins = record["network"]["plugins"].as_array_mut().unwrap();
        plugins.push(json!({ "type": "waits" }));
    });
    let record = bundle.path.join("network.json");
    let child = start(&host, "attach", &record, "web", process.pid());
    let until = Instant::now() + Duration::from_secs(20);
    while !host.path("plugins/reached").exists() {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(10));
    }
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(128 + 15));
    assert_nothing_of(&host, "web");
}

#[test]
fn after_a_crash_or_a_reboot_nothing_stands_in_the_way() {
    let host = Host::new();
    let process = host.process();
    let bundle = Bundle::new(&host, "web", |record| {
        record["ports"] = json!([{ "hostPort": 4000, "containerPort": 80, "protocol": "tcp" }]);
    });
    succeeded(&bundle.attach(&host, "web", &process));
    let first = address(&process).unwrap();

    // The container is there: nobody else may have its id, or its bundle.
    let another = host.process();
    let output = bundle.attach(&host, "web", &another);
    refused(&output, "container web is attached to a network already");
    refused(&bundle.attach(&host, "web2", &another), "container web");
    detach_is_ignored_for_another(&host, &another);
    assert_eq!(address(&process).unwrap(), first);

    // It was killed, and nobody called the hook: the id is free again.
    process.end();
    succeeded(&bundle.attach(&host, "web", &another));
    assert_eq!(addresses(&host).len(), 1);
    another.end();

    // The machine was started anew: no namespace, no rules, but the files.
    let path = host.path("networks/attachments/web");
    let mut attachment: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    attachment["process"]["boot"] = json!("another");
    std::fs::write(&path, attachment.to_string()).unwrap();
    let held = host.path("networks/namespaces/web");
    host.run("umount", &[held.to_str().unwrap()]);
    let fresh = host.process();
    let other = Bundle::new(&host, "other", |record| {
        record["ports"] = bundle.record["ports"].clone();
    });
    succeeded(&other.attach(&host, "other", &fresh));
    assert_eq!(addresses(&host).len(), 1, "that of the lost one is free");
    assert!(!path.exists());
    fresh.end();
    detach(&host, "other");
}

/// A create that was refused for its id ends with a poststop hook of that id.
fn detach_is_ignored_for_another(host: &Host, another: &Process) {
    let networks = host.path("networks");
    succeeded(&hook(host, "detach", &networks, "web", another.pid()));
    succeeded(&hook(host, "detach", &networks, "web", 0));
}

#[test]
fn a_network_says_which_name_servers_it_has() {
    let host = Host::new();
    let process = host.process();
    let bundle = Bundle::new(&host, "web", |record| {
        record["network"]["plugins"][0]["dns"] = json!({
            "nameservers": ["10.99.0.1"], "search": ["inside.example"],
        });
        record["resolver"] = json!({ "options": ["ndots:2"] });
    });
    succeeded(&bundle.attach(&host, "web", &process));
    let text = std::fs::read_to_string(bundle.path.join("resolv.conf")).unwrap();
    assert_eq!(
        text,
        "nameserver 10.99.0.1\nsearch inside.example\noptions ndots:2\n"
    );
    process.end();
    // Its bundle may be gone by then.
    std::fs::remove_dir_all(&bundle.path).unwrap();
    detach(&host, "web");
    assert_nothing_of(&host, "web");
}

#[test]
fn a_container_in_the_hosts_network_keeps_its_hands_off_it() {
    let host = Host::new();
    host.run("ip", &["link", "add", "eth0", "type", "ifb"]);
    let bundle = Bundle::new(&host, "web", |_| {});
    let process = host.program("sleep", &["1000"]);
    let output = bundle.attach(&host, "web", &process);
    refused(&output, "is in the network namespace of its runtime");
    host.run("ip", &["link", "show", "eth0"]);
}

#[test]
fn what_is_wrong_with_one_container_is_not_the_others_affair() {
    let host = Host::new();
    let (first, second) = (host.process(), host.process());
    let [one, two] = ["one", "two"].map(|name| Bundle::new(&host, name, |_| {}));
    succeeded(&one.attach(&host, "one", &first));

    // Its record was lost with the power.
    let damaged = host.path("networks/attachments/damaged");
    std::fs::write(&damaged, "").unwrap();
    // And there is one whose files can't be written.
    std::fs::remove_file(one.path.join("hosts")).unwrap();
    std::os::unix::fs::symlink("/dev/null", one.path.join("hosts")).unwrap();
    let output = two.attach(&host, "two", &second);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains("attachments/damaged"), "{stderr}");
    assert!(two.hosts().contains("one-host one"), "{}", two.hosts());
    std::fs::remove_file(&damaged).unwrap();

    // Who goes is taken out of the others' files even if its own can't be written.
    let networks = host.path("networks");
    let output = hook(&host, "detach", &networks, "one", first.pid());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(!two.hosts().contains("one-host"), "{}", two.hosts());
    detach_process(&host, "two", &second);
    assert_nothing_of(&host, "two");
}

/// Detaches a container whose process is still there.
fn detach_process(host: &Host, id: &str, process: &Process) {
    let networks = host.path("networks");
    succeeded(&hook(host, "detach", &networks, id, process.pid()));
}

#[test]
fn gc_detaches_what_nobody_will() {
    let host = Host::new();
    // The directory of networks is where it is in a store.
    let store = host.path("").display().to_string();
    let program = env!("CARGO_BIN_EXE_windlass-img");
    host.run(program, &["images", "--store", &store]);
    let (lost, running) = (host.process(), host.process());
    let bundle = Bundle::new(&host, "lost", |_| {});
    succeeded(&bundle.attach(&host, "lost", &lost));
    let other = Bundle::new(&host, "running", |_| {});
    succeeded(&other.attach(&host, "running", &running));
    lost.end();
    std::fs::remove_dir_all(&bundle.path).unwrap();
    std::fs::remove_dir_all(&other.path).unwrap();
    host.run(program, &["gc", "--store", &store]);
    assert_eq!(addresses(&host).len(), 1);
    assert_eq!(rules_of(&host, "lost"), [""; 0]);
    assert_eq!(rules_of(&host, "running").len(), 3);
    running.end();
    detach(&host, "running");
    assert_nothing_of(&host, "running");
}

/// A plugin whose call for one container waits for the file `go`, and is noted by the file `reached`.
/// While a container is attached, there is a file of its name.
fn slow_plugin(host: &Host, container: &str, verb: &str) {
    let script = format!(
        r#"cd "${{0%/*}}"
        if [ $CNI_CONTAINERID.$CNI_COMMAND = {container}.{verb} ]; then
            touch reached
            until [ -e go ]; do sleep 0.02; done
        fi
        if [ $CNI_COMMAND = DEL ]; then
            rm -f attached.$CNI_CONTAINERID
        else
            touch attached.$CNI_CONTAINERID
            echo '{{"cniVersion":"1.0.0"}}'
        fi"#
    );
    plugin(host, "slow", &script);
}

fn with_slow_plugin(host: &Host, name: &str) -> Bundle {
    Bundle::new(host, name, |record| {
        record["network"]["plugins"] = json!([{ "type": "slow" }]);
    })
}

fn wait_for_file(path: &Path) {
    let until = Instant::now() + Duration::from_secs(60);
    while !path.exists() {
        assert!(Instant::now() < until, "no {}", path.display());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_slow_plugin_keeps_no_other_container_waiting() {
    let host = Host::new();
    slow_plugin(&host, "slow", "DEL");
    let [first, second, third] = [host.process(), host.process(), host.process()];
    let slow = with_slow_plugin(&host, "slow");
    succeeded(&slow.attach(&host, "slow", &first));
    let other = with_slow_plugin(&host, "other");
    succeeded(&other.attach(&host, "other", &second));
    first.end();
    second.end();
    let mut waiting = start(&host, "detach", &host.path("networks"), "slow", 0);
    wait_for_file(&host.path("plugins/reached"));
    detach(&host, "other");
    succeeded(&with_slow_plugin(&host, "third").attach(&host, "third", &third));
    assert!(waiting.try_wait().unwrap().is_none());
    std::fs::write(host.path("plugins/go"), "").unwrap();
    succeeded(&waiting.wait_with_output().unwrap());
    third.end();
    detach(&host, "third");
    assert_nothing_of(&host, "slow");
    for name in ["slow", "other", "third"] {
        assert!(!host.path(&format!("plugins/attached.{name}")).exists());
    }
}

#[test]
fn who_is_deleted_while_being_attached_is_detached() {
    let host = Host::new();
    slow_plugin(&host, "web", "ADD");
    let process = host.process();
    let bundle = with_slow_plugin(&host, "web");
    let record = bundle.path.join("network.json");
    let attaching = start(&host, "attach", &record, "web", process.pid());
    wait_for_file(&host.path("plugins/reached"));
    process.end();
    let mut detaching = start(&host, "detach", &host.path("networks"), "web", 0);
    std::thread::sleep(Duration::from_millis(300));
    // What it would undo isn't done yet.
    assert!(detaching.try_wait().unwrap().is_none());
    std::fs::write(host.path("plugins/go"), "").unwrap();
    succeeded(&attaching.wait_with_output().unwrap());
    succeeded(&detaching.wait_with_output().unwrap());
    assert_nothing_of(&host, "web");
    assert!(!host.path("plugins/attached.web").exists());
    let locks = std::fs::read_dir(host.path("networks/locks")).unwrap();
    assert_eq!(locks.count(), 0);
}
