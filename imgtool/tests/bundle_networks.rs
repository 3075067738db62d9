//! `bundle --network`, from an image to containers that a runtime runs, on a host of the test's own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod network_host;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use network_host::Host;
use serde_json::{Value, json};

/// A host with a store that has an image with a shell, and a runtime.
struct Site {
    host: Host,
    containers: Vec<String>,
}

impl Site {
    fn new() -> Self {
        let host = Host::new();
        let root = host.path("root");
        std::fs::create_dir_all(root.join("bin")).unwrap();
        std::fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        for applet in ["sh", "cat", "nc", "sleep", "ip"] {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        let tar = host.path("root.tar").display().to_string();
        host.run("tar", &["-C", root.to_str().unwrap(), "-cf", &tar, "."]);
        let site = Site {
            host,
            containers: Vec::new(),
        };
        site.succeeds("import", &[&tar, "busybox"]);
        site
    }

    fn path(&self, name: &str) -> String {
        self.host.path(name).display().to_string()
    }

    fn image_tool(&self, verb: &str, arguments: &[&str]) -> Output {
        let mut command = self.host.command(env!("CARGO_BIN_EXE_windlass-img"));
        command.arg(verb);
        if verb != "unbundle" {
            command.args(["--store", &self.path("store")]);
        }
        let empty = self.host.path("registries.conf");
        std::fs::write(&empty, "").unwrap();
        command
            .args(arguments)
            .env("CONTAINERS_REGISTRIES_CONF", empty)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn succeeds(&self, verb: &str, arguments: &[&str]) -> String {
        let output = self.image_tool(verb, arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{verb} {arguments:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn refuses(&self, arguments: &[&str], why: &str) {
        let bundle = self.path("refused");
        let output = self.image_tool("bundle", &[arguments, &["busybox", &bundle]].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(stderr.contains(why), "'{why}' is not in: {stderr}");
        assert!(!self.host.path("refused").exists(), "{stderr}");
    }

    /// Makes a bundle whose container runs `script`, and returns what was printed.
    fn bundle(&self, name: &str, options: &[&str], script: &str) -> String {
        let path = self.path(name);
        let command = ["busybox", &path, "--", "sh", "-c", script];
        let printed = self.succeeds("bundle", &[options, &command].concat());
        self.edit(name, |config| {
            // Other tests have containers of the same name.
            let site = self.host.directory.path().file_name().unwrap();
            let cgroup = format!("/{}-{name}", site.display());
            config["linux"]["cgroupsPath"] = json!(cgroup);
        });
        printed
    }

    fn edit(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let path = self.host.path(name).join("config.json");
        let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut config);
        std::fs::write(path, config.to_string()).unwrap();
    }

    fn runtime(&self, arguments: &[&str]) -> Command {
        let mut command = self.host.command("runc");
        command.args(["--root", &self.path("runtime")]);
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Starts a bundle's container, which has its name; what it prints goes to a file.
    fn start(&mut self, name: &str) {
        self.containers.push(name.to_owned());
        let output = std::fs::File::create(self.host.path(&format!("{name}.out"))).unwrap();
        let bundle = self.path(name);
        let status = self
            .runtime(&["run", "--detach", "--bundle", &bundle, name])
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .status()
            .unwrap();
        assert!(status.success(), "{}", self.printed(name));
    }

    fn printed(&self, name: &str) -> String {
        std::fs::read_to_string(self.host.path(&format!("{name}.out"))).unwrap()
    }

    /// What a container says when it has ended.
    fn said(&self, name: &str) -> String {
        let until = Instant::now() + Duration::from_secs(20);
        while self.state(name)["status"] != "stopped" {
            assert!(Instant::now() < until, "{name}: {}", self.printed(name));
            std::thread::sleep(Duration::from_millis(10));
        }
        self.printed(name)
    }

    fn state(&self, name: &str) -> Value {
        let output = self.runtime(&["state", name]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn delete(&self, name: &str) {
        let output = self.runtime(&["delete", "--force", name]).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
    }

    fn file(&self, path: &str) -> String {
        std::fs::read_to_string(self.host.path(path)).unwrap()
    }

    fn record(&self, path: &str) -> Value {
        serde_json::from_str(&self.file(path)).unwrap()
    }

    fn namespace_of(&self, name: &str) -> PathBuf {
        let pid = &self.state(name)["pid"];
        std::fs::read_link(format!("/proc/{pid}/ns/net")).unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for container in &self.containers {
            let _ = self.runtime(&["delete", "--force", container]).output();
        }
    }
}

#[test]
fn a_bridge_connects_containers_and_publishes_ports() {
    let mut site = Site::new();
    let serve = "exec nc -ll -p 80 -e echo hello";
    let printed = site.bundle("web", &["--publish", "4000:80", "-p", "81"], serve);
    let (address, target) = printed.trim().split_once("->").unwrap();
    assert_eq!(
        target, "81/tcp",
        "only what was chosen is printed: {printed}"
    );
    assert!(address.starts_with("0.0.0.0:"), "{printed}");
    site.start("web");

    let ask = ["nc", "-w", "5", "127.0.0.1", "4000"];
    let until = Instant::now() + Duration::from_secs(10);
    while site
        .host
        .command("busybox")
        .args(ask)
        .stdin(Stdio::null())
        .output()
        .unwrap()
        .stdout
        != b"hello\n"
    {
        assert!(Instant::now() < until, "nobody answers");
    }
    // By address and by name.
    let options = [
        "--network=bridge",
        "--add-host=up:host-gateway",
        "--dns=192.0.2.53",
        "--hostname=caller",
    ];
    let script = "cat /etc/hosts /etc/resolv.conf; nc -w 5 web 80; nc -w 5 up 4000";
    site.bundle("client", &options, script);
    site.start("client");
    let said = site.said("client");
    assert!(
        said.ends_with("nameserver 192.0.2.53\nhello\nhello\n"),
        "{said}"
    );
    let gateway = said.lines().find_map(|line| line.strip_suffix("\tup"));
    assert!(
        gateway.is_some_and(|gateway| gateway.ends_with(".1")),
        "{said}"
    );
    assert!(site.file("web/hosts").contains("\tcaller client\n"));

    // A container that has ended is still known, until it is deleted.
    site.delete("client");
    assert!(!site.file("web/hosts").contains("client"));
    let refused = site.image_tool("unbundle", &[&site.path("web")]);
    assert!(!refused.status.success());
    site.delete("web");
    let networks = site.host.path("store/networks");
    for directory in ["attachments", "namespaces"] {
        let left = std::fs::read_dir(networks.join(directory)).unwrap().count();
        assert_eq!(left, 0, "{directory}");
    }
    assert_eq!(site.host.rules_with("4000"), [""; 0]);

    // It can be run again; and lost, and is then detached by unbundle.
    site.start("web");
    let pid = site.state("web")["pid"].to_string();
    site.host.run("kill", &["-9", &pid]);
    // It dies a moment later.
    site.said("web");
    std::fs::remove_dir_all(site.host.path("runtime")).unwrap();
    site.host.remove_cgroups("web");
    assert!(networks.join("attachments/web").exists());
    site.succeeds("unbundle", &[&site.path("web"), &site.path("client")]);
    assert!(!networks.join("attachments/web").exists());
    assert_eq!(site.host.rules_with("4000"), [""; 0]);
    assert!(!site.host.path("web").exists());
}

#[test]
fn networks_are_the_hosts_nobodys_anothers_or_a_files() {
    let mut site = Site::new();
    site.host
        .run("ip", &["link", "add", "ours0", "type", "ifb"]);
    let look = "ip -o link; echo; cat /etc/hosts /etc/hostname; sleep 100";
    for (name, options) in [
        (
            "host",
            &["--network", "host", "--add-host=up:host-gateway"][..],
        ),
        ("alone", &[]),
        (
            "none",
            &[
                "--network=none",
                "--dns-search=inside.example",
                "--dns-option=rotate",
            ],
        ),
    ] {
        site.bundle(name, options, look);
        site.start(name);
    }
    let runc = ["--runtime=runc", "--runtime-root", &site.path("runtime")];
    site.bundle(
        "joined",
        &[&["--network=container:none"], &runc[..]].concat(),
        look,
    );
    site.start("joined");
    // Process numbers come round: one that is not the container's any more is not joined.
    site.bundle(
        "late",
        &[&["--network=container:none"], &runc[..]].concat(),
        look,
    );
    site.edit("late", |config| {
        let start_time = &mut config["hooks"]["createRuntime"][0]["args"][4];
        assert_ne!(start_time.take(), Value::Null);
        *start_time = json!("1");
    });
    let late = site.path("late");
    let run = ["run", "--detach", "--bundle", &late, "late"];
    let output = site.runtime(&run).output().unwrap();
    assert!(!output.status.success());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("has ended"), "{stderr}");
    let until = Instant::now() + Duration::from_secs(20);
    let names = ["host", "alone", "none", "joined"];
    while names
        .iter()
        .any(|name| !site.printed(name).contains("localhost"))
    {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(10));
    }

    let host = site.printed("host");
    assert!(
        host.contains("ours0") && host.contains("127.0.0.1\tup\n"),
        "{host}"
    );
    let own_name = rustix::system::uname();
    assert!(
        host.contains(own_name.nodename().to_str().unwrap()),
        "{host}"
    );
    for name in ["alone", "none"] {
        let said = site.printed(name);
        assert!(!said.contains("ours0") && said.contains(" lo"), "{said}");
    }
    assert_eq!(site.namespace_of("joined"), site.namespace_of("none"));
    assert_ne!(site.namespace_of("alone"), site.namespace_of("none"));
    let config = site.record("joined/config.json");
    let mounts = config["mounts"].as_array().unwrap();
    for name in ["hosts", "resolv.conf"] {
        let mount = mounts
            .iter()
            .find(|mount| mount["destination"] == format!("/etc/{name}"));
        assert_eq!(mount.unwrap()["source"], site.path(&format!("none/{name}")));
    }
    let resolver = site.file("none/resolv.conf");
    assert!(
        resolver.contains("search inside.example\noptions rotate\n"),
        "{resolver}"
    );

    let process = site.host.process();
    let path = format!("ns:/proc/{}/ns/net", process.pid());
    site.bundle("file", &["--network", &path], "sleep 100");
    site.start("file");
    let namespace = format!("/proc/{}/ns/net", process.pid());
    let namespace = std::fs::read_link(namespace).unwrap();
    assert_eq!(site.namespace_of("file"), namespace);
    for name in ["host", "alone", "none", "joined", "file"] {
        assert!(!site.host.path(name).join("network.json").exists());
        site.delete(name);
    }
    assert!(!site.host.path("store/networks/windlass.conflist").exists());
    let gone = ["--network=container:none", runc[0], runc[1], runc[2]];
    site.refuses(&gone, "runc state none: ");
}

#[test]
fn a_network_that_its_owner_describes_is_taken() {
    let mut site = Site::new();
    let network = |name: &str, subnet: &str| {
        json!({
            "cniVersion": "0.4.0",
            "name": name,
            "plugins": [{
                "type": "bridge",
                "bridge": format!("{name}0"),
                "isGateway": true,
                "ipam": { "type": "host-local", "ranges": [[{ "subnet": subnet }]],
                    "dataDir": site.path("addresses") },
            }],
        })
    };
    let directory = site.host.path("net.d");
    std::fs::create_dir(&directory).unwrap();
    let write = |name: &str, value: &Value| {
        std::fs::write(directory.join(name), value.to_string()).unwrap();
    };
    write("1.conflist", &network("lan", "10.98.1.0/24"));
    write("2.conflist", &network("windlass", "10.98.2.0/24"));
    let directory = format!("--cni-conf={}", site.path("net.d"));
    let file = format!("--cni-conf={}", site.path("net.d/1.conflist"));
    let show = "ip -o -4 addr show eth0";
    for (name, options, expected) in [
        (
            "named",
            ["--network=bridge=lan", &directory],
            " 10.98.1.2/24 ",
        ),
        (
            "standard",
            ["--network=bridge", &directory],
            " 10.98.2.2/24 ",
        ),
        ("file", ["--network=bridge", &file], " 10.98.1.3/24 "),
    ] {
        site.bundle(name, &options, show);
        site.start(name);
        let said = site.said(name);
        assert!(said.contains(expected), "{said}");
    }
    for name in ["named", "standard", "file"] {
        site.delete(name);
    }
    site.refuses(
        &["--network=bridge=lan", &directory, "-p", "80:80"],
        "network 'lan' has no plugin with the capability portMappings",
    );
    site.refuses(
        &["--network=bridge=wan", &directory],
        "describes network 'wan'",
    );
    site.refuses(&["--network=bridge=wan", &file], "is 'lan', not 'wan'");
}

#[test]
fn what_cannot_be_had_is_said_before_anything_is_made() {
    let site = Site::new();
    let empty = site.host.path("empty");
    std::fs::create_dir(&empty).unwrap();
    let none = format!("--cni-bin={}", site.path("empty"));
    let missing = "there is no CNI plugin 'bridge' in ";
    site.refuses(&["--network=bridge", &none], missing);
    site.refuses(
        &["--network=bridge", &none],
        "install the package containernetworking-plugins",
    );
    for (options, why) in [
        (
            &["--network=host", "-p=80:80"][..],
            "--publish needs --network bridge",
        ),
        (&["--cni-bin=/x"], "--cni-bin needs --network bridge"),
        (
            &["--add-host=up:host-gateway"],
            "needs --network bridge or host",
        ),
        (
            &["--network=ns:/etc/passwd"],
            "/etc/passwd is no network namespace",
        ),
        (
            &["--network=container:x", "--dns=192.0.2.1"],
            "whose files are shared",
        ),
        (&["--runtime=runc"], "need --network container:ID"),
        (
            &["-p=80:80", "-p=127.0.0.1:80:81"],
            "127.0.0.1:80->81/tcp is published twice",
        ),
        (&["--network=lan"], "'lan' is none of none, host, bridge"),
        (
            &["-p=80:80/icmp"],
            "protocol 'icmp' is none of tcp, udp, sctp",
        ),
        (&["--dns-search=a b"], "'a b' is not one word"),
    ] {
        site.refuses(options, why);
    }
}

#[test]
fn the_standard_network_avoids_what_the_host_uses_and_is_its_owners() {
    let mut site = Site::new();
    site.host.run("ip", &["link", "add", "vpn0", "type", "ifb"]);
    site.host.run("ip", &["link", "set", "vpn0", "up"]);
    // Half of what there is to choose from.
    site.host
        .run("ip", &["route", "add", "10.87.0.0/17", "dev", "vpn0"]);
    site.bundle("one", &["--network=bridge"], "ip -o -4 addr show eth0");
    site.start("one");
    let said = site.said("one");
    let third: u8 = said
        .split("10.87.")
        .nth(1)
        .unwrap()
        .split('.')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(third >= 128, "{said}");

    let conflist = "store/networks/windlass.conflist";
    let mut network = site.record(conflist);
    let bridge = network["plugins"][0]["bridge"].as_str().unwrap().to_owned();
    assert!(
        bridge.starts_with("windlass-") && bridge.len() <= 15,
        "{bridge}"
    );
    network["plugins"][0]["ipam"]["ranges"] = json!([[{ "subnet": "10.87.5.0/24" }]]);
    std::fs::write(site.host.path(conflist), network.to_string()).unwrap();
    let bundle = site.path("two");
    let output = site.image_tool(
        "bundle",
        &["--network=bridge", "busybox", &bundle, "--", "sh"],
    );
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("10.87.5.0/24 of the containers' network overlaps 10.87.0.0/17 of vpn0"),
        "{stderr}"
    );
    let recorded = site.record("two/network.json");
    assert_eq!(
        recorded["network"]["plugins"][0]["ipam"]["ranges"][0][0]["subnet"],
        "10.87.5.0/24"
    );
    // The first bundle has the network as it was.
    let recorded = site.record("one/network.json");
    assert_ne!(recorded["network"]["plugins"], network["plugins"]);
    site.delete("one");
}

#[test]
fn a_container_that_cannot_be_connected_is_not_started() {
    let mut site = Site::new();
    site.bundle("web", &["-p=4000:80"], "echo started");
    let listener = site.host.program("busybox", &["nc", "-l", "-p", "4000"]);
    let until = Instant::now() + Duration::from_secs(10);
    while !site.host.run("cat", &["/proc/net/tcp6"]).contains(":0FA0") {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(10));
    }
    let bundle = site.path("web");
    let output = site
        .runtime(&["run", "--bundle", &bundle, "web"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(stderr.contains("can't connect container web"), "{stderr}");
    assert!(stderr.contains("a program of this host has it"), "{stderr}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("started"));
    listener.end();
    site.start("web");
    assert_eq!(site.said("web"), "started\n");
    site.delete("web");

    // What is wrong with a bundle of another machine is found when it is started.
    let mut record = site.record("web/network.json");
    record["pluginPath"] = json!(["/nowhere"]);
    std::fs::write(site.host.path("web/network.json"), record.to_string()).unwrap();
    let output = site
        .runtime(&["run", "--bundle", &bundle, "web"])
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("there is no CNI plugin 'loopback' in /nowhere"),
        "{stderr}"
    );
    assert!(!site.host.path("store/networks/attachments/web").exists());
}
