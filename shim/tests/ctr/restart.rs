//! Containerd is killed and comes back, while containers run and end.

use std::fs;
use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use crate::daemon::Containerd;
use crate::harness::{eventually, is_alive};

/// How many containers run.
const MANY: usize = 12;

#[test]
fn no_container_and_no_exit_is_lost_with_containerd() {
    let Some(mut containerd) = Containerd::start() else {
        return;
    };
    let go = containerd.rootfs().join("go");
    // Every second one ends while containerd is away.
    let ids: Vec<String> = (0..MANY)
        .map(|number| {
            let script = match number % 2 {
                0 => format!(
                    "while ! [ -e /go ]; do sleep 0.1; done; exit {}",
                    20 + number
                ),
                _ => "sleep 1000".to_owned(),
            };
            containerd.run_detached(&["--null-io"], &script)
        })
        .collect();
    let shims = containerd.shims();
    let pids: Vec<u32> = ids.iter().map(|id| containerd.pid(id)).collect();
    containerd.kill_daemon();
    fs::write(&go, "").expect("a file");
    let ends = |index: &usize| index.is_multiple_of(2);
    eventually("half of them have ended", || {
        (0..MANY)
            .filter(ends)
            .all(|index| !is_alive(pids[index].into()))
    });
    containerd.run_daemon();
    for (index, id) in ids.iter().enumerate() {
        let expected = if ends(&index) { "STOPPED" } else { "RUNNING" };
        eventually("containerd knows the task", || {
            containerd.status(id) == expected
        });
    }
    for (index, id) in ids.iter().enumerate() {
        if ends(&index) {
            let said = containerd.ctr(&["task", "rm", id]).stderr;
            let status = format!("exit code {}\"", 20 + index);
            assert!(said.contains(&status), "{said}");
        } else {
            assert_eq!(containerd.pid(id), pids[index]);
            assert!(shims.len() >= MANY, "{shims:?}");
            containerd.ask(&["task", "exec", "--exec-id", "e", id, "true"]);
        }
        containerd.remove(id);
    }
    containerd.assert_idle();
}

#[test]
fn output_waits_for_containerd_to_come_back() {
    let Some(mut containerd) = Containerd::start() else {
        return;
    };
    let fifos = containerd.place.path().join("fifos");
    let mut command = containerd.run_command(
        &["--fifo-dir", fifos.to_str().expect("UTF-8")],
        "c0",
        "echo before; while ! [ -e /go ]; do sleep 0.1; done; echo after; exit 6",
    );
    let mut ctr = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("ctr starts");
    let mut line = [0; 7];
    ctr.stdout
        .take()
        .expect("a pipe")
        .read_exact(&mut line)
        .expect("the first line");
    assert_eq!(&line, b"before\n");
    let pid = containerd.pid("c0");
    // All who read are gone.
    ctr.kill().expect("kill");
    ctr.wait().expect("wait");
    containerd.kill_daemon();
    fs::write(containerd.rootfs().join("go"), "").expect("a file");
    eventually("the container has ended", || !is_alive(pid.into()));
    std::thread::sleep(Duration::from_millis(200));
    let fifo = find(&fifos, "stdout").expect("a fifo");
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(fs::read_to_string(fifo)));
    let text = receiver.recv_timeout(Duration::from_secs(20));
    assert_eq!(
        text.expect("somebody has it open").expect("its end"),
        "after\n"
    );
    containerd.run_daemon();
    eventually("containerd knows the end", || {
        containerd.status("c0") == "STOPPED"
    });
    let said = containerd.ctr(&["task", "rm", "c0"]).stderr;
    assert!(said.contains("exit code 6\""), "{said}");
    containerd.remove("c0");
    containerd.assert_idle();
}

fn find(directory: &std::path::Path, end: &str) -> Option<std::path::PathBuf> {
    for entry in fs::read_dir(directory).ok()?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if let Some(found) = find(&path, end) {
                return Some(found);
            }
        } else if path.to_str().is_some_and(|path| path.ends_with(end)) {
            return Some(path);
        }
    }
    None
}
