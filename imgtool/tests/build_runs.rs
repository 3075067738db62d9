//! `build`: what RUN's containers may do and where they run, and where their base comes from.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod build_site;
mod debian_registry;
mod image_builder;
mod network_host;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use build_site::{Site, can_run, on_path};
use debian_registry::{Options, Registry};
use network_host::Host;
use serde_json::Value;

/// Runs a program that needs no right but not to be stopped by a filter.
const UNSHARE: &str = "/bin/busybox unshare -U true";

#[test]
fn runs_have_dockers_seccomp_profile() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    site.built(
        "FROM base:1\nRUN cat /proc/self/status > /status\nRUN --security=sandbox true",
        &[],
    );
    assert!(site.read("status").contains("Seccomp:\t2\n"));
    let insecure = site.refused("FROM base:1\nRUN --security=insecure true", &[]);
    assert!(insecure.contains("--security=insecure: "), "{insecure}");
    let outside = Command::new("busybox")
        .args(["unshare", "-U", "true"])
        .output();
    if outside.is_ok_and(|output| output.status.success()) {
        let output = site.build(&format!("FROM base:1\nRUN {UNSHARE}"), &[]);
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{complaint}");
        assert!(complaint.contains("Operation not permitted"), "{complaint}");
    } else {
        eprintln!("SKIPPED: busybox can't make a user namespace outside containers, either");
    }
}

#[test]
fn runs_on_nothing_but_a_program() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    fs::copy("/bin/busybox", site.path("context/busybox")).unwrap();
    site.built(
        "FROM scratch\nCOPY busybox /bin/sh\nRUN echo made > /file\nRUN [\"/bin/sh\", \"-c\", \"echo $PATH > /path\"]",
        &[],
    );
    assert_eq!(site.read("file"), "made\n");
    assert!(site.read("path").contains("/bin"));
    let root = site.unpacked();
    let mut names: Vec<_> = fs::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["bin", "file", "path"]);
}

#[test]
fn a_stores_path_may_be_long() {
    if !can_run() {
        return;
    }
    let site = Site::with_store(&format!("{0}/{0}/{0}", "long-".repeat(30)));
    site.built("FROM base:1\nRUN echo ran > /file\nRUN cat /file", &[]);
    assert_eq!(site.read("file"), "ran\n");
    assert_eq!(site.unfinished(), 0);
}

#[test]
fn bases_come_from_their_registry() {
    if !can_run() {
        return;
    }
    if !on_path("docker-registry") {
        eprintln!("SKIPPED: docker-registry isn't here");
        return;
    }
    let site = Site::new();
    let registry = Registry::start(&Options::default());
    let name = format!("{}/team/base:1", registry.address);
    site.ours(&["push", "--tls-verify=false", "base:1", &name]);
    let dockerfile = format!("FROM {name}\nRUN echo ran > /file\nCOPY --from={name} /etc/group /g");
    let never = site.refused(&dockerfile, &["--pull=never", "--tls-verify=false"]);
    assert!(never.contains("FROM: "), "{never}");
    site.built(&dockerfile, &["--tls-verify=false"]);
    assert_eq!(site.read("file"), "ran\n");
    assert!(site.read("g").contains("staff"));
    // It is in the store now.
    drop(registry);
    site.built(&dockerfile, &["--pull=never"]);
    let gone = site.refused(&dockerfile, &["--pull=always", "--tls-verify=false"]);
    assert!(gone.contains("Dockerfile:1: FROM: image '"), "{gone}");
}

#[test]
fn another_machines_programs_need_an_emulator() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    // An ELF file for a machine of no known number.
    let mut program = b"\x7fELF\x02\x01\x01".to_vec();
    program.resize(64, 0);
    (program[16], program[18], program[19]) = (2, 0xba, 0xfe);
    let path = site.path("context/program");
    fs::write(&path, program).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let dockerfile = "FROM scratch\nCOPY program /bin/sh\nRUN true";
    let complaint = site.refused(dockerfile, &["--platform", "linux/s390x"]);
    assert!(complaint.contains(":3: RUN: "), "{complaint}");
    assert!(complaint.contains("linux/s390x"), "{complaint}");
    assert!(complaint.contains("binfmt_misc"), "{complaint}");
    // What runs nothing is built for any machine.
    site.built("FROM scratch\nCOPY a.txt /", &["--platform", "linux/s390x"]);
    assert_eq!(site.config()["architecture"], "s390x");
}

#[test]
fn programs_are_told_of_steps() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let dockerfile =
        "FROM base:1 AS first\nRUN echo out; echo \"{err\" >&2; printf 'no end' > /x; cat /x";
    let events = |output: &str| -> Vec<Value> {
        let lines = output.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
            .collect()
    };
    let of_kind = |events: &[Value], kind: &str| -> Vec<Value> {
        let mut found = events.to_vec();
        found.retain(|event| event["event"] == kind);
        found
    };
    let told = events(&site.built(dockerfile, &["--progress=json"]));
    let steps = of_kind(&told, "step");
    assert_eq!(steps.len(), 2);
    for (number, step) in steps.iter().enumerate() {
        assert_eq!(step["stage"], "first");
        assert_eq!(step["step"], number + 1);
        assert_eq!(step["of"], 2);
        assert_eq!(step["line"], number + 1);
    }
    let printed = |stream: &str| -> Vec<Value> {
        let mut output = of_kind(&told, "output");
        output.retain(|event| event["stream"] == stream);
        output.iter().map(|event| event["text"].clone()).collect()
    };
    assert_eq!(printed("stdout"), ["out", "no end"]);
    assert_eq!(printed("stderr"), ["{err"]);
    let layers = of_kind(&told, "layer");
    assert!(layers[0]["digest"].as_str().unwrap().starts_with("sha256:"));
    assert!(layers[0]["size"].as_u64().unwrap() > 0);
    let told = events(&site.built(dockerfile, &["--progress=json"]));
    assert_eq!(of_kind(&told, "cached").len(), 1);
    let output = site.build("FROM base:1\nRUN exit 5", &["--progress=json"]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    let (last, before) = complaint
        .trim_end()
        .rsplit_once('\n')
        .map_or(("", ""), |(a, b)| (b, a));
    assert!(last.contains("ended with status 5"), "{complaint}");
    assert_eq!(of_kind(&events(before), "step").len(), 2);
    // The digest alone is on standard output.
    let quiet = site.build(dockerfile, &["--quiet"]);
    assert_eq!(String::from_utf8_lossy(&quiet.stderr), "");
    assert!(String::from_utf8_lossy(&quiet.stdout).starts_with("sha256:"));
}

#[test]
fn runs_have_dockers_groups_and_a_cgroup_namespace() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    site.built(
        "FROM base:1\nRUN cat /proc/self/status > /root-status; cat /proc/self/cgroup > /cgroup\n\
         USER app\nRUN cat /proc/self/status > /tmp/app-status",
        &[],
    );
    assert!(site.read("root-status").contains("Groups:\t0 \n"));
    assert!(site.read("tmp/app-status").contains("Groups:\t1001 \n"));
    let cgroups = site.read("cgroup");
    assert!(
        cgroups.lines().all(|line| line.ends_with(":/")),
        "{cgroups}"
    );
}

#[test]
fn runs_know_the_hosts_that_are_added() {
    if !can_run() {
        return;
    }
    let site = Site::new();
    let dockerfile = "FROM base:1\nRUN cat /etc/hosts > /known\n\
                      RUN --network=none cat /etc/hosts > /alone";
    let added = ["--add-host=db:10.9.8.7", "--add-host=up:host-gateway"];
    site.built(dockerfile, &added);
    let has = |name: &str, line: &str| site.read(name).lines().any(|known| known == line);
    for line in ["10.9.8.7\tdb", "127.0.0.1\tup", "127.0.0.1\twindlass-build"] {
        assert!(has("known", line), "{line}");
    }
    assert!(has("alone", "10.9.8.7\tdb") && !has("alone", "127.0.0.1\tup"));
    // They are part of what a step is made from.
    site.built(dockerfile, &["--add-host=db:10.9.8.6"]);
    assert!(has("known", "10.9.8.6\tdb"));
}

#[test]
fn runs_may_have_a_bridge_network() {
    if !can_run() {
        return;
    }
    let (site, host) = (Site::new(), Host::new());
    fs::write(
        site.path("context/Dockerfile"),
        "FROM base:1\n\
         RUN /bin/busybox ip -4 -o addr show eth0 > /address && cat /etc/hosts > /known\n\
         RUN --network=none ! /bin/busybox ip addr show eth0\n\
         RUN --network=host /bin/busybox ip -o link > /links\n\
         RUN --network=default /bin/busybox ip addr show eth0",
    )
    .unwrap();
    let context = site.path("context");
    let (store, context) = (site.path("store"), context.to_str().unwrap());
    let build = [
        "build",
        "--network=bridge",
        "-t",
        "built",
        context,
        "--store",
    ];
    let output = host
        .command(env!("CARGO_BIN_EXE_windlass-img"))
        .args(build)
        .arg(&store)
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let address = site.read("address");
    let address = address.split_whitespace().nth(3).unwrap();
    let address = address.split('/').next().unwrap();
    let known = site.read("known");
    let own = known
        .lines()
        .find(|line| line.starts_with(address))
        .unwrap();
    assert!(own.contains("windlass-build"), "{known}");
    assert!(site.read("links").contains("windlass-"));
    for directory in ["attachments", "namespaces", "locks"] {
        let path = store.join("networks").join(directory);
        assert_eq!(fs::read_dir(path).unwrap().count(), 0, "{directory}");
    }
    assert_eq!(host.rules_with("windlass-build"), [""; 0]);
    let sharing = site.refused("FROM base:1\nRUN true", &["--network=container:x"]);
    assert!(sharing.contains("--help"), "{sharing}");
}
