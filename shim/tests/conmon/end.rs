//! The container's end and what follows: statuses, exit command, timeout, signals, sd_notify, OOM.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::caller::Caller;
use crate::harness::{eventually, signal};

for_both! {
    fn a_signal_to_conmon_reaches_the_container(program: Program) {
        let caller = Caller::new(program,
            "trap 'exit 11' TERM; trap 'exit 12' INT; echo ready; while true; do sleep 0.05; done");
        let (_started, _) = caller.run(&[]);
        eventually("it is ready", || caller.logged("stdout") == b"ready\n");
        signal(u32::try_from(caller.supervisor()).unwrap(), Signal::TERM);
        assert_eq!(caller.exit_status(), "11");
    }

    fn a_container_that_was_killed_has_128_and_the_signal(program: Program) {
        let caller = Caller::new(program, "sleep 1000");
        let (_started, pid) = caller.run(&[]);
        signal(u32::try_from(pid).unwrap(), Signal::KILL);
        assert_eq!(caller.exit_status(), "137");
    }

    fn the_exit_command_runs_after_the_exit_file_is_there(program: Program) {
        let caller = Caller::new(program, "exit 6");
        let script = format!("cat {}/* > {}; echo \"$@\" >> {1}",
            caller.text("exits"), caller.text("seen"));
        let (_started, _) = caller.run(&[
            "--exit-command", "/bin/sh", "--exit-command-arg", "-c", "--exit-command-arg", &script,
            "--exit-command-arg", "name", "--exit-command-arg", "--one", "--exit-command-arg", "two 2",
        ]);
        caller.await_end();
        assert_eq!(fs::read_to_string(caller.place("seen")).unwrap(), "6--one two 2\n");
    }

    fn the_exit_command_waits_for_its_delay_and_gives_its_status(program: Program) {
        let caller = Caller::new(program, "exit 6");
        let (mut started, _) = caller.run(&["--sync", "--exit-delay", "1", "--exit-command",
            "/bin/sh", "--exit-command-arg=-c", "--exit-command-arg=exit 9"]);
        assert_eq!(caller.exit_status(), "6");
        let told = fs::metadata(caller.place("exits").join(&caller.id)).unwrap().modified().unwrap();
        // Before 2.2, conmon didn't look at it.
        let status = started.child.wait().unwrap().code().unwrap();
        assert!(status == 9 || !caller.is_ours() && status == 6, "{status}");
        let elapsed = told.elapsed().unwrap();
        assert!(elapsed >= Duration::from_millis(800), "{elapsed:?}");
    }

    fn a_timeout_kills_the_container(program: Program) {
        let caller = Caller::new(program, "echo begun; sleep 1000");
        let (_started, _) = caller.run(&["--timeout", "1"]);
        assert_eq!(caller.exit_status(), "-1");
        assert_eq!(caller.logged("stdout"), b"begun\n");
    }

    fn the_exit_command_runs_although_the_socket_cannot_be_removed(program: Program) {
        let caller = Caller::new(program, "exit 6");
        let script = format!("echo seen > {}", caller.text("seen"));
        let (_started, _) = caller.create(&[
            "--exit-command", "/bin/sh", "--exit-command-arg", "-c", "--exit-command-arg", &script,
        ]);
        let socket = caller.shim.bundle().join("attach");
        fs::remove_file(&socket).unwrap();
        fs::create_dir(&socket).unwrap();
        caller.start();
        assert_eq!(caller.exit_status(), "6");
        caller.await_end();
        assert_eq!(fs::read_to_string(caller.place("seen")).unwrap(), "seen\n");
    }

    /// In cgroup v1's freezer a process does not die of SIGKILL until it is thawed.
    fn a_timeout_is_told_although_the_container_is_frozen(program: Program) {
        let caller = Caller::new(program, "sleep 1000");
        let (_started, _) = caller.run(&["--timeout", "2"]);
        let said = caller.runtime(&["pause", &caller.id]);
        assert_eq!(said.status, 0, "{said:?}");
        assert_eq!(caller.exit_status(), "-1");
        // On cgroup v2 it is dead already.
        caller.runtime(&["resume", &caller.id]);
    }

    fn messages_to_the_service_manager_are_passed_on(program: Program) {
        let caller = Caller::new(program, "sleep 1000");
        fs::create_dir(caller.shim.bundle().join("notify")).unwrap();
        let host = UnixDatagram::bind(caller.place("host.sock")).unwrap();
        host.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let (_started, pid) = caller.run(&["--sdnotify-socket", &caller.text("host.sock")]);
        let inner = caller.shim.bundle().join("notify/notify.sock");
        let container = UnixDatagram::unbound().unwrap();
        container.send_to(b"MAINPID=1\nREADY=1\nSTATUS=fine", &inner).unwrap();
        container.send_to(b"BARRIER=1", &inner).unwrap();
        container.send_to(b"STOPPING=1", &inner).unwrap();
        let mut buffer = [0; 100];
        for expected in ["READY=1\nSTATUS=fine", "STOPPING=1"] {
            let length = host.recv(&mut buffer).unwrap();
            let got = std::str::from_utf8(&buffer[..length]).unwrap();
            // conmon 2.1.6 passes READY=1 only.
            if caller.is_ours() {
                assert_eq!(got, expected);
            } else {
                assert_eq!(got, "READY=1");
                break;
            }
        }
        signal(u32::try_from(pid).unwrap(), Signal::KILL);
        assert_eq!(caller.exit_status(), "137");
    }

    fn running_out_of_memory_leaves_a_file(program: Program) {
        let caller = Caller::new(program, "");
        let unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        if !unified && !std::path::Path::new("/sys/fs/cgroup/memory").exists() {
            println!("skipped: no memory controller");
            return;
        }
        caller.shim.configure(|config| {
            config["linux"]["cgroupsPath"] = format!("/{}", caller.id).into();
            config["linux"]["resources"]["memory"] = json!({"limit": 8 << 20, "swap": 8 << 20});
            // conmon itself may miss what happened right before the end.
            let rest = if caller.is_ours() { "exit 3" } else { "sleep 1000" };
            config["process"]["args"] =
                json!(["sh", "-c", format!("dd if=/dev/zero of=/dev/null bs=64M count=1; {rest}")]);
        });
        let (_started, pid) = caller.run(&[]);
        if !caller.is_ours() {
            eventually("it tells of it", || caller.place("persist/oom").exists());
            signal(u32::try_from(pid).unwrap(), Signal::KILL);
        }
        let status = caller.exit_status();
        assert!(["3", "137"].contains(&status.as_str()), "{status}");
        assert!(caller.place("persist/oom").exists());
        // conmon before 2.1.7 puts its other marker into its working directory.
        if caller.is_ours() {
            assert!(caller.shim.bundle().join("oom").exists(), "podman looks for this one");
            assert!(!caller.place("oom").exists());
        }
    }

    fn without_trouble_there_is_no_oom_file(program: Program) {
        let caller = Caller::new(program, "exit 0");
        caller.shim.configure(|config| {
            config["linux"]["cgroupsPath"] = format!("/{}", caller.id).into();
        });
        let (_started, _) = caller.run(&[]);
        assert_eq!(caller.exit_status(), "0");
        let said = caller.runtime(&["delete", &caller.id]);
        assert_eq!(said.status, 0, "{said:?}");
        caller.await_end();
        assert!(!caller.place("persist/oom").exists());
        assert!(!caller.shim.bundle().join("oom").exists());
    }

    /// A process that a container leaves behind and that holds its stdout keeps nobody waiting.
    fn a_stream_that_stays_open_does_not_delay_the_end(program: Program) {
        let caller = Caller::new(program, "");
        caller.shim.configure(|config| {
            config["process"]["args"] = json!(["sh", "-c", "sleep 60 & exit 2"]);
            let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
            namespaces.retain(|namespace| namespace["type"] != "pid");
        });
        let (_started, _) = caller.run(&[]);
        let began = Instant::now();
        assert_eq!(caller.exit_status(), "2");
        assert!(began.elapsed() < Duration::from_secs(50));
    }
}
