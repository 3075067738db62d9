//! `ctl` and `winsz`; the cases are those of conmon's `10-ctrl.bats`.

use std::fs;

use serde_json::json;

use crate::caller::{Caller, write_line};
use crate::harness::eventually;

/// A container that tells the size of its terminal whenever a line comes.
fn terminal(program: crate::caller::Program) -> Caller {
    let caller = Caller::new(program, "");
    caller.shim.configure(|config| {
        config["process"]["terminal"] = true.into();
        config["process"]["args"] = json!([
            "sh",
            "-c",
            "stty -echo; echo ready; while read line; do stty size; done"
        ]);
    });
    caller
}

for_both! {
    fn lines_of_ctl_resize_the_terminal(program: Program) {
        let caller = terminal(program);
        let (_started, _) = caller.create(&["-t"]);
        let client = caller.attach();
        caller.start();
        client.await_text("ready\r\n");
        let ctl = caller.shim.bundle().join("ctl");
        let mut lines = vec![("1 24 80", "24 80"), ("1 0010 0020", "10 20"), ("1 2 2 3", "2 2")];
        if caller.is_ours() {
            // Before 2.2, conmon took any size, and a line that is none for the end of all.
            lines.extend([("1 1001 5", "2 2"), ("nonsense", "2 2"), ("1 1000 1000", "1000 1000")]);
        }
        for (line, size) in lines {
            write_line(&ctl, line);
            let mut seen = String::new();
            eventually(line, || {
                client.send(b"\n");
                seen = client.await_text("\r\n");
                seen.trim() == size
            });
        }
    }

    fn lines_of_winsz_do_too(program: Program) {
        let caller = terminal(program);
        let (_started, _) = caller.create(&["-t"]);
        let client = caller.attach();
        caller.start();
        client.await_text("ready\r\n");
        write_line(&caller.shim.bundle().join("winsz"), "33 44");
        eventually("the size is 33 44", || {
            client.send(b"\n");
            client.await_text("\r\n").trim() == "33 44"
        });
    }

    /// As the kubelet rotates: rename, and then ask for a new file.
    fn a_log_that_was_renamed_is_begun_anew(program: Program) {
        let caller = Caller::new(program, "echo one; while ! read line; do :; done; echo two");
        let (_started, _) = caller.run(&["-i", "--leave-stdin-open"]);
        eventually("one is logged", || caller.logged("stdout") == b"one\n");
        fs::rename(caller.place("log"), caller.place("old")).unwrap();
        write_line(&caller.shim.bundle().join("ctl"), "2 1 1");
        eventually("there is a new log", || caller.place("log").exists());
        caller.attach().send(b"go\n");
        assert_eq!(caller.exit_status(), "0");
        assert_eq!(caller.logged("stdout"), b"two\n");
        let old = fs::read(caller.place("old")).unwrap();
        assert_eq!(crate::caller::logged(&old, "stdout"), b"one\n");
    }
}
