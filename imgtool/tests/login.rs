//! Logging in at a terminal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod image_builder;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

use image_builder::windlass_img;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

/// A terminal: our end of it, and the program's.
fn terminal() -> (File, File) {
    let ours: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let name = name.into_string().unwrap();
    let theirs = File::options().read(true).write(true).open(name).unwrap();
    (File::from(ours), theirs)
}

fn echoes(terminal: &File) -> bool {
    let modes = tcgetattr(terminal).unwrap().local_modes;
    modes.contains(LocalModes::ECHO)
}

/// Whether a process waits for something (proc_pid_stat(5)).
fn sleeps(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.contains(") S ")
}

#[test]
fn a_terminal_shows_what_is_typed_again_after_an_interruption() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let (mut ours, theirs) = terminal();
        let mut child = windlass_img()
            .args(["login", "registry.invalid"])
            .stdin(theirs.try_clone().unwrap())
            .stderr(theirs.try_clone().unwrap())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut wait_for = |ours: &mut File, word: &str| {
            while !said.contains(word) {
                let mut piece = [0; 100];
                let count = ours.read(&mut piece).unwrap();
                said += &String::from_utf8_lossy(&piece[..count]);
            }
        };
        wait_for(&mut ours, "Username: ");
        ours.write_all(b"me\n").unwrap();
        wait_for(&mut ours, "Password: ");
        assert!(!echoes(&theirs));
        while !sleeps(child.id()) {
            std::thread::sleep(Duration::from_millis(5));
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(code), "{signal:?}");
        assert!(echoes(&theirs));
    }
}
