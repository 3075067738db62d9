//! Bind mounts: their flags, symbolic links at either end, and where none may go.
//!
//! Needs root, busybox-static, and unshare and mount of util-linux.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use harness::{Finished, Sandbox, WINDLASS, finish};
use serde_json::{Value, json};

/// Runs the container in a mount namespace of its own, after this shell command in the bundle.
fn run_on_host(sandbox: &Sandbox, prepare: &str) -> Finished {
    let host = format!("{{ {prepare}; }} || exit 99; exec \"$@\"");
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private"])
        .args(["sh", "-c", &host, "host", WINDLASS, "--root"])
        .arg(sandbox.state_root())
        .args(["run", &sandbox.id])
        .current_dir(sandbox.bundle());
    finish(&mut command)
}

fn mount(sandbox: &mut Sandbox, mount: Value) {
    sandbox.config["mounts"].as_array_mut().unwrap().push(mount);
}

/// The flags of the container's mount at a place, sorted, of mountinfo.
fn flags(mountinfo: &str, at: &str) -> Vec<String> {
    let line = mountinfo
        .lines()
        .find(|line| line.split(' ').nth(4) == Some(at));
    let fields = line.unwrap_or_else(|| panic!("{at}: {mountinfo}"));
    let mut flags: Vec<String> = fields
        .split(' ')
        .nth(5)
        .unwrap()
        .split(',')
        .map(str::to_owned)
        .collect();
    flags.sort_unstable();
    flags
}

/// As runc's mounts_sshfs.bats has it: `bind` alone keeps the source's flags; any flag, also one that
/// only clears, clears those that are not named; the atime group stays unless one of it is set, and
/// then is what mount(2) makes of it.
#[test]
fn flags_are_kept_or_cleared_as_runc_does() {
    let cases: [(&str, &[&str], &str); 16] = [
        ("ro,noexec,nodiratime", &[], "nodiratime,noexec,relatime,ro"),
        ("ro,noexec,nodiratime", &["dev"], "nodiratime,relatime,rw"),
        ("ro", &["nosuid", "nodev"], "nodev,nosuid,rw,strict"),
        ("ro", &["rw", "nosuid"], "nosuid,rw,strict"),
        (
            "nosuid,nodev,noexec,noatime",
            &["suid", "atime"],
            "noatime,rw",
        ),
        ("nodev,nosuid,noatime", &["ro", "exec"], "noatime,ro"),
        ("noatime", &["norelatime"], "noatime,rw"),
        ("noatime", &["relatime"], "relatime,rw"),
        ("noatime", &["nodiratime"], "nodiratime,relatime,rw"),
        ("nodiratime", &["strictatime"], "rw,strict"),
        (
            "noatime",
            &["nodiratime", "strictatime"],
            "nodiratime,rw,strict",
        ),
        (
            "noatime",
            &["nodiratime", "norelatime"],
            "nodiratime,relatime,rw",
        ),
        ("relatime", &["noatime"], "noatime,rw"),
        ("strictatime", &["nostrictatime"], "rw,strict"),
        ("nodiratime", &["diratime"], "nodiratime,relatime,rw"),
        ("relatime", &["strictatime", "noatime"], "rw,strict"),
    ];
    let mut sandbox = Sandbox::new("bind-flags");
    let mut prepare = vec!["true".to_owned()];
    for (index, (source, options, _)) in cases.iter().enumerate() {
        prepare.push(format!(
            "mkdir s{index} && mount -t tmpfs -o rw,suid,dev,exec,diratime,strictatime tmpfs s{index} \
             && mount -o remount,bind,strictatime s{index} && mount -o remount,bind,{source} s{index}"
        ));
        let options = [&["bind"], *options].concat();
        let destination = format!("/d{index}");
        let source = format!("s{index}");
        mount(
            &mut sandbox,
            json!({ "destination": destination, "source": source, "options": options }),
        );
    }
    sandbox.script("cat /proc/self/mountinfo");
    let ran = run_on_host(&sandbox, &prepare.join(" && "));
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    for (index, (source, options, wanted)) in cases.iter().enumerate() {
        // mountinfo shows strictatime as neither of the two others.
        let wanted: Vec<&str> = wanted.split(',').filter(|flag| *flag != "strict").collect();
        let seen = flags(&ran.stdout, &format!("/d{index}"));
        assert_eq!(seen, wanted, "{source} bound with {options:?}");
    }
    sandbox.assert_clean("run");
}

/// runc's mounts_recursive.bats: clearing one of the atime group recursively leaves relatime.
#[test]
fn recursive_atime_options_reach_the_mounts_below() {
    let cases = [
        ("ratime", "relatime,rw"),
        ("rnoatime", "noatime,rw"),
        ("rstrictatime", "rw"),
        ("rnostrictatime", "relatime,rw"),
        ("rrelatime", "relatime,rw"),
        ("rnorelatime", "relatime,rw"),
    ];
    let mut sandbox = Sandbox::new("recursive-atime");
    for (option, _) in cases {
        mount(
            &mut sandbox,
            json!({ "destination": format!("/{option}"), "source": "s",
                "options": ["rbind", option] }),
        );
    }
    sandbox.script("cat /proc/self/mountinfo");
    let prepare = "mkdir s && mount -t tmpfs s s && mkdir s/below && mount -t tmpfs below s/below";
    let ran = run_on_host(&sandbox, prepare);
    assert_eq!(ran.code(), 0, "{}", ran.stderr);
    for (option, wanted) in cases {
        for at in [format!("/{option}"), format!("/{option}/below")] {
            assert_eq!(flags(&ran.stdout, &at).join(","), wanted, "{at}");
        }
    }
    sandbox.assert_clean("run");
}

/// What the plan can't see: a link of the image.
#[test]
fn no_link_of_the_image_leads_a_mount_into_proc_or_onto_the_root() {
    let mut sandbox = Sandbox::new("links-into-proc");
    let file = sandbox.directory().join("file");
    fs::write(&file, "emulated").unwrap();
    let rootfs = sandbox.rootfs();
    symlink("/proc/sys", rootfs.join("knobs")).unwrap();
    symlink("proc", rootfs.join("p")).unwrap();
    symlink("/", rootfs.join("top")).unwrap();
    symlink("/proc/uptime", rootfs.join("uptime")).unwrap();
    let refusals = [
        ("/knobs/kernel/hostname", json!(file), "inside /proc"),
        ("/p/self/attr", json!("/tmp"), "inside /proc"),
        ("/p", json!("/tmp"), "leads to /proc"),
        ("/top", json!("/tmp"), "on the top of rootfs"),
        ("/proc", json!("/tmp"), "not of type proc"),
    ];
    for (destination, source, says) in refusals {
        mount(
            &mut sandbox,
            json!({ "destination": destination, "source": source, "options": ["bind"] }),
        );
        sandbox.script("true");
        let failed = sandbox.windlass(&["run", "ID"]);
        let line = failed.error_line();
        assert!(line.contains(says) && line.contains("/mounts/4"), "{line}");
        sandbox.config["mounts"].as_array_mut().unwrap().pop();
    }
    mount(
        &mut sandbox,
        json!({ "destination": "/uptime", "source": file, "options": ["bind"] }),
    );
    sandbox.script("cat /proc/uptime");
    assert_eq!(sandbox.must(&["run", "ID"]).stdout, "emulated");
    sandbox.config["mounts"] = json!([
        { "destination": "/proc", "source": "/proc", "options": ["rbind"] },
    ]);
    sandbox.script("cat /proc/self/comm");
    assert_eq!(sandbox.must(&["run", "ID"]).stdout, "cat\n");
    sandbox.assert_clean("refusals");
}

/// podman's options, which crun has.
#[test]
fn links_are_copied_or_taken_as_they_are() {
    let mut sandbox = Sandbox::new("bind-links");
    let bundle = sandbox.bundle();
    let rootfs = sandbox.rootfs();
    fs::write(bundle.join("file"), "the file").unwrap();
    symlink("file", bundle.join("link")).unwrap();
    fs::write(rootfs.join("covered"), "covered").unwrap();
    symlink("covered", rootfs.join("there")).unwrap();
    for (destination, source, option) in [
        ("/copy", "link", "copy-symlink"),
        ("/plain", "file", "copy-symlink"),
        ("/inode", "link", "src-nofollow"),
        ("/there", "file", "dest-nofollow"),
    ] {
        mount(
            &mut sandbox,
            json!({ "destination": destination, "source": source, "options": ["bind", option] }),
        );
    }
    sandbox.script(
        "readlink /copy; cat /plain; echo; readlink /inode; cat /there; echo; cat /covered; echo; \
         busybox grep -c ' /copy ' /proc/self/mountinfo",
    );
    for _ in 0..2 {
        // The second time the copied link is there already.
        let ran = sandbox.windlass(&["run", "ID"]);
        let wanted = "file\nthe file\nfile\nthe file\ncovered\n0\n";
        assert_eq!(ran.stdout, wanted, "{}", ran.stderr);
    }
    sandbox.config["mounts"][4]["source"] = json!("other");
    symlink("elsewhere", bundle.join("other")).unwrap();
    sandbox.write_config();
    let failed = sandbox.windlass(&["run", "ID"]);
    assert!(
        failed.error_line().contains("file exists"),
        "{}",
        failed.stderr
    );
    sandbox.config["mounts"][4]["options"] = json!(["bind", "copy-symlink", "src-nofollow"]);
    sandbox.write_config();
    let failed = sandbox.windlass(&["run", "ID"]);
    assert!(
        failed.error_line().contains("mutually exclusive"),
        "{}",
        failed.stderr
    );
    sandbox.assert_clean("refusals");
}

/// A destination may be written with the rootfs' path on the host, and a source be what an earlier
/// mount has made.
#[test]
fn mounts_build_on_one_another() {
    let mut sandbox = Sandbox::new("mount-order");
    let bundle = sandbox.bundle();
    for directory in ["a", "b", "c"] {
        fs::create_dir_all(bundle.join(directory).join("x")).unwrap();
        fs::write(bundle.join(directory).join("x/name"), directory).unwrap();
    }
    symlink("b", bundle.join("link")).unwrap();
    let rootfs = sandbox.rootfs();
    for (destination, source) in [
        (rootfs.join("mnt"), bundle.join("a")),
        ("/mnt/x".into(), bundle.join("link")),
        (rootfs.join("mnt/x/x"), rootfs.join("mnt/x")),
        (rootfs.join("final"), rootfs.join("mnt")),
    ] {
        mount(
            &mut sandbox,
            json!({ "destination": destination, "source": source, "options": ["rbind"] }),
        );
    }
    sandbox.script("cat /final/x/x/x/name");
    let ran = sandbox.must(&["run", "ID"]);
    assert_eq!(ran.stdout, "b");
    sandbox.assert_clean("run");
}

/// The host's flags are locked in a user namespace: those that no option clears by name are kept, and
/// one that is cleared, or another of the atime group, is an error.
#[test]
fn a_user_namespace_keeps_locked_flags() {
    let cases: [(&str, &[&str], &str); 8] = [
        ("ro,noexec,nodiratime", &[], "nodiratime,noexec,relatime,ro"),
        ("ro,noexec,nosymfollow", &["dev"], "noexec,relatime,ro"),
        ("ro", &["nosuid", "nodev"], "nodev,nosuid,relatime,ro"),
        (
            "nodev,nosuid,noatime",
            &["ro", "exec"],
            "noatime,nodev,nosuid,ro",
        ),
        ("noatime,nodiratime", &["atime"], "noatime,nodiratime,rw"),
        ("ro", &["rw", "nosuid"], "refused"),
        ("noatime", &["relatime"], "refused"),
        ("nodiratime", &["strictatime"], "refused"),
    ];
    for (source, options, wanted) in cases {
        let mut sandbox = Sandbox::new("locked-flags");
        sandbox.map_ids();
        fs::create_dir(sandbox.rootfs().join("mnt")).unwrap();
        let options = [&["bind"], options].concat();
        mount(
            &mut sandbox,
            json!({ "destination": "/mnt", "source": "s", "options": options }),
        );
        sandbox.script("cat /proc/self/mountinfo");
        let ran = run_on_host(
            &sandbox,
            &format!("mkdir s && mount -t tmpfs s s && mount -o remount,bind,{source} s"),
        );
        if wanted == "refused" {
            let line = ran.error_line();
            let says = line.contains("error mounting") && line.contains("operation not permitted");
            assert!(
                says && line.contains("locked"),
                "{source} with {options:?}: {line}"
            );
        } else {
            assert_eq!(ran.code(), 0, "{}", ran.stderr);
            let seen = flags(&ran.stdout, "/mnt").join(",");
            assert_eq!(seen, wanted, "{source} bound with {options:?}");
        }
        sandbox.assert_clean("run");
    }
}

/// The root of a user namespace may not look there, but the caller asked for it.
#[test]
fn sources_that_the_mapped_root_cant_reach_are_bound_all_the_same() {
    let mut sandbox = Sandbox::new("unreadable-source");
    sandbox.map_ids();
    let hidden = sandbox.directory().join("hidden");
    fs::create_dir_all(hidden.join("source")).unwrap();
    fs::write(hidden.join("source/name"), "hidden").unwrap();
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(&hidden, closed).unwrap();
    fs::create_dir(sandbox.rootfs().join("mnt")).unwrap();
    mount(
        &mut sandbox,
        json!({ "destination": "/mnt", "source": hidden.join("source"), "options": ["rbind"] }),
    );
    sandbox.script("cat /mnt/name");
    let ran = sandbox.must(&["run", "ID"]);
    assert_eq!(ran.stdout, "hidden");
    sandbox.assert_clean("run");
}
