//! What `checkpoint` and `restore` hand to CRIU by their options: each asks for something that is refused or
//! otherwise without it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod harness;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use harness::criu::{IMAGES, call, checkpoint, count, must, restore, run, sandbox};
use harness::{Sandbox, wait_for, wait_until};
use serde_json::json;

/// Without the option the container runs on; with it it is checkpointed, and restored with it.
fn only_with(sandbox: &Sandbox, path: &str, option: &str, restored_with: &[&str]) {
    let arguments = [&["checkpoint"], &IMAGES[..], &[&sandbox.id]].concat();
    let refused = call(sandbox, path, &arguments);
    assert_eq!(refused.code(), 1, "without {option}: {}", refused.stderr);
    assert_eq!(sandbox.status(), "running", "{}", refused.stderr);
    checkpoint(sandbox, path, &[option]);
    let bundle = sandbox.bundle();
    let bundle = ["-d", "-b", bundle.to_str().unwrap()];
    let arguments = [
        &["restore"],
        &IMAGES[..],
        restored_with,
        &bundle,
        &[&sandbox.id],
    ]
    .concat();
    must(sandbox, path, &arguments);
    assert_eq!(sandbox.status(), "running");
}

/// Where the images are, `name` beside them.
fn images(sandbox: &Sandbox, name: &str) -> std::path::PathBuf {
    sandbox.directory().join(name)
}

/// The bytes of memory that are in a directory of images.
fn memory_in(images: &Path) -> u64 {
    let entries = fs::read_dir(images).unwrap().map(Result::unwrap);
    let pages = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("pages-"));
    pages.map(|entry| entry.metadata().unwrap().len()).sum()
}

#[test]
fn what_was_dumped_before_is_left_out() {
    let Some((sandbox, path)) = sandbox("criu-parent") else {
        return;
    };
    let mut check = Command::new("criu");
    check.args(["check", "--feature", "mem_dirty_track"]);
    if !check.env("PATH", &path).output().unwrap().status.success() {
        eprintln!("SKIP criu-parent: the kernel tracks no writes (CONFIG_MEM_SOFT_DIRTY)");
        return;
    }
    run(&sandbox, &path);
    let before = [
        "checkpoint",
        "--image-path",
        "before",
        "--pre-dump",
        &sandbox.id,
    ];
    must(&sandbox, &path, &before);
    assert_eq!(sandbox.status(), "running");
    let all = memory_in(&images(&sandbox, "before"));
    checkpoint(&sandbox, &path, &["--parent-path", "../before"]);
    let since = memory_in(&images(&sandbox, "images"));
    assert!(0 < since && since < all, "{since} of {all}");
    restore(&sandbox, &path);
    let restored = count(&sandbox);
    wait_until("it goes on counting", || count(&sandbox) > restored);
}

#[test]
fn a_page_server_takes_the_memory() {
    let Some((sandbox, path)) = sandbox("criu-server") else {
        return;
    };
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let elsewhere = images(&sandbox, "elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let mut server = PageServer::start(&elsewhere, &port, &path);
    run(&sandbox, &path);
    checkpoint(
        &sandbox,
        &path,
        &["--page-server", &format!("127.0.0.1:{port}")],
    );
    assert_eq!(memory_in(&images(&sandbox, "images")), 0);
    // The dump ends when all is sent, the server when all is written.
    assert!(wait_for(&mut server.0).success());
    assert!(memory_in(&elsewhere) > 0);
    for entry in fs::read_dir(&elsewhere).unwrap().map(Result::unwrap) {
        fs::copy(
            entry.path(),
            images(&sandbox, "images").join(entry.file_name()),
        )
        .unwrap();
    }
    restore(&sandbox, &path);
    let restored = count(&sandbox);
    wait_until("it goes on counting", || count(&sandbox) > restored);
}

/// `criu page-server`, which serves one dump; ended when this is dropped.
struct PageServer(Child);

impl PageServer {
    fn start(images: &Path, port: &str, path: &str) -> Self {
        let mut command = Command::new("criu");
        command.args([
            "page-server",
            "--address",
            "127.0.0.1",
            "--port",
            port,
            "--images-dir",
        ]);
        command.arg(images).env("PATH", path).current_dir(images);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let server = Self(command.spawn().unwrap());
        // It takes one connection only: so ask the kernel, not the port.
        let listening = format!(
            "0100007F:{:04X} 00000000:0000 0A",
            port.parse::<u16>().unwrap()
        );
        wait_until("the page server listens", || {
            fs::read_to_string("/proc/net/tcp")
                .unwrap()
                .contains(&listening)
        });
        server
    }
}

impl Drop for PageServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn open_connections_go_on() {
    let Some((mut sandbox, path)) = sandbox("criu-tcp") else {
        return;
    };
    // Who is not listened to yet says so, and what stands in a file of standard error by then, CRIU
    // wants to find there again.
    sandbox.script(
        "sleep 1000 | busybox nc -l -p 7 >/tmp/arrived & \
         (i=0; while :; do i=$((i+1)); echo $i; echo $i >/tmp/count; sleep 0.05; done) | \
         while ! busybox nc 127.0.0.1 7 2>/dev/null; do sleep 0.05; done",
    );
    let arrived = || {
        let seen = sandbox.must(&["exec", &sandbox.id, "/bin/cat", "/tmp/arrived"]);
        seen.stdout.lines().count()
    };
    run(&sandbox, &path);
    wait_until("something arrives", || arrived() > 2);
    let option = "--tcp-established";
    only_with(&sandbox, &path, option, &[option]);
    let restored = arrived();
    wait_until("more arrives", || arrived() > restored + 2);
}

#[test]
fn locks_are_held_again() {
    let Some((mut sandbox, path)) = sandbox("criu-locks") else {
        return;
    };
    for directory in ["/usr", "/lib", "/lib64"] {
        let mounts = sandbox.config["mounts"].as_array_mut().unwrap();
        mounts.push(json!({"destination": directory, "type": "bind", "source": directory, "options": ["rbind", "ro"]}));
    }
    sandbox.script(
        "exec 9>/tmp/lock; /usr/bin/flock 9; echo 3 > /tmp/count; while :; do sleep 1; done",
    );
    run(&sandbox, &path);
    let is_locked = || {
        let tried = sandbox.windlass(&[
            "exec",
            &sandbox.id,
            "/usr/bin/flock",
            "--nonblock",
            "/tmp/lock",
            "true",
        ]);
        tried.code() == 1
    };
    assert!(is_locked());
    only_with(&sandbox, &path, "--file-locks", &["--file-locks"]);
    assert!(is_locked());
}

#[test]
fn files_without_a_name_get_one_for_the_time_being() {
    let Some((mut sandbox, path)) = sandbox("criu-remap") else {
        return;
    };
    sandbox.script(
        "exec 9<>/tmp/a; echo kept >&9; ln /tmp/a /tmp/b; rm /tmp/a; echo 3 > /tmp/count; while :; do sleep 1; done",
    );
    run(&sandbox, &path);
    only_with(&sandbox, &path, "--link-remap", &[]);
    let seen = sandbox.must(&[
        "exec",
        &sandbox.id,
        "/bin/sh",
        "-c",
        "echo more >> /tmp/b; cat /proc/1/fd/9",
    ]);
    assert_eq!(seen.stdout, "kept\nmore\n");
}
