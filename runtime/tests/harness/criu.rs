//! Containers that count, and a CRIU that works on this kernel.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use super::{Finished, Sandbox, finish, wait_until};

/// A sandbox whose container counts in /tmp/count, and a PATH with a CRIU; `None`, and a line that
/// says why, where there is none that works here.
pub fn sandbox(test: &str) -> Option<(Sandbox, String)> {
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin");
    let path = format!(
        "{}:{}",
        fetched.display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let checked = Command::new("criu")
        .arg("check")
        .env("PATH", &path)
        .output();
    let reason = match checked {
        Ok(checked) if checked.status.success() => String::new(),
        Ok(checked) => String::from_utf8_lossy(&checked.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    if !reason.is_empty() {
        eprintln!("SKIP {test}: criu check: {reason}");
        return None;
    }
    let mut sandbox = Sandbox::new(test);
    // A tmpfs is in the images: what is in it shows whether the same process goes on.
    sandbox.config["mounts"]
        .as_array_mut()
        .unwrap()
        .push(json!({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}));
    sandbox.script("i=0; while :; do i=$((i+1)); echo $i > /tmp/new; busybox mv /tmp/new /tmp/count; sleep 0.05; done");
    Some((sandbox, path))
}

/// Calls windlass with nothing of ours as its standard streams but files.
pub fn call(sandbox: &Sandbox, path: &str, arguments: &[&str]) -> Finished {
    let mut command = sandbox.command(arguments);
    command.env("PATH", path).stdin(Stdio::null());
    command.current_dir(sandbox.directory());
    finish(&mut command)
}

/// Calls windlass, which has to succeed.
pub fn must(sandbox: &Sandbox, path: &str, arguments: &[&str]) {
    let called = call(sandbox, path, arguments);
    assert_eq!(called.code(), 0, "{arguments:?}: {}", called.stderr);
}

/// How far the container has counted.
pub fn count(sandbox: &Sandbox) -> u64 {
    let shown = sandbox.must(&["exec", &sandbox.id, "/bin/cat", "/tmp/count"]);
    shown.stdout.trim().parse().unwrap()
}

/// Runs the container, and waits until it counts.
pub fn run(sandbox: &Sandbox, path: &str) {
    let bundle = sandbox.bundle();
    must(
        sandbox,
        path,
        &["run", "-d", "-b", bundle.to_str().unwrap(), &sandbox.id],
    );
    wait_until("the container counts", || {
        let shown = sandbox.windlass(&["exec", &sandbox.id, "/bin/cat", "/tmp/count"]);
        shown.code() == 0
            && shown
                .stdout
                .trim()
                .parse::<u64>()
                .is_ok_and(|count| count > 2)
    });
}

/// Where images and logs are, in the sandbox.
pub const IMAGES: [&str; 4] = ["--image-path", "images", "--work-path", "work"];

/// Checkpoints the container into `images`.
pub fn checkpoint(sandbox: &Sandbox, path: &str, more: &[&str]) {
    let arguments = [&["checkpoint"], &IMAGES[..], more, &[&sandbox.id]].concat();
    must(sandbox, path, &arguments);
}

/// Restores the container from `images`, detached.
pub fn restore(sandbox: &Sandbox, path: &str) {
    let bundle = sandbox.bundle();
    let bundle = ["-d", "-b", bundle.to_str().unwrap()];
    let arguments = [&["restore"], &IMAGES[..], &bundle, &[&sandbox.id]].concat();
    must(sandbox, path, &arguments);
}
