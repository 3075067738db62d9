//! A shim that is killed, and runtimes that hang or make no sense.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::daemon::Containerd;
use crate::harness::{eventually, finish, is_alive, signal};

#[test]
fn a_killed_shim_leaves_nothing_of_a_running_container() {
    let Some(containerd) = Containerd::start() else {
        return;
    };
    let id = containerd.run_detached(&[], "sleep 1000 & sleep 1000");
    containerd.ctr(&[
        "task",
        "exec",
        "--detach",
        "--exec-id",
        "e",
        &id,
        "sleep",
        "500",
    ]);
    let pid = containerd.pid(&id);
    let shims = containerd.shims();
    assert_eq!(shims.len(), 1);
    signal(shims[0], Signal::KILL);
    eventually("the container is ended", || !is_alive(pid.into()));
    eventually("containerd has noticed", || {
        let status = containerd.status(&id);
        status.is_empty() || status == "STOPPED" || status == "UNKNOWN"
    });
    containerd.remove(&id);
    containerd.assert_idle();
}

/// The runtime stops before or after a verb, and the shim is killed then.
#[test]
fn a_shim_killed_at_any_stage_leaves_nothing() {
    let Some(containerd) = Containerd::start() else {
        return;
    };
    for verb in ["create", "start", "delete"] {
        for when in ["before", "after"] {
            let stopped = containerd.place.path().join("stopped");
            let _ = fs::remove_file(&stopped);
            let stop = format!("echo $$ >{}; exec sleep 1000", stopped.display());
            let (before, after) = if when == "before" {
                (stop.as_str(), "")
            } else {
                ("", stop.as_str())
            };
            let [option, value] = containerd.fake_runtime(&format!(
                "[ -e {3} ] && exec $RUNTIME \"$@\"
                 case \" $* \" in *' {0} '*) {1}; $RUNTIME \"$@\"; result=$?; {2}; exit $result;; esac
                 exec $RUNTIME \"$@\"",
                verb,
                if before.is_empty() { ":" } else { before },
                if after.is_empty() { ":" } else { after },
                stopped.display(),
            ));
            let id = containerd.new_id();
            let script = if verb == "delete" {
                "true"
            } else {
                "sleep 1000"
            };
            let mut command = containerd.run_command(&["--rm", &option, &value], &id, script);
            let mut ctr = command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("ctr starts");
            let mut runtime = None;
            eventually("the runtime stops", || {
                let text = fs::read_to_string(&stopped).unwrap_or_default();
                runtime = text.strip_suffix('\n').and_then(|pid| pid.parse().ok());
                runtime.is_some()
            });
            let shims = containerd.shims();
            assert_eq!(shims.len(), 1, "{verb} {when}");
            signal(shims[0], Signal::KILL);
            eventually("the runtime goes with it", || {
                runtime.is_some_and(|pid| !is_alive(pid))
            });
            assert!(
                !ctr.wait().expect("ctr ends").success() || verb == "delete",
                "{verb} {when}"
            );
            eventually("containerd has given it up", || {
                containerd.status(&id).is_empty()
            });
            containerd.ctr(&["container", "rm", &id]);
            containerd.assert_gone(&id);
        }
    }
    containerd.assert_idle();
}

#[test]
fn a_runtime_that_makes_no_sense_is_quoted() {
    let Some(containerd) = Containerd::start() else {
        return;
    };
    for (script, word) in [
        ("echo 'what nonsense' >&2; exit 1", "what nonsense"),
        ("kill -9 $$", "signal: 9"),
        ("exit 0", "init.pid"),
        (
            "for word; do [ \"$last\" = --pid-file ] && echo nonsense >\"$word\"; last=$word; done",
            "nonsense",
        ),
    ] {
        let [option, value] = containerd.fake_runtime(&format!(
            "case \" $* \" in *' create '*) {script};; *) exec $RUNTIME \"$@\";; esac"
        ));
        let id = containerd.new_id();
        let mut command = containerd.run_command(&["--rm", &option, &value], &id, "true");
        let began = Instant::now();
        let said = finish(command.stdin(Stdio::null()));
        assert_ne!(said.status, 0, "{script}");
        assert!(said.stderr.contains(word), "{script}: {}", said.stderr);
        assert!(began.elapsed() < Duration::from_secs(60), "{script}");
        containerd.assert_gone(&id);
    }
    containerd.assert_idle();
}

#[test]
fn a_container_can_be_ended_whose_runtime_hangs() {
    let Some(containerd) = Containerd::start() else {
        return;
    };
    let [option, value] = containerd.fake_runtime(
        "case \" $* \" in *' pause '*) exec sleep 1000;; *) exec $RUNTIME \"$@\";; esac",
    );
    let id = containerd.run_detached(&[&option, &value], "sleep 1000");
    let mut pause = containerd.ctr_command(&["--timeout", "1s", "task", "pause", &id]);
    assert_ne!(finish(pause.stdin(Stdio::null())).status, 0);
    // Containerd gives up a moment before the shim does.
    eventually("it runs", || containerd.status(&id) == "RUNNING");
    containerd.remove(&id);
    containerd.assert_idle();
}
