//! Idmapped mounts (config.md, `uidMappings` and `gidMappings` of a mount, `idmap` and `ridmap`).
//!
//! Needs root, busybox-static, unshare and mount of util-linux, and a temporary directory on a file
//! system that supports idmapped mounts; without one the tests say so and check nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::PathBuf;
use std::process::Command;

use harness::{Finished, Sandbox, WINDLASS, finish};
use serde_json::{Value, json};

/// A directory with files of uids 100 to 102 and gids 211 to 213, in the bundle.
fn source(sandbox: &Sandbox, name: &str) -> PathBuf {
    let directory = sandbox.bundle().join(name);
    fs::create_dir_all(&directory).unwrap();
    for offset in 0..3 {
        let file = directory.join(format!("f{offset}"));
        fs::write(&file, "").unwrap();
        chown(&file, Some(100 + offset), Some(211 + offset)).unwrap();
    }
    directory
}

fn map(ranges: &[(u32, u32, u32)]) -> Value {
    ranges
        .iter()
        .map(|(disk, host, size)| json!({ "containerID": disk, "hostID": host, "size": size }))
        .collect()
}

fn mount(sandbox: &mut Sandbox, mount: Value) {
    sandbox.config["mounts"].as_array_mut().unwrap().push(mount);
}

/// Runs the script in the container; `None` where the file system knows no idmapped mounts.
fn run(sandbox: &mut Sandbox, script: &str) -> Option<Finished> {
    sandbox.script(script);
    unless_unsupported(sandbox.windlass(&["run", "ID"]))
}

fn unless_unsupported(ran: Finished) -> Option<Finished> {
    let lacking = ran.stderr.contains("support idmapped mounts");
    if lacking {
        eprintln!(
            "skipped: no idmapped mounts on this file system: {}",
            ran.stderr
        );
    }
    (!lacking).then_some(ran)
}

const OWNERS: &str = "busybox stat -c %n=%u:%g";

#[test]
fn owners_are_mapped_mount_by_mount() {
    let mut sandbox = Sandbox::new("idmap");
    source(&sandbox, "shared");
    symlink("shared", sandbox.bundle().join("link")).unwrap();
    mount(
        &mut sandbox,
        json!({ "destination": "/one", "source": "shared", "options": ["bind"],
            "uidMappings": map(&[(100, 1000, 3)]), "gidMappings": map(&[(211, 2000, 3)]) }),
    );
    mount(
        &mut sandbox,
        json!({ "destination": "two", "source": "link", "options": ["bind", "ro", "shared"],
            "uidMappings": map(&[(100, 5, 1), (101, 70, 1), (102, 900, 1)]),
            "gidMappings": map(&[(211, 6, 2), (213, 800, 1)]) }),
    );
    mount(
        &mut sandbox,
        json!({ "destination": "/crun", "source": "shared",
            "options": ["bind", "idmap=uids=100-30-2#102-50-1;gids=211-40-3"] }),
    );
    mount(
        &mut sandbox,
        json!({ "destination": "/plain", "source": "shared", "options": ["bind"] }),
    );
    let script = format!(
        "{OWNERS} /one/* /two/* /crun/* /plain/f0; cat /proc/self/mountinfo; busybox touch /two/x; \
         busybox touch /one/x"
    );
    let Some(ran) = run(&mut sandbox, &script) else {
        return;
    };
    for line in [
        "/one/f0=1000:2000",
        "/one/f2=1002:2002",
        "/two/f0=5:6",
        "/two/f1=70:7",
        "/two/f2=900:800",
        "/crun/f0=30:40",
        "/crun/f2=50:42",
        "/plain/f0=100:211",
    ] {
        assert!(
            ran.stdout.lines().any(|seen| seen == line),
            "{line}: {}",
            ran.stdout
        );
    }
    let two = ran
        .stdout
        .lines()
        .find(|line| line.contains(" /two "))
        .unwrap();
    assert!(two.contains(" ro") && two.contains(" shared:"), "{two}");
    assert!(ran.stderr.contains("/two/x: Read-only"), "{}", ran.stderr);
    // Uid 0 has no id on disk there (EOVERFLOW).
    assert!(
        ran.stderr.contains("/one/x: Value too large"),
        "{}",
        ran.stderr
    );
    sandbox.assert_clean("run");
}

#[test]
fn only_ridmap_holds_for_the_mounts_below() {
    const HOST: &str = "mount --bind shared tree/below || exit 99; exec \"$@\"";
    let mut sandbox = Sandbox::new("ridmap");
    source(&sandbox, "shared");
    let tree = source(&sandbox, "tree");
    fs::create_dir(tree.join("below")).unwrap();
    for (destination, option) in [("/top", "rbind"), ("/named", "idmap"), ("/all", "ridmap")] {
        mount(
            &mut sandbox,
            json!({ "destination": destination, "source": "tree", "options": ["rbind", option],
                "uidMappings": map(&[(100, 1000, 3)]), "gidMappings": map(&[(211, 2000, 3)]) }),
        );
    }
    sandbox.script(&format!("{OWNERS} /*/f1 /*/below/f1"));
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private"])
        .args(["sh", "-c", HOST, "host", WINDLASS, "--root"])
        .arg(sandbox.state_root())
        .args(["run", &sandbox.id])
        .current_dir(sandbox.bundle());
    let Some(ran) = unless_unsupported(finish(&mut command)) else {
        return;
    };
    for line in [
        "/top/f1=1001:2001",
        "/top/below/f1=101:212",
        "/named/f1=1001:2001",
        "/named/below/f1=101:212",
        "/all/f1=1001:2001",
        "/all/below/f1=1001:2001",
    ] {
        assert!(
            ran.stdout.lines().any(|seen| seen == line),
            "{line}: {}{}",
            ran.stdout,
            ran.stderr
        );
    }
    sandbox.assert_clean("run");
}

/// A source may be what an earlier mount has made.
#[test]
fn sources_are_looked_up_among_the_containers_mounts() {
    let mut sandbox = Sandbox::new("idmap-order");
    source(&sandbox, "shared");
    let rootfs = sandbox.rootfs();
    mount(
        &mut sandbox,
        json!({ "destination": rootfs.join("first"), "source": "shared", "options": ["bind"] }),
    );
    mount(
        &mut sandbox,
        json!({ "destination": "/second", "source": rootfs.join("first"), "options": ["rbind"],
            "uidMappings": map(&[(100, 1000, 3)]), "gidMappings": map(&[(211, 2000, 3)]) }),
    );
    let Some(ran) = run(&mut sandbox, &format!("{OWNERS} /first/f1 /second/f1")) else {
        return;
    };
    assert_eq!(
        ran.stdout, "/first/f1=101:212\n/second/f1=1001:2001\n",
        "{}",
        ran.stderr
    );
    sandbox.assert_clean("run");
}

#[test]
fn many_idmapped_mounts_leave_no_descriptor_open() {
    let mut sandbox = Sandbox::new("idmap-many");
    source(&sandbox, "shared");
    for index in 0..20 {
        mount(
            &mut sandbox,
            json!({ "destination": format!("/m{index}"), "source": "shared", "options": ["bind"],
                "uidMappings": map(&[(100, 1000 + index % 4, 3)]),
                "gidMappings": map(&[(211, 2000, 3)]) }),
        );
    }
    sandbox.config["process"]["rlimits"] =
        json!([{ "type": "RLIMIT_NOFILE", "soft": 20, "hard": 20 }]);
    let script = format!("{OWNERS} /m19/f0; ls /proc/self/fd | busybox wc -l");
    let Some(ran) = run(&mut sandbox, &script) else {
        return;
    };
    assert_eq!(ran.stdout, "/m19/f0=1003:2000\n4\n", "{}", ran.stderr);
    sandbox.assert_clean("run");
}

#[test]
fn half_a_mapping_and_other_mounts_are_refused() {
    let mut sandbox = Sandbox::new("idmap-refused");
    source(&sandbox, "shared");
    let whole = map(&[(0, 1000, 1)]);
    for (wrong, says) in [
        (
            json!({ "destination": "/x", "source": "shared", "options": ["bind"],
                "uidMappings": whole }),
            "must have both uid and gid mappings",
        ),
        (
            json!({ "destination": "/x", "source": "shared", "options": ["bind", "idmap"] }),
            "must have both uid and gid mappings",
        ),
        (
            json!({ "destination": "/x", "type": "tmpfs", "uidMappings": whole,
                "gidMappings": whole }),
            "only supported for bind-mounts",
        ),
        (
            json!({ "destination": "/x", "source": "shared", "options": ["bind", "idmap=uids=1"] }),
            "invalid mapping",
        ),
    ] {
        mount(&mut sandbox, wrong);
        sandbox.script("true");
        let failed = sandbox.windlass(&["run", "ID"]);
        let line = failed.error_line();
        assert!(line.contains(says) && line.contains("/mounts/4/"), "{line}");
        sandbox.config["mounts"].as_array_mut().unwrap().pop();
    }
    sandbox.assert_clean("refusals");
}

/// With `idmap` and no mappings that of the container's user namespace holds: ids on disk are those
/// of the container. Mappings of the mount's own are to ids of the host.
#[test]
fn in_a_user_namespace_its_mapping_is_implied() {
    let mut sandbox = Sandbox::new("idmap-userns");
    sandbox.map_ids();
    source(&sandbox, "shared");
    for place in ["implied", "own", "plain"] {
        fs::create_dir(sandbox.rootfs().join(place)).unwrap();
    }
    mount(
        &mut sandbox,
        json!({ "destination": "/implied", "source": "shared", "options": ["bind", "idmap"] }),
    );
    mount(
        &mut sandbox,
        json!({ "destination": "/own", "source": "shared", "options": ["bind"],
            "uidMappings": map(&[(100, 101_000, 3)]), "gidMappings": map(&[(211, 102_000, 3)]) }),
    );
    mount(
        &mut sandbox,
        json!({ "destination": "/plain", "source": "shared", "options": ["bind"] }),
    );
    let Some(ran) = run(
        &mut sandbox,
        &format!("{OWNERS} /implied/f1 /own/f1 /plain/f1"),
    ) else {
        return;
    };
    assert_eq!(
        ran.stdout, "/implied/f1=101:212\n/own/f1=1001:2001\n/plain/f1=65534:65534\n",
        "{}",
        ran.stderr
    );
    sandbox.assert_clean("run");
}
