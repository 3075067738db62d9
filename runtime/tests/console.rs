//! Terminals: the foreground's, the console socket's, and exec's.
//!
//! Needs root and busybox-static.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};

use harness::{PATIENCE, Sandbox, wait_for, wait_until};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use rustix::time::Timespec;
use serde_json::json;
use windlass::init::channel::receive_descriptor;

/// A terminal with the runtime in its foreground.
struct Terminal {
    master: File,
    peer: OwnedFd,
    seen: String,
}

impl Terminal {
    fn new(rows: u16, columns: u16) -> Terminal {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let peer = open(&name, flags, Mode::empty()).unwrap();
        resize(&master, rows, columns);
        Terminal {
            master: File::from(master),
            peer,
            seen: String::new(),
        }
    }

    fn spawn(&self, mut command: Command) -> Child {
        let stream = || Stdio::from(self.peer.try_clone().unwrap());
        command.stdin(stream()).stdout(stream()).stderr(stream());
        harness::sys::in_session_of_stdin(&mut command);
        command.spawn().unwrap()
    }

    /// Reads until `words` have come.
    #[track_caller]
    fn expect(&mut self, words: &str) {
        expect(&mut self.master, &mut self.seen, words);
    }
}

fn resize(master: impl AsFd, rows: u16, columns: u16) {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(master, size).unwrap();
}

#[track_caller]
fn expect(master: &mut File, seen: &mut String, words: &str) {
    let timeout = Timespec::try_from(PATIENCE).unwrap();
    while !seen.contains(words) {
        let mut fds = [PollFd::new(master, PollFlags::IN)];
        assert!(
            poll(&mut fds, Some(&timeout)).unwrap() > 0,
            "no {words:?} in {seen:?}"
        );
        let mut bytes = [0; 4096];
        let length = master.read(&mut bytes).unwrap_or(0);
        assert!(length > 0, "the end, and no {words:?} in {seen:?}");
        seen.push_str(&String::from_utf8_lossy(&bytes[..length]));
    }
}

fn with_terminal(test: &str, script: &str) -> Sandbox {
    let mut sandbox = Sandbox::new(test);
    sandbox.config["process"]["terminal"] = json!(true);
    sandbox.script(script);
    sandbox
}

#[test]
fn run_in_a_terminal() {
    let sandbox = with_terminal(
        "tty",
        "tty; stty size; ls -ln /dev/console $(tty); trap 'stty size' WINCH; \
         read -r line; echo got:$line; while ! read -r line; do :; done; echo second:$line; exit 5",
    );
    let mut terminal = Terminal::new(30, 100);
    let before = tcgetattr(&terminal.peer).unwrap();
    let mut child = terminal.spawn(sandbox.command(&["run", "ID"]));
    terminal.expect("/dev/pts/0");
    terminal.expect("30 100");
    terminal.master.write_all(b"words\r").unwrap();
    terminal.expect("got:words");
    let raw = tcgetattr(&terminal.peer).unwrap();
    assert!(
        !raw.local_modes.contains(LocalModes::ECHO),
        "ours echoes as well"
    );
    resize(&terminal.master, 40, 120);
    terminal.expect("40 120");
    terminal.master.write_all(b"more\r").unwrap();
    terminal.expect("second:more");
    assert_eq!(wait_for(&mut child).code(), Some(5));
    let after = tcgetattr(&terminal.peer).unwrap();
    assert_eq!(
        after.local_modes, before.local_modes,
        "the terminal is not restored"
    );
    assert_eq!(after.input_modes, before.input_modes);
    assert_eq!(after.output_modes, before.output_modes);
    sandbox.assert_clean("run");
}

#[test]
fn the_terminal_is_restored_when_the_container_is_killed() {
    let sandbox = with_terminal("ttykill", "echo up; sleep 1000");
    let mut terminal = Terminal::new(24, 80);
    let before = tcgetattr(&terminal.peer).unwrap();
    let mut child = terminal.spawn(sandbox.command(&["run", "ID"]));
    terminal.expect("up");
    let init = Pid::from_raw(sandbox.pid()).unwrap();
    kill_process(init, Signal::KILL).unwrap();
    assert_eq!(wait_for(&mut child).code(), Some(137));
    let after = tcgetattr(&terminal.peer).unwrap();
    assert_eq!(after.local_modes, before.local_modes);
    sandbox.assert_clean("run");
}

/// The processor time that a process has used, in clock ticks (proc_pid_stat(5), fields 14 and
/// 15).
fn ticks(process: &Child) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let times = fields.split(' ').skip(14 - 3).take(2);
    times.map(|field| field.parse::<u64>().unwrap()).sum()
}

#[test]
fn a_terminal_that_is_closed_and_opened_again() {
    let sandbox = with_terminal(
        "ttyclosed",
        "echo up; exec <&- >&- 2>&-; sleep 2; exec </dev/pts/0 >/dev/pts/0; echo again; \
         read -r line; echo got:$line",
    );
    let mut terminal = Terminal::new(24, 80);
    let mut child = terminal.spawn(sandbox.command(&["run", "ID"]));
    terminal.expect("up");
    let before = ticks(&child);
    terminal.expect("again");
    let used = ticks(&child) - before;
    assert!(used < 40, "{used} ticks of some 200 for waiting");
    terminal.master.write_all(b"words\r").unwrap();
    terminal.expect("got:words");
    assert_eq!(wait_for(&mut child).code(), Some(0));
    sandbox.assert_clean("run");
}

#[test]
fn a_program_that_does_not_read_gets_its_signals() {
    let sandbox = with_terminal(
        "ttyfull",
        "stty raw -echo; trap 'exit 7' TERM; echo up; sleep 1000 & wait",
    );
    let mut child = sandbox
        .command(&["run", "ID"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = File::from(OwnedFd::from(child.stdout.take().unwrap()));
    expect(&mut output, &mut String::new(), "up");
    let mut input = child.stdin.take().unwrap();
    rustix::io::ioctl_fionbio(&input, true).unwrap();
    // Until neither the terminal, nor the runtime, nor the pipe takes any more of it.
    let (mut written, mut refused) = (0, 0);
    while refused < 25 {
        match input.write(&[b'x'; 4096]) {
            Ok(length) => (written, refused) = (written + length, 0),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                refused += 1;
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
        assert!(written < 64 << 20, "it takes everything");
    }
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(wait_for(&mut child).code(), Some(7));
    sandbox.assert_clean("run");
}

/// The other end of a console socket's connection.
fn receive(listener: &UnixListener) -> File {
    let (connection, _) = listener.accept().unwrap();
    File::from(receive_descriptor(&connection).unwrap().unwrap())
}

#[test]
fn the_console_socket_gets_the_terminal() {
    let mut sandbox = with_terminal("socket", "tty; stty size; id -u; read -r x; echo got:$x");
    sandbox.config["process"]["consoleSize"] = json!({ "height": 33, "width": 77 });
    sandbox.config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    sandbox.write_config();
    let path = sandbox.directory().join("console.sock");
    let listener = UnixListener::bind(&path).unwrap();
    sandbox.must(&["create", "--console-socket", path.to_str().unwrap(), "ID"]);
    let mut master = receive(&listener);
    sandbox.must(&["start", "ID"]);
    let mut seen = String::new();
    for words in ["/dev/pts/0", "33 77", "1000"] {
        expect(&mut master, &mut seen, words);
    }
    master.write_all(b"it\r").unwrap();
    expect(&mut master, &mut seen, "got:it");
    sandbox.wait_for_status("stopped");
    sandbox.must(&["delete", "ID"]);
    sandbox.assert_clean("delete");
}

#[test]
fn the_terminal_is_the_users() {
    let mut sandbox = with_terminal("owner", "ls -ln /dev/console /dev/pts/0; sleep 1000");
    sandbox.config["process"]["user"] = json!({ "uid": 1000, "gid": 1000 });
    sandbox.write_config();
    let path = sandbox.directory().join("console.sock");
    let listener = UnixListener::bind(&path).unwrap();
    sandbox.must(&[
        "run",
        "-d",
        "--console-socket",
        path.to_str().unwrap(),
        "ID",
    ]);
    let mut master = receive(&listener);
    let mut seen = String::new();
    expect(&mut master, &mut seen, "/dev/pts/0\r\n");
    for line in seen.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(&fields[2..4], ["1000", "5"], "{seen}");
    }
    assert_eq!(seen.lines().count(), 2, "{seen}");
    sandbox.must(&["delete", "-f", "ID"]);
}

#[test]
fn output_that_goes_elsewhere_has_no_carriage_returns() {
    let sandbox = with_terminal("onlcr", "echo one; echo two");
    assert_eq!(sandbox.must(&["run", "ID"]).stdout, "one\ntwo\n");
    let sandbox = with_terminal("onlcrtty", "echo one; echo two");
    let mut terminal = Terminal::new(24, 80);
    let mut child = terminal.spawn(sandbox.command(&["run", "ID"]));
    terminal.expect("one\r\ntwo\r\n");
    assert_eq!(wait_for(&mut child).code(), Some(0));
}

#[test]
fn a_program_whose_output_nobody_reads_can_be_ended() {
    // The one that writes is stuck; the one that gets the signal is not.
    let script = "while :; do echo a line of many that nobody reads; done & \
                  trap 'exit 7' TERM; wait";
    let sandbox = with_terminal("unread", script);
    let mut command = sandbox.command(&["run", "ID"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    wait_until("the container", || {
        sandbox
            .windlass(&["state", "ID"])
            .stdout
            .contains("running")
    });
    let mut output = child.stdout.take().unwrap();
    // Until nothing more goes into it: how much that is depends on how the writes fall onto pages.
    let mut before = 0;
    wait_until("a full pipe", || {
        let held = rustix::io::ioctl_fionread(&output).unwrap();
        held >= 32 << 10 && held == std::mem::replace(&mut before, held)
    });
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    wait_until("the end of the container", || {
        !sandbox.windlass(&["state", "ID"]).status.success()
    });
    // What it wrote is still there for whoever reads it now.
    let mut text = String::new();
    output.read_to_string(&mut text).unwrap();
    assert_eq!(wait_for(&mut child).code(), Some(7));
    assert!(text.starts_with("a line of many that nobody reads\n"));
    assert!(text.len() >= 60 << 10, "{}", text.len());
    sandbox.assert_clean("run");
}

#[test]
fn exec_in_a_terminal() {
    let sandbox = Sandbox::new("exectty");
    sandbox.must(&["run", "-d", "ID"]);
    let mut terminal = Terminal::new(31, 101);
    let script = "tty; stty size; read -r x; echo got:$x; exit 6";
    let mut child = terminal.spawn(sandbox.command(&["exec", "-t", "ID", "sh", "-c", script]));
    terminal.expect("/dev/pts/0");
    terminal.expect("31 101");
    terminal.master.write_all(b"in\r").unwrap();
    terminal.expect("got:in");
    assert_eq!(wait_for(&mut child).code(), Some(6));

    let path = sandbox.directory().join("exec.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let socket = path.to_str().unwrap();
    sandbox.must(&["exec", "-d", "-t", "--console-socket", socket, "ID", "tty"]);
    let mut master = receive(&listener);
    expect(&mut master, &mut String::new(), "/dev/pts/");
    sandbox.must(&["delete", "-f", "ID"]);
    sandbox.assert_clean("delete");
}

#[test]
fn a_terminal_and_a_socket_belong_together() {
    let mut sandbox = with_terminal("nosocket", "true");
    for verb in [&["create", "ID"][..], &["run", "-d", "ID"]] {
        let failed = sandbox.windlass(verb);
        assert!(
            failed.error_line().contains("cannot allocate tty"),
            "{}",
            failed.stderr
        );
    }
    let failed = sandbox.windlass(&["create", "--console-socket", "/no/such.sock", "ID"]);
    assert!(
        failed.error_line().contains("/no/such.sock"),
        "{}",
        failed.stderr
    );
    sandbox.config["process"]["terminal"] = json!(false);
    sandbox.write_config();
    let path = sandbox.directory().join("unused.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    let failed = sandbox.windlass(&["create", "--console-socket", path.to_str().unwrap(), "ID"]);
    assert!(
        failed.error_line().contains("cannot use console socket"),
        "{}",
        failed.stderr
    );
    sandbox.assert_clean("refusals");
}
