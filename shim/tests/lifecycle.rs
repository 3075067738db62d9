//! From `run` to `rm`: statuses, records, refusals, and what a killed shim or runtime leaves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use harness::{Owned, Said, Shim, eventually, is_alive, new_id, signal};

#[test]
fn the_foreground_returns_the_containers_status_and_streams() {
    let shim = Shim::new();
    shim.script("echo out; echo err >&2; exit 7");
    let id = new_id();
    let said = shim.run(&[], &id);
    assert_eq!(
        (said.status, said.stdout.as_str(), said.stderr.as_str()),
        (7, "out\n", "err\n")
    );
    assert_eq!(shim.state(&id)["exit_status"], 7);
    assert_eq!(
        fs::read_to_string(shim.record(&id).join("exit")).unwrap(),
        "7\n"
    );
    assert!(
        !shim.runtime_knows(&id),
        "the runtime's part is deleted at the end"
    );
    assert_eq!(shim.say(&["rm", &id]).status, 0);
    shim.assert_gone(&id);
}

#[test]
fn a_signal_that_ends_the_container_shows_in_the_status() {
    let shim = Shim::new();
    // The first process of a pid namespace can only be killed from outside.
    shim.script("echo ready; sleep 1000");
    let id = new_id();
    let mut run = Owned(
        shim.run_command(&["--rm"], &id)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    eventually("it runs", || shim.is_running(&id));
    assert_eq!(shim.say(&["kill", &id, "KILL"]).status, 0);
    assert_eq!(run.0.wait().unwrap().code(), Some(128 + 9));
    shim.assert_gone(&id);
}

#[test]
fn the_foreground_passes_signals_on() {
    let shim = Shim::new();
    shim.script("trap 'echo usr1' USR1; trap 'echo term; exit 33' TERM; echo ready; while :; do sleep 0.05; done");
    let id = new_id();
    let run = shim
        .run_command(&["--log", "/dev/null", "--rm"], &id)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut run = Owned(run);
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(run.0.stdout.take().unwrap()));
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    signal(run.0.id(), Signal::USR1);
    assert_eq!(lines.next().unwrap().unwrap(), "usr1");
    signal(run.0.id(), Signal::TERM);
    assert_eq!(lines.next().unwrap().unwrap(), "term");
    assert_eq!(run.0.wait().unwrap().code(), Some(33));
}

#[test]
fn the_supervisor_passes_a_terminate_on() {
    let shim = Shim::new();
    shim.script("trap 'exit 44' TERM; echo ready; while :; do sleep 0.05; done");
    let id = new_id();
    shim.run_detached(&[], &id);
    eventually("it is ready", || shim.log(&id).contains("ready"));
    let supervisor = shim.state(&id)["supervisor_pid"].as_u64().unwrap();
    signal(u32::try_from(supervisor).unwrap(), Signal::TERM);
    assert_eq!(shim.say(&["wait", &id]).stdout, "44\n");
}

#[test]
fn detached_it_can_be_waited_for_before_and_after_the_end() {
    let shim = Shim::new();
    shim.script("read line; echo \"got $line\"; exit 5");
    let id = new_id();
    shim.run_detached(&[], &id);
    let waiting = shim
        .command(&["wait", &id])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(shim.state(&id)["status"], "running");
    let table = shim.say(&["ps"]).stdout;
    assert!(table.contains(&id) && table.contains("running"), "{table}");
    let mut attach = shim
        .command(&["attach", &id])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut attach.stdin.take().unwrap(), b"words\n").unwrap();
    let attached: Said = attach.wait_with_output().unwrap().into();
    assert_eq!(
        (attached.status, attached.stdout.as_str()),
        (5, "got words\n")
    );
    let before: Said = waiting.wait_with_output().unwrap().into();
    assert_eq!((before.status, before.stdout.as_str()), (5, "5\n"));
    let after = shim.say(&["wait", &id]);
    assert_eq!((after.status, after.stdout.as_str()), (5, "5\n"));
    let listed: serde_json::Value =
        serde_json::from_str(&shim.say(&["ps", "--format", "json"]).stdout).unwrap();
    assert_eq!(
        (&listed["exit_status"], &listed["status"]),
        (&json!(5), &json!("exited"))
    );
    assert!(
        shim.say(&["attach", &id])
            .stderr
            .contains("has ended with status 5")
    );
    assert!(
        shim.say(&["kill", &id])
            .stderr
            .contains("has ended with status 5")
    );
}

#[test]
fn the_record_is_for_its_owner_only() {
    let shim = Shim::new();
    shim.script("sleep 1000");
    let id = new_id();
    shim.run_detached(&[], &id);
    for path in [shim.state_root(), shim.record(&id)] {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700, "{}", path.display());
    }
    let sockets = fs::read_to_string("/proc/net/unix").unwrap();
    assert!(
        !sockets.contains(&format!("@{}", shim.record(&id).display())),
        "abstract socket"
    );
}

#[test]
fn an_id_is_taken_until_it_is_removed() {
    let shim = Shim::new();
    shim.script("exit 0");
    let id = new_id();
    assert_eq!(shim.run(&[], &id).status, 0);
    let again = shim.run(&[], &id);
    assert_eq!(again.status, 125);
    assert!(
        again
            .stderr
            .contains(&format!("remove it with: windlass-shim rm {id}")),
        "{again:?}"
    );
    assert_eq!(again.stderr.lines().count(), 1);
    assert_eq!(shim.say(&["rm", &id]).status, 0);
    assert_eq!(shim.run(&["--rm"], &id).status, 0);
    shim.assert_gone(&id);
}

#[test]
fn a_running_container_is_removed_only_by_force() {
    let shim = Shim::new();
    shim.script("sleep 1000");
    let id = new_id();
    shim.run_detached(&[], &id);
    let pid = shim.state(&id)["pid"].as_u64().unwrap();
    let refused = shim.say(&["rm", &id]);
    assert_eq!(refused.status, 125);
    assert!(refused.stderr.contains("is running"), "{refused:?}");
    assert!(is_alive(pid));
    assert_eq!(shim.say(&["rm", "--force", &id]).status, 0);
    assert!(!is_alive(pid));
    shim.assert_gone(&id);
    assert_eq!(
        shim.say(&["rm", "--force", &id]).status,
        0,
        "what is gone may be forced away"
    );
    assert_eq!(shim.say(&["rm", &id]).status, 125);
}

#[test]
fn keep_leaves_the_stopped_container_to_rm() {
    let shim = Shim::new();
    shim.script("exit 3");
    let id = new_id();
    assert_eq!(shim.run(&["--keep"], &id).status, 3);
    assert!(shim.runtime_knows(&id));
    assert_eq!(shim.say(&["rm", &id]).status, 0);
    shim.assert_gone(&id);
}

#[test]
fn a_refusal_of_create_reaches_the_caller_and_leaves_nothing() {
    let shim = Shim::new();
    shim.configure(|config| config["process"]["args"] = json!(["/no/such/program"]));
    let log = shim.place.path().join("own.log");
    for options in [&[][..], &["-d"], &["-d", "--log", log.to_str().unwrap()]] {
        let id = new_id();
        let said = shim.run(options, &id);
        assert_eq!(
            (said.status, said.stdout.as_str()),
            (125, ""),
            "{options:?} {said:?}"
        );
        assert_eq!(said.stderr.lines().count(), 1, "{said:?}");
        assert!(said.stderr.contains("/no/such/program"), "{said:?}");
        shim.assert_gone(&id);
        assert!(!log.exists(), "the log that was made is removed again");
    }
}

#[test]
fn a_refusal_of_start_reaches_the_caller_and_leaves_nothing() {
    let mut shim = Shim::new();
    shim.script("exit 0");
    let real = shim.runtime.clone();
    shim.fake_runtime(
        "if [ \"$1\" = start ]; then echo 'start: no, thank you' >&2; exit 9; fi\nexec $RUNTIME \"$@\"",
    );
    let id = new_id();
    let said = shim.run(&["-d"], &id);
    assert_eq!(said.status, 125);
    assert!(
        said.stderr
            .contains("start failed (exit status: 9): start: no, thank you"),
        "{said:?}"
    );
    shim.runtime = real;
    shim.assert_gone(&id);
}

#[test]
fn someone_elses_container_survives_our_attempt_at_its_id() {
    let shim = Shim::new();
    shim.script("sleep 1000");
    let id = new_id();
    shim.run_detached(&[], &id);
    // The runtime has the id already, though another state directory doesn't know it.
    let ours = tempfile::tempdir().unwrap();
    for options in [&["-d"][..], &[]] {
        let mut command = shim.command(&["run", "--state", ours.path().to_str().unwrap()]);
        command
            .args(options)
            .args(["--runtime", &shim.runtime, "--bundle"]);
        let said = harness::finish(command.arg(shim.bundle()).arg(&id));
        assert_eq!(said.status, 125, "{said:?}");
        assert_eq!(std::fs::read_dir(ours.path()).unwrap().count(), 0);
    }
    assert!(
        is_alive(shim.state(&id)["pid"].as_u64().unwrap()),
        "theirs was killed"
    );
    assert!(shim.runtime_knows(&id));
}

#[test]
fn a_runtime_killed_in_the_middle_leaves_nothing() {
    // After its create has done everything, and before it has done anything.
    for script in [
        "case \" $* \" in *' create '*) $RUNTIME \"$@\"; kill -9 $$;; *) exec $RUNTIME \"$@\";; esac",
        "case \" $* \" in *' create '*) kill -9 $$;; *) exec $RUNTIME \"$@\";; esac",
    ] {
        let mut shim = Shim::new();
        shim.script("sleep 1000");
        let real = shim.runtime.clone();
        shim.fake_runtime(script);
        let id = new_id();
        let said = shim.run(&["-d"], &id);
        assert_eq!(said.status, 125, "{said:?}");
        assert!(
            said.stderr.contains("create failed (signal: 9 (SIGKILL))"),
            "{said:?}"
        );
        shim.runtime = real;
        shim.assert_gone(&id);
    }
}

#[test]
fn a_runtime_that_hangs_can_be_given_up() {
    let mut shim = Shim::new();
    shim.script("true");
    let real = shim.runtime.clone();
    shim.fake_runtime(
        "case \" $* \" in *' create '*) exec sleep 1000;; *) exec $RUNTIME \"$@\";; esac",
    );
    let id = new_id();
    let run = shim
        .run_command(&["-d"], &id)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("there is a record", || {
        shim.record(&id).join("state.json").exists()
    });
    std::thread::sleep(Duration::from_millis(200));
    signal(run.id(), Signal::INT);
    let said: Said = run.wait_with_output().unwrap().into();
    assert_eq!(said.status, 125);
    assert!(said.stderr.contains("its caller gave up"), "{said:?}");
    shim.runtime = real;
    shim.assert_gone(&id);
}

#[test]
fn a_runtime_that_prints_nonsense_is_refused() {
    for (script, words) in [
        ("exit 0", "reading the pid file"),
        (
            "case \" $* \" in *' create '*) while [ \"$1\" != --pid-file ]; do shift; done; echo many > $2;; esac",
            "wrote no process id",
        ),
        // Process 1 is no child of ours: its end would never be known.
        (
            "case \" $* \" in *' create '*) while [ \"$1\" != --pid-file ]; do shift; done; echo 1 > $2;; esac",
            "not a descendant",
        ),
        (
            "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2; echo last words >&2; exit 1",
            "create failed (exit status: 1)",
        ),
    ] {
        let mut shim = Shim::new();
        shim.script("true");
        shim.fake_runtime(script);
        let id = new_id();
        let said = shim.run(&["-d"], &id);
        assert_eq!(said.status, 125, "{said:?}");
        assert!(said.stderr.contains(words), "{words}: {:.300}", said.stderr);
        assert!(!shim.record(&id).exists());
    }
}

#[test]
fn warnings_of_a_runtime_that_succeeds_are_shown_and_not_logged() {
    let mut shim = Shim::new();
    shim.script("echo words");
    shim.fake_runtime("case \" $* \" in *' create '*|*' start '*) echo \"beware\" >&2;; esac\nexec $RUNTIME \"$@\"");
    let id = new_id();
    let said = shim.run(&["-d"], &id);
    assert_eq!((said.status, said.stderr.as_str()), (0, "beware\nbeware\n"));
    shim.say(&["wait", &id]);
    assert_eq!(harness::logged(shim.log(&id).as_bytes(), "stderr"), b"");
    assert_eq!(shim.say(&["logs", &id]).stdout, "words\n");
}

#[test]
fn a_container_survives_its_supervisor_and_is_cleaned_up_by_force() {
    let shim = Shim::new();
    shim.script("sleep 1000");
    let id = new_id();
    shim.run_detached(&[], &id);
    let state = shim.state(&id);
    let (pid, supervisor) = (
        state["pid"].as_u64().unwrap(),
        state["supervisor_pid"].as_u64().unwrap(),
    );
    signal(u32::try_from(supervisor).unwrap(), Signal::KILL);
    eventually("the supervisor is gone", || !is_alive(supervisor));
    assert!(is_alive(pid), "the container goes on");
    assert!(shim.say(&["ps"]).stdout.contains("orphaned"));
    for verb in ["wait", "attach"] {
        let said = shim.say(&[verb, &id]);
        assert_eq!(said.status, 125);
        assert!(
            said.stderr.contains(&format!("rm --force {id}")),
            "{said:?}"
        );
    }
    let refused = shim.say(&["rm", &id]);
    assert_eq!(refused.status, 125);
    assert!(refused.stderr.contains("use --force"), "{refused:?}");
    assert_eq!(shim.say(&["rm", "--force", &id]).status, 0);
    eventually("the container is gone", || !is_alive(pid));
    shim.assert_gone(&id);
}

#[test]
fn a_container_that_is_being_created_is_removed_by_force() {
    let mut shim = Shim::new();
    shim.script("sleep 1000");
    let mark = shim.place.path().join("creating");
    shim.fake_runtime(&format!(
        "case \" $* \" in *' create '*) echo $$ > {}; exec sleep 1000;; esac\nexec $RUNTIME \"$@\"",
        mark.display()
    ));
    let id = new_id();
    let mut run = shim.run_command(&["-d"], &id);
    let mut run = Owned(
        run.stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let runtime = || -> Option<u64> { std::fs::read_to_string(&mark).ok()?.trim().parse().ok() };
    eventually("the runtime is at it", || runtime().is_some());
    let started = Instant::now();
    let said = shim.say(&["rm", "--force", &id]);
    assert_eq!((said.status, said.stderr.as_str()), (0, ""));
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "it took {:?}",
        started.elapsed()
    );
    assert_eq!(run.0.wait().unwrap().code(), Some(125));
    let runtime = runtime().unwrap();
    let goes_on = is_alive(runtime);
    if goes_on {
        signal(u32::try_from(runtime).unwrap(), Signal::KILL);
    }
    assert!(!goes_on, "the runtime that was creating it goes on");
    shim.assert_gone(&id);
}

#[test]
fn the_container_outlives_its_foreground() {
    let shim = Shim::new();
    shim.script("read line || exit 6; exit 7");
    let id = new_id();
    let mut run = shim.run_command(&[], &id);
    let mut run = Owned(
        run.stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    eventually("it runs", || shim.is_running(&id));
    signal(run.0.id(), Signal::KILL);
    run.0.wait().unwrap();
    assert_eq!(shim.state(&id)["status"], "running");
    // The end of our input is the end of the container's.
    assert_eq!(shim.say(&["attach", &id]).status, 6);
    assert_eq!(shim.say(&["wait", &id]).status, 6);
}

#[test]
fn the_container_gets_three_descriptors() {
    let shim = Shim::new();
    shim.configure(|config| {
        config["process"]["args"] = json!(["ls", "/proc/self/fd"]);
    });
    // A descriptor of the caller's that isn't closed on exec must not get through.
    let leak = tempfile::tempfile().unwrap();
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
    let said = shim.run(&["--rm"], &new_id());
    // ls itself opens the directory.
    assert_eq!(said.stdout, "0\n1\n2\n3\n", "{said:?}");
}

/// What the shim opens must not become its own, or the container's, standard streams.
#[test]
fn a_caller_may_have_closed_its_standard_streams() {
    let shim = Shim::new();
    shim.script("ls /proc/self/fd; echo error >&2; exit 4");
    let id = new_id();
    let run = shim.run_command(&["-d"], &id);
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" \"$@\" <&- >&- 2>&-"]);
    shell.arg(run.get_program()).args(run.get_args());
    assert!(shell.status().unwrap().success());
    assert_eq!(shim.say(&["wait", &id]).stdout, "4\n");
    let logs = shim.say(&["logs", &id]);
    let (out, err) = (logs.stdout.as_str(), logs.stderr.as_str());
    assert_eq!((out, err), ("0\n1\n2\n3\n", "error\n"));
}

#[test]
fn a_process_that_is_left_behind_does_not_hang_the_shim() {
    let shim = Shim::new();
    // Without a pid namespace nothing ends it when the container's first process ends.
    shim.configure(|config| {
        config["process"]["args"] = json!(["sh", "-c", "sleep 1000 & echo started; exit 4"]);
        config["linux"]["namespaces"] =
            json!([{"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}]);
    });
    let started = Instant::now();
    for options in [&["--rm"][..], &["--keep"]] {
        let id = new_id();
        let said = shim.run(options, &id);
        assert_eq!(
            (said.status, said.stdout.as_str()),
            (4, "started\n"),
            "{said:?}"
        );
        assert_eq!(shim.say(&["rm", "--force", &id]).status, 0);
        shim.assert_gone(&id);
    }
    assert!(
        started.elapsed() < Duration::from_secs(60),
        "it took {:?}",
        started.elapsed()
    );
}

#[test]
fn an_idle_supervisor_uses_no_time_and_little_memory() {
    let shim = Shim::new();
    shim.script("echo words; sleep 1000");
    let id = new_id();
    shim.run_detached(&[], &id);
    // After a second without an event it gives back what it can.
    std::thread::sleep(Duration::from_millis(2500));
    let supervisor = shim.state(&id)["supervisor_pid"].as_u64().unwrap();
    let ticks = || {
        let stat = fs::read_to_string(format!("/proc/{supervisor}/stat")).unwrap();
        let fields: Vec<String> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split(' ')
            .map(str::to_owned)
            .collect();
        (fields[12].clone(), fields[13].clone())
    };
    let switches = || {
        let status = fs::read_to_string(format!("/proc/{supervisor}/status")).unwrap();
        status
            .lines()
            .filter(|line| line.contains("ctxt_switches"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    // On a busy machine its last work may be done late; what wakes up for nothing does so again and again.
    let is_idle = || {
        let before = (ticks(), switches());
        std::thread::sleep(Duration::from_secs(2));
        (ticks(), switches()) == before
    };
    assert!((0..5).any(|_| is_idle()), "it wakes up for nothing");
    let rollup = fs::read_to_string(format!("/proc/{supervisor}/smaps_rollup")).unwrap();
    let kilobytes = |field: &str| -> u64 {
        let line = rollup.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    // conmon 2.1.6 has 350 to 420 kB; an unoptimized build of ours some 230.
    assert!(kilobytes("Anonymous:") < 350, "{rollup}");
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let shim = Shim::new();
    shim.script("true");
    let bundle = shim.bundle();
    let bundle = bundle.to_str().unwrap();
    let empty = tempfile::tempdir().unwrap();
    let fifo = shim.place.path().join("fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let cases: &[(&[&str], &str)] = &[
        (&[], "requires a subcommand"),
        (&["frobnicate"], "unrecognized subcommand 'frobnicate'"),
        (&["run"], "--bundle <DIR> <ID>"),
        (&["run", "--bundle", bundle, "a/b"], "is no container id"),
        (
            &["run", "--bundle", "/no/such/bundle", "a"],
            "/no/such/bundle",
        ),
        (
            &["run", "--bundle", empty.path().to_str().unwrap(), "a"],
            "is no bundle: reading its config.json",
        ),
        (
            &[
                "run",
                "--runtime",
                "no-such-runtime",
                "--bundle",
                bundle,
                "a",
            ],
            "no-such-runtime",
        ),
        (
            &[
                "run",
                "--runtime",
                "runc",
                "--log",
                "/no/such/log",
                "--bundle",
                bundle,
                "a",
            ],
            "/no/such/log",
        ),
        (
            &[
                "run",
                "--runtime",
                "runc",
                "--log",
                fifo.to_str().unwrap(),
                "--bundle",
                bundle,
                "a",
            ],
            "log",
        ),
        (
            &["wait", "never-heard-of"],
            "there is no container never-heard-of",
        ),
        (&["logs", ".."], "is no container id"),
        (
            &["kill", "never-heard-of"],
            "there is no container never-heard-of",
        ),
    ];
    for (arguments, words) in cases {
        let said = shim.say(arguments);
        assert_eq!(said.status, 125, "{arguments:?}");
        assert_eq!(
            (said.stdout.as_str(), said.stderr.lines().count()),
            ("", 1),
            "{said:?}"
        );
        assert!(
            said.stderr.contains(words),
            "{arguments:?}: {}",
            said.stderr
        );
        assert!(!shim.record("a").exists());
    }
    let help = shim.say(&["--help"]);
    assert_eq!(help.status, 0);
    for verb in ["run", "attach", "logs", "wait", "kill", "ps", "rm"] {
        assert!(help.stdout.contains(&format!("\n  {verb} ")), "{verb}");
        assert_eq!(shim.say(&[verb, "--help"]).status, 0);
    }
}

#[test]
fn a_create_that_hangs_keeps_nobody_else_unreaped() {
    let mut shim = Shim::new();
    shim.script("true");
    let real = shim.runtime.clone();
    let id = new_id();
    // The container's process is the first that has ended, and is kept until its runtime is done.
    let made = shim.place.path().join("made");
    shim.fake_runtime(&format!(
        "case \" $* \" in *' create '*) $RUNTIME \"$@\"; kill -9 \"$(cat {})\"; (true &); (true &); \
         touch {}; exec sleep 1000;; *) exec $RUNTIME \"$@\";; esac",
        shim.record(&id).join("init.pid").display(),
        made.display()
    ));
    let run = shim
        .run_command(&["-d"], &id)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("the container is made", || made.exists());
    let supervisor = shim.state(&id)["supervisor_pid"].to_string();
    let children = format!("/proc/{supervisor}/task/{supervisor}/children");
    let has_ended = |pid: &&str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
        stat.is_ok_and(|stat| stat.contains(") Z "))
    };
    eventually("only the container's process is left", || {
        let children = fs::read_to_string(&children).unwrap();
        children.split_whitespace().filter(has_ended).count() == 1
    });
    signal(run.id(), Signal::INT);
    let said: Said = run.wait_with_output().unwrap().into();
    assert_eq!(said.status, 125);
    shim.runtime = real;
    shim.assert_gone(&id);
}

#[test]
fn without_descriptors_a_run_is_refused_and_leaves_no_process() {
    let shim = Shim::new();
    shim.script("sleep 1000");
    let mut has_run = false;
    for limit in 3..40 {
        let id = new_id();
        let mut command = std::process::Command::new("prlimit");
        command.arg(format!("--nofile={limit}:4096"));
        let inner = shim.run_command(&["-d"], &id);
        command.arg(inner.get_program()).args(inner.get_args());
        let said = harness::finish(command.stdin(Stdio::null()));
        assert!(said.status == 0 || !has_run, "{limit}: {said:?}");
        has_run |= said.status == 0;
        if said.status != 0 {
            assert_eq!(named(&id), 0, "{limit}: {said:?}");
        }
        // To remove the record takes a descriptor, too.
        assert_eq!(shim.say(&["rm", "--force", &id]).status, 0, "{limit}");
        shim.assert_gone(&id);
    }
    assert!(has_run);
}

/// How many processes there are with `word` among their arguments.
fn named(word: &str) -> usize {
    let has_word = |line: Vec<u8>| {
        line.split(|byte| *byte == 0)
            .any(|part| part == word.as_bytes())
    };
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|entry| fs::read(entry.path().join("cmdline")).is_ok_and(has_word))
        .count()
}

#[test]
fn an_id_that_cannot_be_one_is_an_error_of_rm_too() {
    let shim = Shim::new();
    for id in ["a/b", "..", ""] {
        let said = shim.say(&["rm", "--force", id]);
        assert_eq!(said.status, 125, "{said:?}");
    }
    assert_eq!(shim.say(&["rm", "--force", "not-there"]).status, 0);
}
