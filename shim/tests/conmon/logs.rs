//! What becomes of the output in each log driver, and the limits.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::caller::{Caller, Started};
use crate::harness::{assert_same, finish, pattern};

for_both! {
    fn a_k8s_file_has_its_records_and_its_mode(program: Program) {
        let caller = Caller::new(program, "echo one; echo two >&2; printf three");
        let (_started, _) = caller.run(&[]);
        assert_eq!(caller.exit_status(), "0");
        assert_eq!(caller.logged("stdout"), b"one\nthree");
        assert_eq!(caller.logged("stderr"), b"two\n");
        let mode = fs::metadata(caller.place("log")).unwrap().permissions().mode();
        // Before 2.2, conmon gave it to its owner only.
        assert!(mode & 0o777 == 0o640 || !caller.is_ours(), "{mode:o}");
    }

    fn long_lines_and_bytes_of_every_kind_are_logged(program: Program) {
        let caller = Caller::new(program, "cat /pattern");
        let mut sent = pattern(512 * 1024, 7);
        sent.iter_mut().step_by(9000).for_each(|byte| *byte = b'\n');
        fs::write(caller.shim.rootfs().join("pattern"), &sent).unwrap();
        let (_started, _) = caller.run(&[]);
        assert_eq!(caller.exit_status(), "0");
        assert_same(&caller.logged("stdout"), &sent, "the log");
    }

    fn none_logs_nothing(program: Program) {
        let caller = Caller::new(program, "echo one");
        let (_started, _) = caller.create(&["-l", "none"]);
        let client = caller.attach();
        caller.start();
        assert_eq!(client.rest()[0], b"one\n");
        assert_eq!(caller.exit_status(), "0");
        assert!(!caller.place("log").exists() && !caller.place("none").exists());
    }

    /// From then on stderr is nobody's, so that only what comes before the container shows the level.
    fn the_calls_of_the_runtime_are_said_at_level_trace(program: Program) {
        let says_at = |level: &str| {
            let caller = Caller::new(program, "true");
            let said = caller.place("said");
            let mut command = caller.command(&["--log-level", level]);
            command.stderr(fs::File::create(&said).unwrap());
            let mut started = Started::begin(command, &[], false);
            assert!(started.said()["data"].as_i64().unwrap() > 0);
            caller.note_supervisor();
            caller.start();
            assert_eq!(caller.exit_status(), "0");
            fs::read_to_string(said).unwrap()
        };
        assert!(!says_at("warning").contains("[conmon:d]: "));
        assert!(says_at("trace").contains("[conmon:d]: "));
    }

    fn a_log_level_that_there_is_not_is_refused(program: Program) {
        let caller = Caller::new(program, "true");
        let said = finish(&mut caller.command(&["--log-level", "loud"]));
        assert_ne!(said.status, 0);
        assert!(said.stderr.contains("loud"), "{said:?}");
    }

    /// Its last bytes are on the disk before the end is told, unless the caller wants no such wait.
    fn no_sync_log_leaves_the_log_to_the_kernel(program: Program) {
        let works = "command -v strace && strace -o /dev/null true";
        if finish(Command::new("sh").args(["-c", works])).status != 0 {
            println!("skipped: strace is not installed, or may not trace");
            return;
        }
        let synchronizes = |more: &[&str]| {
            let caller = Caller::new(program, "echo one");
            let calls = caller.text("calls");
            let traced = caller.command(&[&["--sync"], more].concat());
            let mut command = Command::new("strace");
            command.args(["-f", "-e", "trace=fsync,fdatasync", "-o", &calls, "--"]);
            command.arg(traced.get_program()).args(traced.get_args());
            command.current_dir(caller.shim.place.path()).stdin(Stdio::null());
            let mut started = Started::begin(command, &[], false);
            assert!(started.said()["data"].as_i64().unwrap() > 0);
            caller.start();
            assert_eq!(caller.exit_status(), "0");
            drop(started);
            fs::read_to_string(calls).unwrap().contains("sync(")
        };
        assert!(synchronizes(&[]));
        assert!(!synchronizes(&["--no-sync-log"]));
    }

    /// The container has the caller's own streams, and nothing can be attached to.
    fn passthrough_gives_the_container_the_caller_s_streams(program: Program) {
        let caller = Caller::new(program, "cat; echo err >&2");
        let mut command = caller.command(&["-l", "passthrough"]);
        let (reader, mut input) = std::io::pipe().unwrap();
        let (mut output, writer) = std::io::pipe().unwrap();
        let (mut errors, error_writer) = std::io::pipe().unwrap();
        command.stdin(reader).stdout(writer).stderr(error_writer);
        let mut started = Started::begin(command, &[], false);
        assert!(started.said()["data"].as_i64().unwrap() > 0);
        caller.note_supervisor();
        assert!(!caller.shim.bundle().join("attach").exists());
        caller.start();
        std::io::Write::write_all(&mut input, b"through\n").unwrap();
        drop(input);
        let mut text = String::new();
        output.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through\n");
        text.clear();
        errors.read_to_string(&mut text).unwrap();
        assert!(text.ends_with("err\n"), "{text}");
        assert_eq!(caller.exit_status(), "0");
    }

    fn a_log_that_is_full_is_begun_anew(program: Program) {
        let caller = Caller::new(program, "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done");
        let (_started, _) = caller.run(&["--log-size-max", "4096"]);
        assert_eq!(caller.exit_status(), "0");
        let log = caller.log();
        assert!(log.len() <= 4096, "{}", log.len());
        let text = String::from_utf8(caller.logged("stdout")).unwrap();
        assert!(text.ends_with("line 1999\n"), "{text}");
        assert!(!caller.place("log.1").exists());
    }

    fn all_logs_together_have_their_limit(program: Program) {
        let caller = Caller::new(program, "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done");
        let (_started, _) = caller.run(&["--log-global-size-max", "4096"]);
        assert_eq!(caller.exit_status(), "0");
        let length = caller.log().len();
        assert!((3900..=4200).contains(&length), "{length}");
        assert!(caller.logged("stdout").starts_with(b"line 0\nline 1\n"));
    }
}

/// conmon has this from 2.2 on.
#[test]
fn another_user_in_the_container_may_open_the_streams() {
    let caller = Caller::new(crate::caller::Program::Ours, "");
    caller.shim.configure(|config| {
        let capabilities = serde_json::json!(["CAP_SETUID", "CAP_SETGID"]);
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set] = capabilities.clone();
        }
        let script = "busybox su -s /bin/sh nobody \
                      -c 'echo out > /proc/self/fd/1; echo err > /proc/self/fd/2'";
        config["process"]["args"] = serde_json::json!(["sh", "-c", script]);
    });
    fs::create_dir(caller.shim.rootfs().join("etc")).unwrap();
    fs::write(
        caller.shim.rootfs().join("etc/passwd"),
        "nobody:x:65534:65534::/:\n",
    )
    .unwrap();
    let (_started, _) = caller.run(&[]);
    assert_eq!(caller.exit_status(), "0");
    assert_eq!(caller.logged("stdout"), b"out\n");
    assert_eq!(caller.logged("stderr"), b"err\n");
}

/// conmon has this from 2.2 on.
#[test]
fn a_log_that_is_full_is_rotated_if_asked() {
    let caller = Caller::new(
        crate::caller::Program::Ours,
        "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done",
    );
    let options = [
        "--log-size-max",
        "4096",
        "--log-rotate",
        "--log-max-files",
        "20",
    ];
    let (_started, _) = caller.run(&options);
    assert_eq!(caller.exit_status(), "0");
    let mut all = Vec::new();
    for number in (1..=20).rev() {
        if let Ok(log) = fs::read(caller.place(&format!("log.{number}"))) {
            assert!(log.len() <= 4096);
            all.extend(crate::caller::logged(&log, "stdout"));
        }
    }
    assert!(caller.place("log.2").exists());
    all.extend(caller.logged("stdout"));
    let text = String::from_utf8(all).unwrap();
    let lines: Vec<String> = (0..300).map(|number| format!("line {number}")).collect();
    assert_eq!(text.lines().collect::<Vec<_>>(), lines);
}
