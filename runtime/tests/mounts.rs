//! What `mounts` and `linux.rootfsPropagation` do, to the container and to the host.
//!
//! Needs root, busybox-static, and unshare and mount of util-linux.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::fs;
use std::process::Command;

use harness::{Finished, Sandbox, WINDLASS, finish};
use serde_json::json;

/// Runs the container in a mount namespace that stands for a host, all of whose mounts are shared,
/// as systemd makes them. Gives its mounts before and after as well.
fn run_on_shared_host(sandbox: &Sandbox) -> (Finished, String, String) {
    const HOST: &str = "mount --make-rshared / || exit 99; before=$1; after=$2; shift 2; \
        cat /proc/self/mountinfo >\"$before\"; \"$@\"; status=$?; \
        cat /proc/self/mountinfo >\"$after\"; exit $status";
    let before = sandbox.directory().join("before");
    let after = sandbox.directory().join("after");
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", HOST, "host"])
        .args([&before, &after])
        .args([WINDLASS, "--root"])
        .arg(sandbox.state_root())
        .args(["run", &sandbox.id])
        .current_dir(sandbox.bundle());
    let finished = finish(&mut command);
    let read = |path| fs::read_to_string(path).unwrap();
    (finished, read(before), read(after))
}

/// pivot_root(2) refuses shared mounts, and mounts below one appear wherever it is shared with.
#[test]
fn every_propagation_works_on_a_shared_host_and_leaves_it_as_it_is() {
    let propagations = [
        None,
        Some("shared"),
        Some("rshared"),
        Some("slave"),
        Some("rslave"),
        Some("private"),
        Some("rprivate"),
    ];
    let failures = [
        (
            "a mount fails",
            json!({ "destination": "/x", "type": "nosuchfs", "source": "x" }),
        ),
        ("no program", json!(null)),
    ];
    for propagation in propagations {
        let mut sandbox = Sandbox::new("propagation");
        if let Some(propagation) = propagation {
            sandbox.config["linux"]["rootfsPropagation"] = json!(propagation);
        }
        sandbox.script("cat /proc/self/mountinfo");
        let (ran, before, after) = run_on_shared_host(&sandbox);
        assert_eq!(ran.code(), 0, "{propagation:?}: {}", ran.stderr);
        assert!(before.contains("shared:"), "{before}");
        assert_eq!(before, after, "{propagation:?}");
        let root = ran
            .stdout
            .lines()
            .find(|line| line.split(' ').nth(4) == Some("/"))
            .unwrap();
        let shared = matches!(propagation, Some("shared" | "rshared"));
        assert_eq!(root.contains(" shared:"), shared, "{propagation:?}: {root}");
        for (what, mount) in &failures {
            let good = sandbox.config.clone();
            if mount.is_null() {
                sandbox.config["process"]["args"] = json!(["/bin/nosuchprogram"]);
            } else {
                let mounts = sandbox.config["mounts"].as_array_mut().unwrap();
                mounts.push(mount.clone());
            }
            sandbox.write_config();
            let (failed, before, after) = run_on_shared_host(&sandbox);
            assert_ne!(failed.code(), 0, "{propagation:?}: {what}");
            assert_ne!(failed.code(), 99, "{}", failed.stderr);
            assert_eq!(before, after, "{propagation:?}: {what}");
            sandbox.config = good;
        }
        sandbox.assert_clean(propagation.unwrap_or("no propagation"));
    }
}

/// The mount that holds the rootfs may be the rootfs itself, or lie some directories above it.
#[test]
fn a_shared_rootfs_may_be_a_mount_itself() {
    const HOST: &str = "mount --bind rootfs rootfs && mount --make-rshared / || exit 99; \
        before=$(cat /proc/self/mountinfo); \"$@\" || exit; \
        [ \"$before\" = \"$(cat /proc/self/mountinfo)\" ]";
    let mut sandbox = Sandbox::new("propagation-own");
    sandbox.config["linux"]["rootfsPropagation"] = json!("rshared");
    sandbox.script("echo ran");
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", HOST, "host", WINDLASS, "--root"])
        .arg(sandbox.state_root())
        .args(["run", &sandbox.id])
        .current_dir(sandbox.bundle());
    let ran = finish(&mut command);
    assert_eq!(
        (ran.code(), ran.stdout.trim()),
        (0, "ran"),
        "{}",
        ran.stderr
    );
    sandbox.assert_clean("run");
}

/// Whether the container's mounts at and below a path are all read-only, and which there are.
fn all_read_only(mountinfo: &str, at: &str) -> (bool, usize) {
    let flags: Vec<&str> = mountinfo
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .filter(|fields| fields[4].starts_with(at))
        .map(|fields| fields[5])
        .collect();
    let read_only = |flags: &&str| flags.split(',').any(|flag| flag == "ro");
    (flags.iter().all(read_only), flags.len())
}

/// `remount` changes what is there: recursively and in propagation as well.
#[test]
fn a_remount_applies_all_that_it_is_asked() {
    let mut sandbox = Sandbox::new("remount");
    let more = json!([
        { "destination": "/outer", "type": "tmpfs", "source": "tmpfs" },
        { "destination": "/outer/inner", "type": "tmpfs", "source": "tmpfs" },
        { "destination": "/outer", "options": ["remount", "rro", "rshared"] },
    ]);
    let mounts = sandbox.config["mounts"].as_array_mut().unwrap();
    mounts.extend(more.as_array().unwrap().iter().cloned());
    sandbox.script("cat /proc/self/mountinfo");
    let ran = sandbox.must(&["run", "ID"]);
    assert_eq!(
        all_read_only(&ran.stdout, "/outer"),
        (true, 2),
        "{}",
        ran.stdout
    );
    let shared = |line: &&str| line.contains(" /outer") && line.contains(" shared:");
    assert_eq!(
        ran.stdout.lines().filter(shared).count(),
        2,
        "{}",
        ran.stdout
    );

    sandbox.config["mounts"].as_array_mut().unwrap().pop();
    let refused = json!({ "destination": "/outer", "options": ["remount", "size=1m"] });
    sandbox.config["mounts"]
        .as_array_mut()
        .unwrap()
        .push(refused);
    sandbox.write_config();
    let failed = sandbox.windlass(&["run", "ID"]);
    let line = failed.error_line();
    assert!(
        line.contains("/mounts/6/options") && line.contains("size"),
        "{line}"
    );
    sandbox.assert_clean("run");
}

/// A container that may write to its cgroups raises its own limits.
#[test]
fn recursive_options_hold_for_the_cgroups() {
    for option in ["ro", "rro"] {
        let mut sandbox = Sandbox::new("cgroup-options");
        let cgroups = json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "relatime", option] });
        sandbox.config["mounts"]
            .as_array_mut()
            .unwrap()
            .push(cgroups);
        sandbox.script("cat /proc/self/mountinfo");
        let ran = sandbox.must(&["run", "ID"]);
        let (read_only, count) = all_read_only(&ran.stdout, "/sys/fs/cgroup");
        assert!(read_only && count > 0, "{option}: {}", ran.stdout);
        sandbox.assert_clean("run");
    }
}

/// As runc words it, and with nothing left behind.
#[test]
fn mounts_inside_proc_are_refused() {
    let mut sandbox = Sandbox::new("inside-proc");
    let emulated = sandbox.directory().join("uptime");
    fs::write(&emulated, "emulated").unwrap();
    let good = json!({ "destination": "/proc/uptime", "type": "bind", "source": emulated,
        "options": ["bind", "ro"] });
    sandbox.config["mounts"].as_array_mut().unwrap().push(good);
    sandbox.script("cat /proc/uptime");
    assert_eq!(sandbox.must(&["run", "ID"]).stdout, "emulated");
    for destination in ["/proc/version", "/dev/../proc/sys/kernel/hostname"] {
        sandbox.config["mounts"][4]["destination"] = json!(destination);
        sandbox.write_config();
        let failed = sandbox.windlass(&["run", "ID"]);
        let line = failed.error_line();
        let says = "cannot be mounted because it is inside /proc";
        assert!(
            line.contains(says) && line.contains("/mounts/4/destination"),
            "{line}"
        );
    }
    sandbox.assert_clean("refusals");
}

/// Every mount of an engine's list is there once, whatever it lists twice.
#[test]
fn a_path_masked_twice_is_masked_once() {
    let mut sandbox = Sandbox::new("masked-twice");
    fs::write(sandbox.rootfs().join("etc/secret"), "secret").unwrap();
    fs::create_dir(sandbox.rootfs().join("hidden")).unwrap();
    sandbox.config["linux"]["maskedPaths"] = json!([
        "/etc/secret",
        "/hidden",
        "/etc/secret",
        "/hidden/",
        "/missing"
    ]);
    sandbox.script("cat /etc/secret; cat /proc/self/mountinfo");
    let ran = sandbox.must(&["run", "ID"]);
    for path in ["/etc/secret", "/hidden"] {
        let there = |line: &&str| line.split(' ').nth(4) == Some(path);
        assert_eq!(ran.stdout.lines().filter(there).count(), 1, "{path}");
    }
    assert!(!ran.stdout.contains("secret\n"), "{}", ran.stdout);
    sandbox.assert_clean("run");
}

/// Whoever has a user namespace could mount a procfs of his own, without the masks, as long as the
/// host's is anywhere in the mount namespace.
#[test]
fn without_pivot_root_the_hosts_proc_is_out_of_reach() {
    let mut sandbox = Sandbox::new("no-pivot");
    for set in ["bounding", "permitted", "effective"] {
        sandbox.config["process"]["capabilities"][set] =
            json!(["CAP_SYS_ADMIN", "CAP_SETFCAP", "CAP_SYS_CHROOT"]);
    }
    let nested = "busybox unshare -mrpf busybox mount -t proc none /proc";
    sandbox.script(&format!("{nested} 2>&1; echo $?; cat /proc/self/mountinfo"));
    let ran = sandbox.must(&["run", "--no-pivot", "ID"]);
    let mut lines = ran.stdout.lines();
    assert_eq!(
        (lines.next(), lines.next()),
        (Some("mount: permission denied (are you root?)"), Some("1")),
        "{}",
        ran.stdout
    );
    let whole = |line: &&str| line.contains(" - proc ") || line.contains(" - sysfs ");
    let points: Vec<&str> = lines
        .filter(whole)
        .filter_map(|line| line.split(' ').nth(4))
        .collect();
    assert!(
        points
            .iter()
            .all(|point| point.starts_with("/proc") || point.starts_with("/sys")),
        "{points:?}"
    );
    sandbox.assert_clean("run");
}

/// As in runc: its own mount, and not those in it.
#[test]
fn the_root_can_be_a_read_only_path() {
    for root in ["/", "/."] {
        let mut sandbox = Sandbox::new("read-only-root");
        sandbox.config["root"]["readonly"] = json!(false);
        sandbox.config["linux"]["readonlyPaths"] = json!([root]);
        sandbox.script("echo x >/x || echo refused; echo y >/dev/y && cat /dev/y");
        let ran = sandbox.windlass(&["run", "ID"]);
        assert_eq!(ran.stdout, "refused\ny\n", "{}", ran.stderr);
        sandbox.assert_clean("run");
    }
}

/// As runc's host-mntns.bats: the mounts are the caller's, and stay.
#[test]
fn without_a_mount_namespace_the_mounts_are_the_hosts() {
    // Others have rootfs mounted on the host as well, at any time.
    const HOST: &str = "\"$@\" || exit; grep -cF \"$PWD/rootfs/proc \" /proc/self/mountinfo; \
        umount --recursive rootfs; grep -cF \"$PWD/rootfs\" /proc/self/mountinfo";
    let mut sandbox = Sandbox::new("host-mounts");
    let namespaces = sandbox.config["linux"]["namespaces"]
        .as_array_mut()
        .unwrap();
    namespaces.retain(|namespace| namespace["type"] != "mount");
    sandbox.config["linux"]["maskedPaths"] = json!([]);
    sandbox.config["linux"]["readonlyPaths"] = json!([]);
    sandbox.config["root"]["readonly"] = json!(true);
    sandbox.script("echo hello; echo x >/x");
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private"])
        .args(["sh", "-c", HOST, "host", WINDLASS, "--root"])
        .arg(sandbox.state_root())
        .args(["run", &sandbox.id])
        .current_dir(sandbox.bundle());
    let ran = finish(&mut command);
    assert!(
        ran.stderr.contains("Read-only file system"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("stay when the container is deleted"),
        "{}",
        ran.stderr
    );
    sandbox.script("echo hello");
    let ran = finish(&mut command);
    assert_eq!(ran.stdout, "hello\n1\n0\n", "{}", ran.stderr);
    sandbox.assert_clean("run");
}
