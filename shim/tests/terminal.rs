//! Containers with a terminal, and people at one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::json;

use harness::{Owned, Shim, assert_same, eventually, is_alive, logged, new_id, pattern, signal};

/// Where a person sits: `screen` shows what is written, and takes what is typed.
struct Desk {
    screen: File,
    line: OwnedFd,
}

impl Desk {
    fn new(rows: u16, columns: u16) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let screen = openpt(flags).unwrap();
        grantpt(&screen).unwrap();
        unlockpt(&screen).unwrap();
        let line = ioctl_tiocgptpeer(&screen, flags).unwrap();
        let desk = Desk {
            screen: File::from(screen),
            line,
        };
        desk.resize(rows, columns);
        desk
    }

    fn resize(&self, rows: u16, columns: u16) {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&self.screen, size).unwrap();
    }

    fn sit(&self, command: &mut Command) -> Owned {
        let line = || self.line.try_clone().unwrap();
        Owned(
            command
                .stdin(line())
                .stdout(line())
                .stderr(line())
                .spawn()
                .unwrap(),
        )
    }

    /// Reads until the screen shows `text`.
    fn see(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        let mut byte = [0; 256];
        while !String::from_utf8_lossy(&seen).contains(text) {
            let length = self.screen.read(&mut byte).unwrap();
            seen.extend_from_slice(&byte[..length]);
        }
        String::from_utf8(seen).unwrap()
    }

    fn type_in(&mut self, keys: &[u8]) {
        self.screen.write_all(keys).unwrap();
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.line)
            .unwrap()
            .local_modes
            .contains(LocalModes::ICANON)
    }
}

fn shim_with_terminal(script: &str) -> Shim {
    let shim = Shim::new();
    shim.configure(|config| {
        config["process"]["terminal"] = json!(true);
        config["process"]["args"] = json!(["sh", "-c", script]);
    });
    shim
}

#[test]
fn the_foreground_is_the_containers_terminal() {
    let shim = shim_with_terminal(
        "trap 'stty size; exit 5' WINCH; tty; stty size; echo ready; while :; do sleep 0.05; done",
    );
    let id = new_id();
    let mut desk = Desk::new(33, 77);
    assert!(!desk.is_raw());
    let mut run = desk.sit(&mut shim.run_command(&["-t", "--rm"], &id));
    let seen = desk.see("ready");
    assert!(
        seen.contains("/dev/pts/") && seen.contains("33 77"),
        "{seen}"
    );
    assert!(desk.is_raw());
    desk.resize(40, 99);
    // The kernel sends it to whom the terminal controls; the test's shim has no such terminal.
    signal(run.0.id(), Signal::WINCH);
    desk.see("40 99");
    assert_eq!(run.0.wait().unwrap().code(), Some(5));
    assert!(!desk.is_raw(), "the terminal is as it was");
    shim.assert_gone(&id);
}

#[test]
fn keys_are_the_containers_and_interrupt_it() {
    let shim = shim_with_terminal(
        "trap 'echo interrupted; exit 8' INT; echo ready; while :; do sleep 0.05; done",
    );
    let mut desk = Desk::new(24, 80);
    let mut run = desk.sit(&mut shim.run_command(&["-t", "--rm"], &new_id()));
    desk.see("ready");
    desk.type_in(b"\x03");
    desk.see("interrupted");
    assert_eq!(run.0.wait().unwrap().code(), Some(8));
}

#[test]
fn a_person_leaves_and_comes_back() {
    let shim =
        shim_with_terminal("echo ready; while read word; do echo \"heard $word\"; done; exit 3");
    let id = new_id();
    let mut desk = Desk::new(24, 80);
    let mut run = desk.sit(&mut shim.run_command(&["-t"], &id));
    desk.see("ready");
    desk.type_in(b"first\r");
    desk.see("heard first");
    desk.type_in(b"\x10\x11");
    assert_eq!(run.0.wait().unwrap().code(), Some(0));
    assert!(!desk.is_raw());
    assert!(shim.is_running(&id));
    let mut desks = [Desk::new(24, 80), Desk::new(24, 80)];
    let mut attached: Vec<Owned> = desks
        .iter()
        .map(|desk| desk.sit(&mut shim.command(&["attach", &id])))
        .collect();
    eventually("both are attached", || desks.iter().all(Desk::is_raw));
    // Who hears the answer gets all that follows.
    desks[1].type_in(b"one more\r");
    desks[1].see("heard one more");
    desks[0].type_in(b"second\r");
    for desk in &mut desks {
        desk.see("heard second");
    }
    // A signal only ends the attachment it is sent to, and leaves its terminal as it was.
    signal(attached[1].0.id(), Signal::TERM);
    assert_eq!(attached[1].0.wait().unwrap().code(), Some(128 + 15));
    assert!(!desks[1].is_raw());
    // Ctrl-d, for which the terminal's line discipline is answerable.
    desks[0].type_in(b"\x04");
    assert_eq!(attached[0].0.wait().unwrap().code(), Some(3));
    assert_eq!(shim.say(&["wait", &id]).stdout, "3\n");
}

#[test]
fn a_terminal_loses_no_byte() {
    let shim = shim_with_terminal("stty raw -echo; cat /bytes");
    let bytes = pattern(8 * 1024 * 1024, 5);
    fs::write(shim.rootfs().join("bytes"), &bytes).unwrap();
    let id = new_id();
    let run = shim
        .run_command(&["-t"], &id)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(0));
    assert_same(&run.stdout, &bytes, "the foreground's stdout");
    assert_eq!(shim.say(&["rm", &id]).status, 0);
    shim.run_detached(&["-t"], &id);
    assert_eq!(shim.say(&["wait", &id]).status, 0);
    let log = fs::read(shim.record(&id).join("log")).unwrap();
    assert_same(&logged(&log, "stdout"), &bytes, "the log");
}

#[test]
fn a_terminal_that_the_container_closes_can_be_opened_again() {
    let shim = shim_with_terminal(
        "exec </dev/null >/dev/null 2>/dev/null; sleep 1; echo back > /dev/console; sleep 1",
    );
    let id = new_id();
    shim.run_detached(&["-t"], &id);
    let supervisor = shim.state(&id)["supervisor_pid"].as_u64().unwrap();
    assert_eq!(shim.say(&["wait", &id]).stdout, "0\n");
    assert_eq!(shim.say(&["logs", &id]).stdout, "back\r\n");
    eventually("the supervisor ends", || !is_alive(supervisor));
}

#[test]
fn a_container_and_a_run_that_disagree_about_the_terminal_are_refused() {
    let shim = shim_with_terminal("true");
    let id = new_id();
    let said = shim.run(&["-d"], &id);
    assert_eq!(
        (said.status, said.stderr.lines().count()),
        (125, 1),
        "{said:?}"
    );
    assert!(said.stderr.contains("process.terminal"), "{said:?}");
    shim.assert_gone(&id);
    shim.script("true");
    let said = shim.run(&["-d", "-t"], &id);
    assert_eq!(
        (said.status, said.stderr.lines().count()),
        (125, 1),
        "{said:?}"
    );
    assert!(said.stderr.contains("process.terminal"), "{said:?}");
    shim.assert_gone(&id);
}

#[test]
fn a_state_directory_with_a_very_long_path_works() {
    let shim = shim_with_terminal("stty raw; echo words");
    let long = shim.place.path().join("x".repeat(150));
    let id = new_id();
    let state = long.to_str().unwrap();
    let mut command = shim.run_command(&["--state", state, "-t", "--rm"], &id);
    let said = harness::finish(command.stdin(Stdio::null()));
    assert_eq!(
        (said.status, said.stdout.as_str()),
        (0, "words\n"),
        "{said:?}"
    );
}
