//! `mounts add` and `mounts remove`: mounts in a container that runs already (crun's verb).
//!
//! Needs root and busybox-static.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::fs;
use std::os::unix::fs::{chown, symlink};

use harness::{Finished, Sandbox};
use serde_json::{Value, json};

fn mounts(sandbox: &Sandbox, action: &str, list: &Value) -> Finished {
    let file = sandbox.directory().join("mounts.json");
    fs::write(&file, list.to_string()).unwrap();
    sandbox.windlass(&["mounts", action, "ID", file.to_str().unwrap()])
}

fn must(sandbox: &Sandbox, action: &str, list: &Value) {
    let done = mounts(sandbox, action, list);
    assert_eq!(done.code(), 0, "{}", done.stderr);
}

fn sees(sandbox: &Sandbox, script: &str) -> String {
    let ran = sandbox.windlass(&["exec", "ID", "/bin/sh", "-c", script]);
    ran.stdout + &ran.stderr
}

#[test]
fn mounts_come_and_go_while_the_container_runs() {
    let mut sandbox = Sandbox::new("live-mounts");
    let shared = sandbox.directory().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::write(shared.join("name"), "of the host").unwrap();
    symlink("/deep/er", sandbox.rootfs().join("link")).unwrap();
    // The container's own mounts propagate nowhere, and the host's stay what they are.
    sandbox.config["linux"]["rootfsPropagation"] = json!("rshared");
    sandbox.write_config();
    let host = fs::read_to_string("/proc/self/mountinfo").unwrap();
    sandbox.must(&["create", "ID"]);
    must(
        &sandbox,
        "add",
        &json!([
            { "destination": "/added", "source": shared, "options": ["bind", "ro", "nosuid"] },
            { "destination": "/link/place", "source": shared.join("name"), "options": ["bind"] },
            { "destination": "/tmp", "type": "tmpfs", "source": "tmpfs",
              "options": ["size=64k", "mode=1770", "noexec"] },
        ]),
    );
    sandbox.must(&["start", "ID"]);
    assert_eq!(
        sees(
            &sandbox,
            "cat /added/name; busybox touch /added/x; cat /deep/er/place"
        ),
        "of the hostof the hosttouch: /added/x: Read-only file system\n"
    );
    assert_eq!(
        sees(&sandbox, "busybox stat -c %a /tmp; echo in >/tmp/x"),
        "1770\n"
    );
    let info = sees(&sandbox, "cat /proc/self/mountinfo");
    let of = |at: &str| {
        let line = info.lines().find(|line| line.split(' ').nth(4) == Some(at));
        line.unwrap_or_else(|| panic!("{at}: {info}")).to_owned()
    };
    assert!(of("/added").contains(" ro,nosuid"), "{info}");
    assert!(
        of("/tmp").contains("noexec") && of("/tmp").contains("size=64k"),
        "{info}"
    );
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), host);

    must(
        &sandbox,
        "remove",
        &json!([{ "destination": "/added" }, { "destination": "link/place" }, { "destination": "/tmp/" }]),
    );
    let info = sees(&sandbox, "cat /proc/self/mountinfo; ls /added");
    for gone in ["/added", "/deep/er/place", "/tmp"] {
        let there = |line: &str| line.split(' ').nth(4) == Some(gone);
        assert!(!info.lines().any(there), "{gone}: {info}");
    }
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), host);
    sandbox.must(&["delete", "--force", "ID"]);
    sandbox.assert_clean("delete");
}

#[test]
fn owners_of_an_added_mount_can_be_mapped() {
    let sandbox = Sandbox::new("live-idmap");
    let shared = sandbox.directory().join("shared");
    fs::create_dir(&shared).unwrap();
    chown(&shared, Some(100), Some(211)).unwrap();
    sandbox.must(&["create", "ID"]);
    let map = |disk: u32, host: u32| json!([{ "containerID": disk, "hostID": host, "size": 1 }]);
    let added = mounts(
        &sandbox,
        "add",
        &json!([{ "destination": "/added", "source": shared, "options": ["bind"],
            "uidMappings": map(100, 1000), "gidMappings": map(211, 2000) }]),
    );
    if added.stderr.contains("support idmapped mounts") {
        eprintln!(
            "skipped: no idmapped mounts on this file system: {}",
            added.stderr
        );
        return;
    }
    assert_eq!(added.code(), 0, "{}", added.stderr);
    assert_eq!(
        sees(&sandbox, "busybox stat -c %u:%g /added"),
        "1000:2000\n"
    );
}

#[test]
fn what_cant_be_added_or_removed_is_told_with_its_place() {
    let mut sandbox = Sandbox::new("live-refused");
    symlink("/proc/sys", sandbox.rootfs().join("knobs")).unwrap();
    sandbox.script("exec sleep 1000");
    let tmpfs = json!([{ "destination": "/ok", "type": "tmpfs" }]);
    let missing = mounts(&sandbox, "add", &tmpfs);
    assert_ne!(missing.code(), 0);
    sandbox.must(&["create", "ID"]);
    for (entry, says) in [
        (
            json!({ "destination": "/x", "type": "proc" }),
            "running container",
        ),
        (
            json!({ "destination": "/x", "type": "cgroup" }),
            "running container",
        ),
        (
            json!({ "destination": "/x", "source": "/no/such", "options": ["bind"] }),
            "/no/such",
        ),
        (
            json!({ "destination": "/proc/sys", "source": "/tmp", "options": ["bind"] }),
            "inside /proc",
        ),
        (
            json!({ "destination": "/knobs/net", "source": "/tmp", "options": ["bind"] }),
            "inside /proc",
        ),
        (
            json!({ "destination": "/", "source": "/tmp", "options": ["bind"] }),
            "top of rootfs",
        ),
    ] {
        let failed = mounts(&sandbox, "add", &json!([tmpfs[0], entry]));
        let line = failed.error_line();
        assert!(
            line.contains(says) && line.contains("(mounts file /1"),
            "{line}"
        );
        must(&sandbox, "remove", &tmpfs);
    }
    for nowhere in ["/bin", "/no/such", "/", ".."] {
        let failed = mounts(&sandbox, "remove", &json!([{ "destination": nowhere }]));
        assert!(
            failed.error_line().contains("(mounts file /0"),
            "{}",
            failed.stderr
        );
    }
    let failed = mounts(&sandbox, "add", &json!({ "mounts": [] }));
    assert_ne!(failed.code(), 0);
    let failed = mounts(&sandbox, "move", &tmpfs);
    assert!(
        failed.error_line().contains("add or remove"),
        "{}",
        failed.stderr
    );
    sandbox.must(&["delete", "--force", "ID"]);
    let failed = mounts(&sandbox, "add", &tmpfs);
    assert_ne!(failed.code(), 0);
    sandbox.assert_clean("delete");
}

/// A file system of the host, but its root is the container's.
#[test]
fn a_tmpfs_added_to_a_user_namespace_is_its_roots() {
    let mut sandbox = Sandbox::new("live-userns");
    sandbox.map_ids();
    fs::create_dir(sandbox.rootfs().join("added")).unwrap();
    sandbox.write_config();
    sandbox.must(&["create", "ID"]);
    let added = mounts(
        &sandbox,
        "add",
        &json!([{ "destination": "/added", "type": "tmpfs", "options": ["mode=700"] }]),
    );
    if added.stderr.contains("support idmapped mounts") {
        eprintln!(
            "skipped: no idmapped mounts of tmpfs (Linux 6.3): {}",
            added.stderr
        );
        return;
    }
    assert_eq!(added.code(), 0, "{}", added.stderr);
    let script = "busybox touch /added/x && busybox stat -c %u:%g /added/x";
    assert_eq!(sees(&sandbox, script), "0:0\n");
    sandbox.must(&["delete", "--force", "ID"]);
    sandbox.assert_clean("delete");
}
