//! The attach socket: output without loss, input, and clients of every kind.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::caller::Caller;
use crate::harness::{assert_same, eventually, is_alive, pattern, signal};

/// So many bytes go through a container in the tests of loss: many times what pipes and sockets hold.
const MUCH: usize = 8 * 1024 * 1024;

/// A script that writes the file `pattern` of the rootfs to stdout, and backwards to stderr.
const BOTH_STREAMS: &str = "cat /pattern & cat /pattern2 >&2; wait";

fn with_patterns(caller: &Caller) -> [Vec<u8>; 2] {
    let patterns = [pattern(MUCH, 1), pattern(MUCH / 2, 2)];
    fs::write(caller.shim.rootfs().join("pattern"), &patterns[0]).unwrap();
    fs::write(caller.shim.rootfs().join("pattern2"), &patterns[1]).unwrap();
    patterns
}

for_both! {
    fn output_comes_in_packets_that_name_the_stream(program: Program) {
        let caller = Caller::new(program, "echo out; sleep 0.1; echo err >&2; sleep 0.1; printf x");
        let (_started, _) = caller.create(&[]);
        let attached = caller.attach();
        caller.start();
        assert_eq!(attached.packet(), Some((2, b"out\n".to_vec())));
        assert_eq!(attached.packet(), Some((3, b"err\n".to_vec())));
        assert_eq!(attached.packet(), Some((2, b"x".to_vec())));
        assert_eq!(attached.packet(), None);
        assert_eq!(caller.logged("stdout"), b"out\nx");
    }

    fn input_reaches_the_container_until_the_client_ends_it(program: Program) {
        let caller = Caller::new(program, "cat; echo end");
        let (_started, _) = caller.create(&["-i"]);
        let attached = caller.attach();
        caller.start();
        attached.send(b"one\n");
        assert_eq!(attached.await_text("one\n"), "one\n");
        attached.send(b"two\n");
        attached.end_input();
        assert_eq!(attached.rest()[0], b"two\nend\n");
        assert_eq!(caller.exit_status(), "0");
    }

    fn much_input_goes_through(program: Program) {
        let caller = Caller::new(program, "cat");
        let (_started, _) = caller.create(&["-i", "-l", "none"]);
        let attached = caller.attach();
        caller.start();
        let sent = pattern(1024 * 1024, 3);
        let got = std::thread::scope(|scope| {
            let reader = scope.spawn(|| attached.rest());
            for piece in sent.chunks(32 * 1024) {
                attached.send(piece);
            }
            attached.end_input();
            reader.join().unwrap()
        });
        assert_same(&got[0], &sent, "what came back");
    }

    fn input_that_has_piled_up_goes_through(program: Program) {
        let caller = Caller::new(program, "cat");
        let (_started, _) = caller.create(&["-i"]);
        let attached = caller.attach();
        caller.start();
        attached.send(b"begin\n");
        assert_eq!(attached.await_text("begin\n"), "begin\n");
        let supervisor = u32::try_from(caller.supervisor()).unwrap();
        // More packets than are taken in one turn, and less than the container's pipe holds.
        signal(supervisor, Signal::STOP);
        let sent: Vec<String> = (0..40).map(|number| format!("{number}\n")).collect();
        for line in &sent {
            attached.send(line.as_bytes());
        }
        attached.end_input();
        signal(supervisor, Signal::CONT);
        assert_eq!(String::from_utf8_lossy(&attached.rest()[0]), sent.concat());
    }

    fn a_client_that_leaves_ends_the_input_too(program: Program) {
        // Nothing is written before the input has ended: when conmon 2.1 finds that it can't write
        // to a client before it finds that the client has left, it frees the client's record and
        // then looks there for whether to end the input (terminate_remote_sock).
        last_words(program, "words=$(cat); printf %s \"$words\"");
    }

    fn leave_stdin_open_lets_the_next_client_go_on(program: Program) {
        let caller = Caller::new(program, "read a; read b; echo $a$b");
        let (_started, _) = caller.create(&["-i", "--leave-stdin-open"]);
        caller.start();
        let first = caller.attach();
        first.send(b"one\n");
        first.end_input();
        drop(first);
        std::thread::sleep(Duration::from_millis(100));
        let second = caller.attach();
        second.send(b"two\n");
        assert_eq!(second.rest()[0], b"onetwo\n");
    }

    fn without_i_the_container_has_no_input(program: Program) {
        let caller = Caller::new(program, "cat; echo end; sleep 0.3");
        let (_started, _) = caller.create(&[]);
        let attached = caller.attach();
        attached.send(b"nobody hears this");
        caller.start();
        assert_eq!(attached.rest()[0], b"end\n");
    }

    fn every_client_gets_everything(program: Program) {
        let caller = Caller::new(program, BOTH_STREAMS);
        let patterns = with_patterns(&caller);
        let (_started, _) = caller.create(&[]);
        let clients = [caller.attach(), caller.attach(), caller.attach()];
        caller.start();
        std::thread::scope(|scope| {
            for client in &clients {
                let patterns = &patterns;
                scope.spawn(move || {
                    let got = client.rest();
                    assert_same(&got[0], &patterns[0], "stdout");
                    assert_same(&got[1], &patterns[1], "stderr");
                });
            }
        });
        assert_eq!(caller.exit_status(), "0");
        assert_same(&caller.logged("stdout"), &patterns[0], "stdout in the log");
        assert_same(&caller.logged("stderr"), &patterns[1], "stderr in the log");
    }

    fn a_slow_client_loses_nothing(program: Program) {
        let caller = Caller::new(program, BOTH_STREAMS);
        let patterns = with_patterns(&caller);
        let (_started, _) = caller.create(&[]);
        let client = caller.attach();
        caller.start();
        // Long enough for all that fits to fill up.
        std::thread::sleep(Duration::from_millis(500));
        let mut got = [Vec::new(), Vec::new()];
        let mut packets = 0;
        while let Some((stream, bytes)) = client.packet() {
            got[usize::from(stream) - 2].extend(bytes);
            packets += 1;
            if packets % 64 == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        assert_same(&got[0], &patterns[0], "stdout");
        assert_same(&got[1], &patterns[1], "stderr");
        assert_eq!(caller.exit_status(), "0");
        assert_same(&caller.logged("stdout"), &patterns[0], "stdout in the log");
    }

    fn a_client_that_dies_takes_nothing_from_the_others(program: Program) {
        let caller = Caller::new(program, BOTH_STREAMS);
        let patterns = with_patterns(&caller);
        let (_started, _) = caller.create(&["-i"]);
        let (dying, living) = (caller.attach(), caller.attach());
        caller.start();
        dying.packet().unwrap();
        drop(dying);
        let got = living.rest();
        assert_same(&got[0], &patterns[0], "stdout");
        assert_same(&got[1], &patterns[1], "stderr");
        assert_same(&caller.logged("stderr"), &patterns[1], "stderr in the log");
    }

    fn a_terminal_is_read_to_its_end(program: Program) {
        let caller = Caller::new(program, "");
        caller.shim.configure(|config| {
            config["process"]["terminal"] = true.into();
            config["process"]["args"] = serde_json::json!(["sh", "-c", "stty -opost; cat /pattern"]);
        });
        // A terminal has no place for every byte as it is; letters and lines are what it is for.
        let text: Vec<u8> =
            pattern(MUCH / 4, 4).iter().map(|byte| b'a' + byte % 16).collect();
        fs::write(caller.shim.rootfs().join("pattern"), &text).unwrap();
        let (_started, _) = caller.create(&["-t"]);
        let client = caller.attach();
        caller.start();
        assert_same(&client.rest()[0], &text, "what the terminal showed");
        assert_same(&caller.logged("stdout"), &text, "the log");
    }

    fn a_terminal_takes_input_and_signals(program: Program) {
        let caller = Caller::new(program, "");
        caller.shim.configure(|config| {
            config["process"]["terminal"] = true.into();
            config["process"]["args"] =
                serde_json::json!(["sh", "-c", "trap 'echo INT; exit 4' INT; echo ready; read line; echo got $line; while true; do sleep 0.05; done"]);
        });
        let (_started, _) = caller.create(&["-t", "-i"]);
        let client = caller.attach();
        caller.start();
        client.await_text("ready\r\n");
        client.send(b"a line\n");
        client.await_text("got a line\r\n");
        client.send(b"\x03");
        client.await_text("INT\r\n");
        assert_eq!(caller.exit_status(), "4");
    }

    fn the_exit_is_told_although_a_client_does_not_read(program: Program) {
        let caller = Caller::new(program, "echo short");
        let (_started, _) = caller.create(&[]);
        let client = caller.attach();
        caller.start();
        assert_eq!(caller.exit_status(), "0");
        assert_eq!(client.rest()[0], b"short\n");
    }
}

/// How many packets of the greatest size a client may leave unread.
fn packets_that_fit() -> usize {
    use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};
    let kind = (AddressFamily::UNIX, SocketType::SEQPACKET);
    let (one, _other) = socketpair(kind.0, kind.1, SocketFlags::NONBLOCK, None).unwrap();
    let mut packets = 0;
    while send(&one, &[0; 8193], SendFlags::empty()).is_ok() {
        packets += 1;
    }
    packets
}

/// conmon writes to a client that does not read until it does, and tells nobody anything before.
#[test]
fn the_exit_is_told_although_a_client_is_far_behind() {
    let caller = Caller::new(crate::caller::Program::Ours, "cat /pattern");
    // More than a client's socket holds, so that the last of it is still in our hands at the end.
    let sent = pattern(packets_that_fit() * 8192 + 64 * 1024, 5);
    fs::write(caller.shim.rootfs().join("pattern"), &sent).unwrap();
    let (_started, _) = caller.create(&[]);
    let client = caller.attach();
    caller.start();
    let status = caller.exit_status();
    assert_eq!(status, "0");
    assert!(is_alive(caller.supervisor()), "it waits for its client");
    assert_same(&client.rest()[0], &sent, "what the client got in the end");
    caller.await_end();
}

/// That a client can't be written to any more does not hide that its input has ended.
#[test]
fn a_client_that_leaves_while_it_is_written_to_ends_the_input_too() {
    last_words(crate::caller::Program::Ours, "cat");
}

/// A client sends its last words and leaves; `script` gives back what it reads, and ends.
fn last_words(program: crate::caller::Program, script: &str) {
    let caller = Caller::new(program, script);
    let (_started, _) = caller.create(&["-i"]);
    let attached = caller.attach();
    caller.start();
    attached.send(b"last words");
    drop(attached);
    assert_eq!(caller.exit_status(), "0");
    assert_eq!(caller.logged("stdout"), b"last words");
}

/// An idle supervisor does nothing, with a client that has half gone too.
#[test]
fn an_idle_supervisor_takes_no_time() {
    let caller = Caller::new(crate::caller::Program::Ours, "sleep 1000");
    let (_started, pid) = caller.run(&["-i", "--leave-stdin-open"]);
    let half = caller.attach();
    half.end_input();
    drop(caller.attach());
    std::thread::sleep(Duration::from_millis(200));
    let ticks = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", caller.supervisor())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks();
    let began = Instant::now();
    eventually("three seconds have gone by", || {
        began.elapsed() > Duration::from_secs(3)
    });
    assert!(ticks() - before <= 1, "it was busy");
    crate::harness::signal(u32::try_from(pid).unwrap(), rustix::process::Signal::KILL);
    assert_eq!(caller.exit_status(), "137");
}

/// Without descriptors for one more client it waits, and comes in when there are some again.
#[test]
fn a_client_comes_in_once_there_are_descriptors_again() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let caller = Caller::new(crate::caller::Program::Ours, "cat");
    let (_started, _) = caller.run(&["-i"]);
    let supervisor = Pid::from_raw(i32::try_from(caller.supervisor()).unwrap());
    let few = Rlimit {
        current: Some(3),
        maximum: rustix::process::getrlimit(Resource::Nofile).maximum,
    };
    let before = prlimit(supervisor, Resource::Nofile, few).unwrap();
    let attached = caller.attach();
    attached.send(b"one\n");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(caller.log(), b"");
    prlimit(supervisor, Resource::Nofile, before).unwrap();
    assert_eq!(attached.await_text("one\n"), "one\n");
    attached.end_input();
    assert_eq!(caller.exit_status(), "0");
}
