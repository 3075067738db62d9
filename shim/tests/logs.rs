//! Logs that are rotated, compressed, limited and followed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use harness::{Owned, Shim, assert_same, eventually, new_id, pattern};

const SIZE: usize = 8 * 1024 * 1024;

/// A container that waits for a line and then writes a pattern.
fn shim_with_pattern() -> (Shim, Vec<u8>) {
    let shim = Shim::new();
    let out = pattern(SIZE, 1);
    fs::write(shim.rootfs().join("out"), &out).unwrap();
    shim.script("read go; cat /out");
    (shim, out)
}

fn go(shim: &Shim, id: &str) {
    let mut attach = shim.command(&["attach", id]);
    attach.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut attach = Owned(attach.spawn().unwrap());
    std::io::Write::write_all(&mut attach.0.stdin.take().unwrap(), b"go\n").unwrap();
    attach.0.wait().unwrap();
}

fn names(shim: &Shim, id: &str) -> Vec<String> {
    let entries = fs::read_dir(shim.record(id)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("log")).collect();
    names.sort();
    names
}

fn followed(options: &[&str]) -> (Shim, String) {
    let (shim, out) = shim_with_pattern();
    let id = new_id();
    shim.run_detached(options, &id);
    let mut follow = shim.command(&["logs", "--follow", &id]);
    let mut follow = Owned(follow.stdout(Stdio::piped()).spawn().unwrap());
    let mut stdout = follow.0.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).unwrap();
        bytes
    });
    go(&shim, &id);
    assert_eq!(shim.say(&["wait", &id]).stdout, "0\n");
    assert_same(&reader.join().unwrap(), &out, "what was followed");
    assert_eq!(follow.0.wait().unwrap().code(), Some(0));
    if options.contains(&"--log-compress") {
        // What was to be compressed at the end still is.
        let plain = |name: &String| name != "log" && name.strip_suffix(".gz").is_none();
        eventually("all is compressed", || !names(&shim, &id).iter().any(plain));
    }
    let logs = shim.command(&["logs", &id]).output().unwrap();
    assert_same(&logs.stdout, &out, "what is kept");
    (shim, id)
}

#[test]
fn a_log_is_followed_across_rotations_and_read_back_whole() {
    let (shim, id) = followed(&["--log-max-size", "512k", "--log-max-files", "99"]);
    let names = names(&shim, &id);
    assert!(names.len() > 16, "{names:?}");
    for name in names {
        let length = fs::metadata(shim.record(&id).join(&name)).unwrap().len();
        assert!(length <= 512 * 1024, "{name}: {length}");
    }
}

#[test]
fn a_compressed_log_is_followed_and_read_back_whole() {
    let options = [
        "--log-max-size",
        "2m",
        "--log-max-files",
        "9",
        "--log-compress",
    ];
    let (shim, id) = followed(&options);
    let names = names(&shim, &id);
    assert!(names.contains(&"log.1.gz".to_owned()), "{names:?}");
    // The system's own gzip reads them.
    let gzip = Command::new("gzip")
        .arg("-t")
        .arg(shim.record(&id).join("log.1.gz"))
        .status();
    assert!(gzip.unwrap().success());
}

#[test]
fn the_last_lines_may_be_in_several_files() {
    let shim = Shim::new();
    let lines = |start: usize| {
        let lines: Vec<String> = (start..200)
            .map(|number| format!("line {number}\n"))
            .collect();
        lines.concat()
    };
    shim.script("i=100; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); done");
    for options in [&[][..], &["--log-compress"], &["--log-driver", "json-file"]] {
        let id = new_id();
        let limits = ["--log-max-size", "600", "--log-max-files", "50"];
        shim.run_detached(&[&limits, options].concat(), &id);
        shim.say(&["wait", &id]);
        let all = shim.say(&["logs", &id]).stdout;
        assert_eq!(all, lines(100), "{options:?}");
        for count in [0, 1, 5, 42, 100, 500] {
            let tail = shim
                .say(&["logs", "--tail", &count.to_string(), &id])
                .stdout;
            let start = 200 - count.min(100);
            assert_eq!(tail, lines(start), "{options:?}, {count}");
        }
    }
}

#[test]
fn a_log_is_rotated_when_someone_says_so() {
    let shim = Shim::new();
    shim.script("echo one; read line; echo two; read line");
    let log = shim.place.path().join("own.log");
    let renamed = shim.place.path().join("renamed");
    let options = ["--log", log.to_str().unwrap()];
    for limit in [&[][..], &["--log-max-size", "1m"]] {
        let id = new_id();
        shim.run_detached(&[&options, limit].concat(), &id);
        let content = |path: &std::path::Path| fs::read_to_string(path).unwrap_or_default();
        eventually("the first line", || content(&log).ends_with("one\n"));
        if limit.is_empty() {
            fs::rename(&log, &renamed).unwrap();
        }
        let said = shim.say(&["rotate", &id]);
        assert_eq!(said.status, 0, "{said:?}");
        go(&shim, &id);
        eventually("the second line", || content(&log).ends_with("two\n"));
        assert!(!content(&log).contains("one"));
        let old = if limit.is_empty() {
            renamed.clone()
        } else {
            log.with_extension("log.1")
        };
        assert!(content(&old).ends_with("one\n"));
        shim.say(&["stop", "--time", "0", &id]);
        assert!(shim.say(&["rotate", &id]).stderr.contains("has ended"));
        fs::remove_file(&log).unwrap();
    }
}

#[test]
fn a_json_file_is_dockers() {
    let shim = Shim::new();
    shim.script("printf 'a \"b\"\\n'; printf 'no end' >&2");
    let id = new_id();
    shim.run_detached(&["--log-driver", "json-file"], &id);
    shim.say(&["wait", &id]);
    let values: Vec<Value> = shim
        .log(&id)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let logged: Vec<_> = values
        .iter()
        .map(|value| (&value["stream"], &value["log"]))
        .collect();
    let (out, err) = (json!("stdout"), json!("stderr"));
    let expected = [(&out, &json!("a \"b\"\n")), (&err, &json!("no end"))];
    assert!(
        expected.iter().all(|record| logged.contains(record)),
        "{logged:?}"
    );
    let logs = shim.say(&["logs", &id]);
    assert_eq!((&*logs.stdout, &*logs.stderr), ("a \"b\"\n", "no end"));
}

#[test]
fn a_rate_holds_the_container_back_and_loses_nothing() {
    let (shim, out) = shim_with_pattern();
    let id = new_id();
    shim.run_detached(&["--log-rate", "4m", "--log-burst", "2m"], &id);
    let began = Instant::now();
    go(&shim, &id);
    shim.say(&["wait", &id]);
    // 8 MiB: 2 at once, and what is in the pipe at the end is not held back.
    let elapsed = began.elapsed();
    assert!(elapsed >= Duration::from_millis(1300), "{elapsed:?}");
    let logs = shim.command(&["logs", &id]).output().unwrap();
    assert_same(&logs.stdout, &out, "the log");
}

/// How many bytes the pipe holds that the container writes to.
fn pipe_size(shim: &Shim, id: &str) -> usize {
    let stdout = format!("/proc/{}/fd/1", shim.state(id)["pid"]);
    let stdout = fs::OpenOptions::new().write(true).open(stdout).unwrap();
    rustix::pipe::fcntl_getpipe_size(&stdout).unwrap()
}

#[test]
fn a_pipe_is_wider_only_while_much_comes_through_it() {
    let (shim, _) = shim_with_pattern();
    shim.script("while [ ! -e /dev/end ]; do cat /out; done; while :; do sleep 1; done");
    let id = new_id();
    shim.run_detached(&["--log-max-size", "1m"], &id);
    eventually("a wide pipe", || pipe_size(&shim, &id) == 256 * 1024);
    let root = format!("/proc/{}/root/dev/end", shim.state(&id)["pid"]);
    fs::write(root, "").unwrap();
    eventually("a narrow pipe", || pipe_size(&shim, &id) == 64 * 1024);
    shim.say(&["kill", &id, "KILL"]);
    shim.say(&["wait", &id]);
}

#[test]
fn lines_above_a_rate_are_dropped_only_where_that_is_asked_for() {
    let shim = Shim::new();
    shim.script("i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done");
    let id = new_id();
    let options = [
        "--log-rate",
        "10lines",
        "--log-burst",
        "100lines",
        "--log-drop",
    ];
    shim.run_detached(&options, &id);
    shim.say(&["wait", &id]);
    let text = shim.say(&["logs", &id]).stdout;
    let kept = text
        .lines()
        .filter(|line| line.starts_with("line "))
        .count();
    assert!((100..400).contains(&kept), "{text}");
    let said = text
        .lines()
        .filter_map(|line| line.strip_prefix("[windlass-shim: "));
    let dropped: usize = said
        .map(|notice| notice.split(' ').next().unwrap().parse::<usize>().unwrap())
        .sum();
    assert_eq!(kept + dropped, 1000, "{text}");
}

#[test]
fn a_log_that_contradicts_itself_is_refused() {
    let shim = Shim::new();
    shim.script("true");
    for (options, reason) in [
        (
            &["--log-driver", "none", "--log", "x"][..],
            "leaves nothing",
        ),
        (&["--log-driver", "journald", "--log", "x"], "its own place"),
        (&["--log-tag", "x"], "need --log-driver journald"),
        (&["--log-max-size", "0"], "is no size"),
        (&["--log-max-size", "many"], "is no size"),
        (&["--log-compress"], "--log-max-size"),
        (&["--log-rate", "0lines"], "is no number of lines"),
        (
            &["--log-rate", "1m", "--log-burst", "5lines"],
            "must both count",
        ),
        (
            &["--log", "/dev/null", "--log-max-size", "1m"],
            "can't be rotated",
        ),
    ] {
        let id = new_id();
        let said = shim.run(&[&["-d"], options].concat(), &id);
        assert_eq!(said.status, 125, "{options:?}");
        assert!(said.stderr.contains(reason), "{options:?}: {}", said.stderr);
        assert!(!shim.record(&id).exists());
    }
}

#[test]
fn the_journal_gets_the_lines() {
    let shim = Shim::new();
    shim.script("echo to the journal; echo and an error >&2");
    let id = new_id();
    if !std::path::Path::new("/run/systemd/journal/socket").exists() {
        println!("SKIP the_journal_gets_the_lines: no systemd-journald here");
        let said = shim.run(&["-d", "--log-driver", "journald"], &id);
        assert!(
            said.stderr.contains("does systemd-journald run?"),
            "{said:?}"
        );
        return;
    }
    let options = [
        "--log-driver",
        "journald",
        "--log-tag",
        "tagged",
        "--log-label",
        "TIER=front",
    ];
    shim.run_detached(&options, &id);
    shim.say(&["wait", &id]);
    let selector = format!("CONTAINER_ID_FULL={id}");
    let entries = || -> Vec<Value> {
        let mut journal = Command::new("journalctl");
        let output = journal.args(["-o", "json", "--sync", &selector]).output();
        let mut journal = Command::new("journalctl");
        let output = output.and_then(|_| journal.args(["-o", "json", &selector]).output());
        let text = String::from_utf8(output.expect("journalctl").stdout).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    eventually("two entries", || entries().len() == 2);
    let entries = entries();
    let entry = entries
        .iter()
        .find(|entry| entry["PRIORITY"] == "6")
        .unwrap();
    assert_eq!(entry["MESSAGE"], "to the journal");
    assert_eq!(entry["CONTAINER_NAME"], json!(id));
    assert_eq!(entry["CONTAINER_TAG"], "tagged");
    assert_eq!(entry["SYSLOG_IDENTIFIER"], "tagged");
    assert_eq!(entry["TIER"], "front");
    let entry = entries
        .iter()
        .find(|entry| entry["PRIORITY"] == "3")
        .unwrap();
    assert_eq!(entry["MESSAGE"], "and an error");
}

/// What a write was cut short in is left out, and takes nothing else with it.
#[test]
fn a_torn_record_spoils_no_other() {
    let shim = Shim::new();
    shim.script("echo after");
    let log = shim.bundle().join("torn.log");
    let torn = "2026-11-22T10:08:14Z stdout F before\n2026-11-22T10:0";
    fs::write(&log, torn).unwrap();
    let id = new_id();
    shim.run_detached(&["--log", log.to_str().unwrap()], &id);
    assert_eq!(shim.say(&["wait", &id]).stdout, "0\n");
    let said = shim.say(&["logs", &id]);
    assert_eq!((said.status, said.stdout.as_str()), (0, "before\nafter\n"));
    assert!(said.stderr.contains("left out"), "{said:?}");
}

/// One damaged record hides no other, and can be removed.
#[test]
fn a_damaged_state_is_passed_over() {
    let shim = Shim::new();
    shim.script("exit 3");
    let [whole, damaged] = [new_id(), new_id()];
    for id in [&whole, &damaged] {
        shim.run_detached(&[], id);
        assert_eq!(shim.say(&["wait", id]).stdout, "3\n");
    }
    eventually("its supervisor has gone", || {
        shim.say(&["rm", &damaged]).status == 0
    });
    fs::create_dir(shim.record(&damaged)).unwrap();
    fs::write(shim.record(&damaged).join("state.json"), "{").unwrap();
    let said = shim.say(&["ps"]);
    assert_eq!(said.status, 0, "{said:?}");
    assert!(said.stdout.contains(&whole), "{said:?}");
    assert!(said.stderr.contains("is damaged"), "{said:?}");
    assert_ne!(shim.say(&["rm", &damaged]).status, 0);
    assert_eq!(shim.say(&["rm", "--force", &damaged]).status, 0);
    assert!(!shim.record(&damaged).exists());
}
