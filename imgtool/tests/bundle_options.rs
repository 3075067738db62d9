//! What a process sees of what the caller said of its bundle, in a real runtime's container.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod container;
mod image_builder;

use std::process::Command;

use container::{Site, names, runtime};
use serde_json::Value;

/// Makes a bundle with these flags, runs `script` in its container, and returns what that printed.
fn printed(site: &Site, bundle: &str, flags: &[&str], script: &str) -> String {
    let mut arguments = vec!["bundle"];
    arguments.extend(flags);
    arguments.extend(["demo", bundle]);
    let mut command = site.command(&arguments);
    image_builder::run(command.args(["--", "sh", "-c", script]));
    let id = format!("options-test-{}-{bundle}", std::process::id());
    let output = Command::new(runtime())
        .arg("--root")
        .arg(site.path("runtime-root"))
        .args(["run", "--bundle"])
        .arg(site.path(bundle))
        .arg(&id)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{flags:?}: {stderr}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

#[test]
fn a_process_sees_what_was_said() {
    let site = Site::with_shell();
    let flags = [
        "--env=A=1",
        "--user=7:8",
        "--workdir=/made/here",
        "--hostname=box",
        "--read-only",
        "--ulimit=nofile=100:200",
        "--device=/dev/null:/dev/xnull:rw",
        "--sysctl=net.ipv4.ip_forward=1",
        "--tmpfs=/memory:size=1m",
        "--cap-drop=ALL",
        "--cap-add=NET_ADMIN",
        "--no-new-privileges",
    ];
    let script = r#"
        echo "$A $PWD $HOSTNAME $(ulimit -n) $(ulimit -Hn)"
        while read -r key value; do
            case $key in Uid:|Gid:|CapBnd:|NoNewPrivs:|Seccomp:) echo "$key" $value ;; esac
        done </proc/self/status
        cat /proc/sys/kernel/hostname /proc/sys/net/ipv4/ip_forward
        cat /proc/sys/net/ipv4/ip_unprivileged_port_start
        touch /file 2>/dev/null || echo read-only
        touch /memory/file && echo written
        cat /dev/xnull && echo null"#;
    let seen = printed(&site, "said", &flags, script);
    let expected = "1 /made/here box 100 200\nUid: 7 7 7 7\nGid: 8 8 8 8\n\
        CapBnd: 0000000000001000\nNoNewPrivs: 1\nSeccomp: 2\nbox\n1\n0\nread-only\nwritten\nnull";
    assert_eq!(seen, expected);
}

#[test]
fn defaults_are_docker_s() {
    let site = Site::with_shell();
    let script = r#"
        while read -r key value; do
            case $key in CapBnd:|CapEff:|NoNewPrivs:|Seccomp:) echo "$key" $value ;; esac
        done </proc/self/status
        echo x 2>/dev/null >/proc/sys/kernel/panic || echo kept"#;
    let seen = printed(&site, "usual", &[], script);
    let expected =
        "CapEff: 00000000a80425fb\nCapBnd: 00000000a80425fb\nNoNewPrivs: 0\nSeccomp: 2\nkept";
    let unconfined = printed(&site, "unconfined", &["--seccomp=unconfined"], script);
    assert_eq!(unconfined, expected.replace("Seccomp: 2", "Seccomp: 0"));
    assert_eq!(seen, expected);
    let privileged = printed(
        &site,
        "privileged",
        &["--privileged"],
        "ls /dev; cat /proc/self/status",
    );
    assert!(privileged.contains("Seccomp:\t0"), "{privileged}");
    assert!(
        privileged.lines().any(|name| name == "null"),
        "{privileged}"
    );
}

#[test]
fn volumes_outlive_their_containers() {
    let site = Site::with_shell();
    site.ours(&["volume", "create", "--label=a=b", "data"]);
    let fill = "cat /dir/kept; echo mine > /dir/mine";
    assert_eq!(printed(&site, "first", &["-v", "data:/dir"], fill), "kept");
    assert_eq!(
        printed(
            &site,
            "second",
            &["-v", "data:/dir:ro"],
            "cat /dir/mine; touch /dir/x || echo ro"
        ),
        "mine\nro"
    );
    let described: Value =
        serde_json::from_str(&site.ours(&["volume", "inspect", "data"])).unwrap();
    assert_eq!(described[0]["Labels"]["a"], "b");
    assert_eq!(described[0]["Bundles"].as_array().unwrap().len(), 2);
    site.refused(&["volume", "rm", "data"], "unbundle it first");
    assert_eq!(site.ours(&["volume", "prune", "--all"]), "");

    // One that nobody has named goes with its bundle, if that is asked for.
    printed(&site, "third", &["-v", "/dir"], "ls /dir");
    assert_eq!(names(&site.store().join("volumes")).len(), 2);
    let path = |name: &str| site.path(name).display().to_string();
    site.ours(&["unbundle", "--volumes", &path("third"), &path("first")]);
    assert_eq!(names(&site.store().join("volumes")), ["data"]);
    site.refused(&["volume", "rm", "data"], "second");
    site.ours(&["unbundle", &path("second")]);
    assert_eq!(site.ours(&["volume", "ls", "--quiet"]), "data");
    assert_eq!(site.ours(&["volume", "rm", "data"]), "data");
    site.refused(&["volume", "rm", "data"], "no volume data");
}

#[test]
fn what_fails_leaves_nothing() {
    let site = Site::with_shell();
    let refuse = |flags: &[&str], why: &str| {
        let mut arguments = vec!["bundle", "demo", "bad"];
        arguments.extend(flags);
        site.refused(&arguments, why);
        assert!(!site.path("bad").exists());
        assert_eq!(names(&site.store().join("volumes")), [""; 0]);
    };
    refuse(
        &["-v", "/dir", "-v", "/does/not/exist:/x"],
        "/does/not/exist",
    );
    refuse(&["-v", "/dir", "--user=nobody-here"], "--user");
    refuse(&["--memory=1m"], "6m is the least");
    refuse(
        &[
            "-v=data:/dir",
            "-v=data:/same",
            "-v=/other",
            "--sysctl=net.ipv4.ip_forward=1",
            "--network=host",
        ],
        "the host's",
    );
}
