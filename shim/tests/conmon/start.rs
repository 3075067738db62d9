//! From the command line to a created container: options, refusals, pipes, pid files.

use std::fs;
use std::os::fd::AsRawFd;
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};

use crate::caller::{Caller, Started};
use crate::harness::{eventually, finish, is_alive};

for_both! {
    fn the_version_is_one_that_podman_understands(program: Program) {
        let said = finish(&mut Caller::new(program, "").bare(&["--version"]));
        let version = said.stdout.strip_prefix("conmon version ").unwrap();
        let numbers: Vec<u32> =
            version.lines().next().unwrap().split('.').map(|n| n.parse().unwrap()).collect();
        assert!(numbers.len() == 3 && numbers[0] == 2, "{said:?}");
        assert_eq!(said.status, 0);
    }

    fn help_names_the_options(program: Program) {
        let said = finish(&mut Caller::new(program, "").bare(&["--nosuch", "--help"]));
        assert_eq!(said.status, 1);
        let said = finish(&mut Caller::new(program, "").bare(&["--help"]));
        assert_eq!(said.status, 0);
        for option in ["-c, --cid", "--exec-process-spec", "-0, --persist-dir", "--full-attach"] {
            assert!(said.stdout.contains(option), "{option}: {}", said.stdout);
        }
    }

    /// conmon's own `01-basic.bats`, and GLib's words.
    fn refusals_are_told_in_one_line(program: Program) {
        let caller = Caller::new(program, "");
        let sane = ["-c", "0123456789abc", "-u", "u", "-r", "/bin/true"];
        let refusals: [(&[&str], &str); 12] = [
            (&["--nosuch"], "Unknown option --nosuch"),
            (&["-T", "x"], "Cannot parse integer value “x” for -T"),
            (&[], "Container ID not provided. Use --cid"),
            (&["-c", "a"], "Container UUID not provided. Use --cuuid"),
            (&["-c", "a", "-u", "a"], "Runtime path not provided. Use --runtime"),
            (&["-c", "a", "-u", "a", "-r", "/no/such"], "Runtime path /no/such is not valid"),
            (&[&sane[..], &["--exec-attach"]].concat(), "Attach can only be specified with exec"),
            (&[&sane[..], &["-e", "-l", "x"]].concat(), "Exec process spec path not provided"),
            (&sane, "Log driver not provided. Use --log-path"),
            (&[&sane[..], &["-l", ":"]].concat(), "log-path must not be empty"),
            (&[&sane[..], &["-l", "nonsense:x"]].concat(), "No such log driver nonsense"),
            (&[&sane[..], &["-l", "k8s-file:/no/such/x"]].concat(), "Failed to open log file"),
        ];
        for (arguments, words) in refusals {
            let said = finish(&mut caller.bare(arguments));
            // Before 2.2, conmon said GLib's words to stdout.
            let text = [said.stderr.as_str(), said.stdout.as_str()].concat();
            assert!(text.contains(words) && text.lines().count() == 1, "{arguments:?}: {said:?}");
            assert_eq!(said.status, 1);
        }
    }

    fn the_pid_of_the_container_comes_through_the_sync_pipe(program: Program) {
        let caller = Caller::new(program, "exit 3");
        let (mut started, pid) = caller.create(&[]);
        assert!(started.child.wait().unwrap().success());
        assert_eq!(fs::read_to_string(caller.place("container.pid")).unwrap(), pid.to_string());
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        assert!(status.contains(&format!("PPid:\t{}", caller.supervisor())), "{status}");
        for file in ["attach", "ctl", "winsz"] {
            assert!(caller.shim.bundle().join(file).exists(), "{file}");
        }
        caller.start();
        assert_eq!(caller.exit_status(), "3");
        assert_eq!(fs::read_to_string(caller.place("persist/exit")).unwrap(), "3");
        assert_eq!(started.rest(), "", "only the pid");
        caller.await_end();
        assert!(!caller.shim.bundle().join("attach").exists());
    }

    fn before_api_version_1_the_pid_is_called_pid(program: Program) {
        let caller = Caller::new(program, "exit 3");
        let runtime = fs::canonicalize(crate::harness::which(&caller.shim.runtime)).unwrap();
        let mut command = caller.bare(&["--cid", &caller.id, "--cuuid", &caller.id]);
        command.arg("--runtime").arg(runtime);
        command.args(["--socket-dir-path", &caller.text("sockets"), "--log-path=log"]);
        command.args(["--runtime-arg=--root", "--runtime-arg", &caller.text("state")]);
        command.args(["-P", &caller.text("conmon.pid")]);
        // The bundle and the pid file lie in the working directory.
        command.current_dir(caller.shim.bundle());
        let mut started = Started::begin(command, &[], false);
        caller.note_supervisor();
        let pid = started.said()["pid"].as_u64().unwrap();
        let pid_file = caller.shim.bundle().join(format!("pidfile-{}", caller.id));
        assert_eq!(fs::read_to_string(pid_file).unwrap(), pid.to_string());
        let link = caller.place("sockets").join(&caller.id);
        assert_eq!(fs::read_link(&link).unwrap(), caller.shim.bundle());
        let attached = crate::caller::Attached::connect(&link.join("attach"));
        caller.start();
        assert_eq!(attached.packet(), None);
        // Before 2.2, conmon left it.
        if caller.is_ours() {
            eventually("the link goes", || fs::symlink_metadata(&link).is_err());
        }
    }

    fn a_runtime_that_fails_is_quoted(program: Program) {
        let caller = Caller::new(program, "");
        caller.shim.configure(|config| config["process"]["args"] = serde_json::json!(["/nosuch"]));
        let left = caller.text("left");
        let options = ["--exit-command", "/bin/touch", "--exit-command-arg", &left];
        let mut started = caller.begin(&options, false);
        let said = started.said();
        assert_eq!(said["data"], -1, "{said}");
        let message = said["message"].as_str().unwrap();
        assert!(message.contains("nosuch") && message.contains("no such file"), "{message}");
        assert!(!caller.place("exits").join(&caller.id).exists());
        // It has begun its work, so its end is told.
        eventually("the exit command runs", || caller.place("left").exists());
    }

    fn nothing_happens_before_the_caller_says_so(program: Program) {
        let caller = Caller::new(program, "exit 0");
        let mut started = caller.begin(&[], true);
        assert!(started.is_silent(Duration::from_millis(150)));
        assert!(!caller.place("conmon.pid").exists());
        started.go();
        assert!(started.said()["data"].as_i64().unwrap() > 0);
        caller.note_supervisor();
        caller.start();
        assert_eq!(caller.exit_status(), "0");
    }

    fn with_sync_it_stays_the_caller_s_child_and_ends_as_the_container_does(program: Program) {
        let caller = Caller::new(program, "exit 5");
        let (mut started, pid) = caller.create(&["--sync"]);
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        assert!(status.contains(&format!("PPid:\t{}", started.child.id())));
        caller.start();
        assert_eq!(started.child.wait().unwrap().code(), Some(5));
    }

    /// What podman leaves open keeps ports busy, and goes to the runtime for `--preserve-fds`.
    fn what_the_caller_leaves_open_stays_open_until_the_end(program: Program) {
        let caller = Caller::new(program, "sleep 1000");
        let (reader, writer) = std::io::pipe().unwrap();
        fcntl_setfd(&writer, FdFlags::empty()).unwrap();
        let number = writer.as_raw_fd();
        let exit = caller.text("exit-fds");
        let list = format!("ls /proc/self/fd > {exit}");
        let options = ["--exit-command", "/bin/sh", "--exit-command-arg", "-c",
            "--exit-command-arg", &list];
        let (_started, pid) = caller.run(&options);
        drop(writer);
        let held = format!("/proc/{}/fd/{number}", caller.supervisor());
        assert!(fs::read_link(held).unwrap().to_str().unwrap().starts_with("pipe:"));
        crate::harness::signal(u32::try_from(pid).unwrap(), rustix::process::Signal::KILL);
        assert_eq!(caller.exit_status(), "137");
        let mut reader = reader;
        assert_eq!(std::io::Read::read(&mut reader, &mut [0]).unwrap(), 0);
        caller.await_end();
        let open = fs::read_to_string(exit).unwrap();
        assert!(!open.lines().any(|fd| fd == number.to_string()), "{open}");
    }

    fn listen_pid_becomes_the_runtime_s_own(program: Program) {
        let mut caller = Caller::new(program, "exit 0");
        caller.shim.fake_runtime("echo $$ $LISTEN_PID >> ${0%/*}/seen; exec $RUNTIME \"$@\"");
        let mut command = caller.command(&["--replace-listen-pid"]);
        command.env("LISTEN_PID", "1").env("LISTEN_FDS", "0");
        let mut started = Started::begin(command, &[], false);
        assert!(started.said()["data"].as_i64().unwrap() > 0);
        caller.note_supervisor();
        let seen = fs::read_to_string(caller.place("seen")).unwrap();
        let (own, listen) = seen.trim().split_once(' ').unwrap();
        assert_eq!(own, listen);
    }

    fn the_runtime_is_called_as_conmon_calls_it(program: Program) {
        let mut caller = Caller::new(program, "exit 0");
        let real = caller.shim.runtime.clone();
        caller.shim.fake_runtime("echo \"$@\" >> ${0%/*}/seen; echo why >&2; exit 1");
        let bundle = caller.shim.bundle().display().to_string();
        let (state, pid_file, id) =
            (caller.text("state"), caller.text("container.pid"), caller.id.clone());
        let create = format!(
            "--systemd-cgroup --root {state} --log x create --bundle {bundle} --pid-file {pid_file} \
             --no-pivot --no-new-keyring --preserve-fds 1 {id}"
        );
        let restore = format!(
            "--root {state} restore --bundle {bundle} --pid-file {pid_file} --detach \
             --image-path /image --work-path {bundle} --tcp-established {id}"
        );
        let exec = format!(
            "--root {state} exec --pid-file {pid_file} --process /p.json --detach --cwd / {id}"
        );
        let calls: [(&[&str], String); 3] = [
            (&["-s", "--no-pivot", "--no-new-keyring", "--runtime-arg=--log", "--runtime-arg=x",
                "--runtime-opt", "--preserve-fds", "--runtime-opt", "1"], create),
            (&["--restore", "/image", "--restore-arg", "--tcp-established"], restore),
            (&["-e", "-s", "-p", &pid_file, "--exec-process-spec=/p.json", "--runtime-opt=--cwd",
                "--runtime-opt=/"], exec),
        ];
        for (options, call) in calls {
            let _ = fs::remove_file(caller.place("seen"));
            let said = caller.begin(options, false).said();
            assert_eq!(said["data"], -1, "{said}");
            assert!(said["message"].as_str().unwrap().contains("why"), "{said}");
            let seen = fs::read_to_string(caller.place("seen")).unwrap();
            // Global options, and the id at the end; the verb's own stand in any order.
            let words = |call: &str| {
                let mut words: Vec<String> = call.split_whitespace().map(String::from).collect();
                let is_verb = |word: &String| ["create", "restore", "exec"].contains(&word.as_str());
                let verb = words.iter().position(is_verb).unwrap();
                let last = words.len() - 1;
                words[verb..last].sort();
                words
            };
            assert_eq!(words(&seen), words(&call));
        }
        caller.shim.runtime = real;
    }

    fn a_signal_reaches_the_runtime_while_it_creates(program: Program) {
        let mut caller = Caller::new(program, "exit 0");
        caller.shim.fake_runtime("case \" $* \" in *' create '*) echo $$ > ${0%/*}/seen; exec sleep 1000;; esac
            exec $RUNTIME \"$@\"");
        let mut started = caller.begin(&[], false);
        eventually("the runtime is there", || {
            fs::read_to_string(caller.place("seen")).is_ok_and(|seen| seen.ends_with('\n'))
        });
        let runtime: u64 = fs::read_to_string(caller.place("seen")).unwrap().trim().parse().unwrap();
        eventually("there is a pid file", || caller.place("conmon.pid").exists());
        caller.note_supervisor();
        let supervisor = u32::try_from(caller.supervisor()).unwrap();
        crate::harness::signal(supervisor, rustix::process::Signal::TERM);
        eventually("the runtime ends", || !is_alive(runtime));
        // conmon 2.1 says nothing of a runtime that says nothing.
        if caller.is_ours() {
            assert_eq!(started.said()["data"], -1);
        }
        caller.await_end();
    }
}
