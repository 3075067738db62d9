//! Not one byte lost: through the foreground, the log and attached clients, fast, slow and dead.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use harness::{Owned, Said, Shim, assert_same, eventually, logged, new_id, pattern, signal};

const SIZE: usize = 24 * 1024 * 1024;

/// A container that writes one pattern to each stream, both at once, and is gone.
fn shim_with_patterns(before: &str) -> (Shim, Vec<u8>, Vec<u8>) {
    let shim = Shim::new();
    let (out, err) = (pattern(SIZE, 1), pattern(SIZE, 2));
    fs::write(shim.rootfs().join("out"), &out).unwrap();
    fs::write(shim.rootfs().join("err"), &err).unwrap();
    shim.script(&format!("{before} cat /out & cat /err >&2; wait"));
    (shim, out, err)
}

fn spawn(mut command: std::process::Command) -> Owned {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Owned(command.spawn().unwrap())
}

/// Reads all of a child's standard error while someone else reads its standard output.
fn drain_stderr(child: &mut Child) -> std::thread::JoinHandle<Vec<u8>> {
    let mut stderr = child.stderr.take().unwrap();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stderr.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// What a container's script begins with that waits until so many clients are there, each of whom says so
/// in a line ([`say_hello`]).
fn await_clients(count: usize) -> String {
    let hellos: String = (0..count).map(|_| "read hello; ").collect();
    hellos + ">/dev/all-are-here; "
}

/// Lets the clients of a container that began with [`await_clients`] say that they are there.
fn say_hello(clients: &mut [Owned], shim: &Shim, id: &str) {
    for client in clients {
        let input = client.0.stdin.as_mut().unwrap();
        input.write_all(b"hello\n").unwrap();
    }
    let here = format!("/proc/{}/root/dev/all-are-here", shim.state(id)["pid"]);
    eventually("all are attached", || fs::exists(&here).unwrap());
}

#[test]
fn a_detached_containers_log_has_every_byte() {
    let (shim, out, err) = shim_with_patterns("");
    let id = new_id();
    shim.run_detached(&[], &id);
    assert_eq!(shim.say(&["wait", &id]).status, 0);
    let log = fs::read(shim.record(&id).join("log")).unwrap();
    assert_same(&logged(&log, "stdout"), &out, "stdout in the log");
    assert_same(&logged(&log, "stderr"), &err, "stderr in the log");
    let logs = shim.command(&["logs", &id]).output().unwrap();
    assert_same(&logs.stdout, &out, "stdout from logs");
    assert_same(&logs.stderr, &err, "stderr from logs");
}

#[test]
fn the_foreground_gets_every_byte_however_slowly_it_is_read() {
    let (shim, out, err) = shim_with_patterns("");
    let log = shim.place.path().join("own.log");
    for pause in [Duration::ZERO, Duration::from_millis(1)] {
        let id = new_id();
        let mut run = spawn(shim.run_command(&["--rm", "--log", log.to_str().unwrap()], &id));
        let stderr = drain_stderr(&mut run.0);
        let mut stdout = run.0.stdout.take().unwrap();
        let (mut got, mut piece) = (Vec::new(), vec![0; 16 * 1024]);
        loop {
            let length = stdout.read(&mut piece).unwrap();
            if length == 0 {
                break;
            }
            got.extend_from_slice(&piece[..length]);
            std::thread::sleep(pause);
        }
        assert_eq!(run.0.wait().unwrap().code(), Some(0));
        assert_same(&got, &out, "stdout");
        assert_same(&stderr.join().unwrap(), &err, "stderr");
        let written = fs::read(&log).unwrap();
        assert_same(&logged(&written, "stdout"), &out, "stdout in the log");
        assert_same(&logged(&written, "stderr"), &err, "stderr in the log");
        fs::remove_file(&log).unwrap();
    }
}

#[test]
fn a_reader_that_is_not_there_holds_the_foreground_container_back() {
    let (shim, out, _) = shim_with_patterns("");
    let id = new_id();
    let log = shim.place.path().join("own.log");
    let mut run = spawn(shim.run_command(&["--log", log.to_str().unwrap()], &id));
    eventually("there is output", || {
        fs::metadata(&log).is_ok_and(|log| log.len() > 0)
    });
    std::thread::sleep(Duration::from_secs(1));
    // Some pipes and one socket full of each stream, and no more.
    assert!(
        fs::metadata(&log).unwrap().len() < 4 << 20,
        "the log ran ahead of the terminal"
    );
    // Signals get through all the same.
    signal(run.0.id(), Signal::HUP);
    let stderr = drain_stderr(&mut run.0);
    let mut got = Vec::new();
    run.0.stdout.take().unwrap().read_to_end(&mut got).unwrap();
    stderr.join().unwrap();
    assert_eq!(run.0.wait().unwrap().code(), Some(0));
    assert_same(&got, &out, "stdout");
}

#[test]
fn a_foreground_whose_reader_goes_away_goes_on() {
    let (shim, out, _) = shim_with_patterns("");
    let id = new_id();
    let mut run = spawn(shim.run_command(&["--log", "/dev/null"], &id));
    drop(run.0.stdout.take());
    drop(run.0.stderr.take());
    assert_eq!(run.0.wait().unwrap().code(), Some(0));
    assert_eq!(out.len(), SIZE);
}

#[test]
fn attached_clients_slow_stopped_and_killed_cost_the_log_nothing() {
    let (shim, out, err) = shim_with_patterns(&(await_clients(4) + "read go;"));
    let id = new_id();
    shim.run_detached(&[], &id);
    let mut clients: Vec<Owned> = (0..4)
        .map(|_| spawn(shim.command(&["attach", &id])))
        .collect();
    say_hello(&mut clients, &shim, &id);
    let [fast, slow, stopped, killed] = &mut clients[..] else {
        panic!()
    };
    signal(stopped.0.id(), Signal::STOP);
    killed.0.kill().unwrap();
    let fast_stderr = drain_stderr(&mut fast.0);
    let mut fast_stdout = fast.0.stdout.take().unwrap();
    let fast_reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        fast_stdout.read_to_end(&mut bytes).unwrap();
        bytes
    });
    slow.0.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    let started = Instant::now();
    assert_eq!(shim.say(&["wait", &id]).stdout, "0\n");
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "someone held the container up"
    );
    let log = fs::read(shim.record(&id).join("log")).unwrap();
    assert_same(&logged(&log, "stdout"), &out, "stdout in the log");
    assert_same(&logged(&log, "stderr"), &err, "stderr in the log");
    // Whoever could not keep up has the beginning, whole, and knows that it is not all.
    let slow_stderr = drain_stderr(&mut slow.0);
    let mut got = Vec::new();
    slow.0.stdout.take().unwrap().read_to_end(&mut got).unwrap();
    let said = String::from_utf8_lossy(&slow_stderr.join().unwrap()[..]).into_owned();
    assert_eq!(slow.0.wait().unwrap().code(), Some(125));
    assert!(said.contains("cut off"), "{:?}", said.lines().last());
    assert!(
        got.len() < SIZE && out.starts_with(&got),
        "a hole in what the slow client got"
    );
    // The fast one shares two cores with all others: everything, or a clean beginning.
    let got = fast_reader.join().unwrap();
    fast_stderr.join().unwrap();
    match fast.0.wait().unwrap().code() {
        Some(0) => assert_same(&got, &out, "stdout of the fast client"),
        Some(125) => assert!(out.starts_with(&got), "a hole in what the fast client got"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn several_clients_see_the_same() {
    let shim = Shim::new();
    let script = "read go; echo \"out $go\"; echo \"err $go\" >&2; read last; exit 9";
    shim.script(&(await_clients(3) + script));
    let id = new_id();
    shim.run_detached(&[], &id);
    let mut clients: Vec<Owned> = (0..3)
        .map(|_| spawn(shim.command(&["attach", &id])))
        .collect();
    say_hello(&mut clients, &shim, &id);
    clients[1]
        .0
        .stdin
        .as_mut()
        .unwrap()
        .write_all(b"go\n")
        .unwrap();
    let mut readers = Vec::new();
    for client in &mut clients {
        let mut stdout = BufReader::new(client.0.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        assert_eq!(line, "out go\n");
        readers.push(stdout);
    }
    // The end of one's input is the end of the container's.
    drop(clients[2].0.stdin.take());
    for client in &mut clients {
        let mut said = String::new();
        client
            .0
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert_eq!(said, "err go\n");
        assert_eq!(client.0.wait().unwrap().code(), Some(9));
    }
}

#[test]
fn a_watcher_gives_no_input() {
    let shim = Shim::new();
    shim.script("echo ready; read line; echo \"got $line\"");
    let id = new_id();
    shim.run_detached(&[], &id);
    let watcher = spawn(shim.command(&["attach", "--no-stdin", &id]));
    drop(watcher);
    std::thread::sleep(Duration::from_millis(200));
    assert!(
        shim.is_running(&id),
        "the watcher's going ended the container's input"
    );
    let mut attach = spawn(shim.command(&["attach", &id]));
    attach.0.stdin.take().unwrap().write_all(b"this\n").unwrap();
    attach.0.wait().unwrap();
    assert!(shim.log(&id).contains(" F got this"));
}

#[test]
fn all_of_a_large_input_arrives() {
    let shim = Shim::new();
    shim.configure(|config| config["process"]["args"] = json!(["cat"]));
    let input = pattern(SIZE, 3);
    let mut run = spawn(shim.run_command(&["--rm"], &new_id()));
    let mut stdin = run.0.stdin.take().unwrap();
    let sent = input.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
    let mut got = Vec::new();
    run.0.stdout.take().unwrap().read_to_end(&mut got).unwrap();
    writer.join().unwrap();
    assert_eq!(run.0.wait().unwrap().code(), Some(0));
    assert_same(&got, &input, "what cat gave back");
}

#[test]
fn a_signal_overtakes_input_that_nobody_reads() {
    let shim = Shim::new();
    shim.script("trap 'exit 12' TERM; echo ready; while :; do sleep 0.05; done");
    let mut run = spawn(shim.run_command(&["--rm"], &new_id()));
    let mut stdin = run.0.stdin.take().unwrap();
    let writer = std::thread::spawn(move || {
        // The pipe breaks when the run ends.
        let _ = stdin.write_all(&pattern(SIZE, 4));
    });
    let mut line = String::new();
    BufReader::new(run.0.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    signal(run.0.id(), Signal::TERM);
    assert_eq!(run.0.wait().unwrap().code(), Some(12));
    writer.join().unwrap();
}

#[test]
fn no_stdin_is_dev_null() {
    let shim = Shim::new();
    shim.script("cat; ls -l /proc/self/fd/0");
    let said = shim.run(&["--no-stdin", "--rm"], &new_id());
    assert!(said.stdout.ends_with("-> /dev/null\n"), "{said:?}");
}

#[test]
fn logs_tail_follow_and_timestamps() {
    let shim = Shim::new();
    shim.script("echo one; echo two; printf unfinished; read go; echo; echo last; echo err >&2");
    let id = new_id();
    shim.run_detached(&[], &id);
    eventually("it waits", || shim.log(&id).contains("unfinished"));
    let all = shim.say(&["logs", &id]);
    assert_eq!(
        (all.stdout.as_str(), all.stderr.as_str()),
        ("one\ntwo\nunfinished", "")
    );
    assert_eq!(
        shim.say(&["logs", "--tail", "2", &id]).stdout,
        "two\nunfinished"
    );
    assert_eq!(shim.say(&["logs", "--tail", "0", &id]).stdout, "");
    assert_eq!(shim.say(&["logs", "--tail", "99", &id]).stdout, all.stdout);
    let timed = shim.say(&["logs", "--timestamps", &id]).stdout;
    for (line, word) in timed.lines().zip(["one", "two", "unfinished"]) {
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(
            rest == word && time.len() == 30 && time.ends_with('Z'),
            "{line}"
        );
    }
    let mut follow = spawn(shim.command(&["logs", "-f", "-n", "1", &id]));
    let mut stdout = follow.0.stdout.take().unwrap();
    let mut head = [0; 10];
    stdout.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"unfinished");
    let mut attach = spawn(shim.command(&["attach", &id]));
    attach.0.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "\nlast\n");
    assert_eq!(
        follow.0.wait().unwrap().code(),
        Some(0),
        "following ends with the container"
    );
    assert_eq!(
        shim.say(&["logs", "-f", &id]).stdout,
        "one\ntwo\nunfinished\nlast\n"
    );
}

#[test]
fn following_gets_every_byte_too() {
    let (shim, out, err) = shim_with_patterns("read go;");
    let id = new_id();
    shim.run_detached(&[], &id);
    let mut follow = spawn(shim.command(&["logs", "-f", &id]));
    let stderr = drain_stderr(&mut follow.0);
    let mut attach = shim.command(&["attach", &id]);
    let mut attach = attach
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    attach.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let mut got = Vec::new();
    follow
        .0
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut got)
        .unwrap();
    attach.wait().unwrap();
    assert_same(&got, &out, "stdout");
    assert_same(&stderr.join().unwrap(), &err, "stderr");
}

#[test]
fn a_foreground_without_a_log_says_so() {
    let shim = Shim::new();
    shim.script("echo words");
    let id = new_id();
    assert_eq!(shim.run(&[], &id).stdout, "words\n");
    let said = shim.say(&["logs", &id]);
    assert_eq!(said.status, 125);
    assert!(said.stderr.contains("was run without --log"), "{said:?}");
}

#[test]
fn a_full_disk_holds_the_container_back_and_loses_nothing() {
    let (shim, out, err) = shim_with_patterns("");
    let disk = shim.place.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mount = |option: &str| {
        let mut command = std::process::Command::new("mount");
        let said = harness::finish(
            command
                .args(["-t", "tmpfs", "-o", option, "none"])
                .arg(&disk),
        );
        assert_eq!(said.status, 0, "{said:?}");
    };
    mount("size=4m");
    let _unmount = Unmount(disk.clone());
    let log = disk.join("log");
    let id = new_id();
    shim.run_detached(&["--log", log.to_str().unwrap()], &id);
    std::thread::sleep(Duration::from_millis(1500));
    assert!(
        shim.is_running(&id),
        "it went on although its log could not"
    );
    mount("remount,size=128m");
    assert_eq!(shim.say(&["wait", &id]).stdout, "0\n");
    let log = fs::read(log).unwrap();
    assert_same(&logged(&log, "stdout"), &out, "stdout in the log");
    assert_same(&logged(&log, "stderr"), &err, "stderr in the log");
}

struct Unmount(std::path::PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status();
    }
}

#[test]
fn a_disk_that_stays_full_is_reported_at_the_end() {
    let shim = Shim::new();
    shim.script("echo words");
    let id = new_id();
    let said: Said = harness::finish(
        shim.run_command(&["--log", "/dev/full"], &id)
            .stdin(Stdio::null()),
    );
    assert_eq!((said.status, said.stdout.as_str()), (0, "words\n"));
    assert!(said.stderr.contains("/dev/full: No space left"), "{said:?}");
    assert!(
        shim.state(&id)["troubles"][0]
            .as_str()
            .unwrap()
            .contains("No space left")
    );
}
