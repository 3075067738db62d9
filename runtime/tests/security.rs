//! What a container could reach of the runtime, beyond the conformance suite's hostile chapter.
//!
//! Needs root and busybox-static.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod harness;

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use harness::{Sandbox, WINDLASS, finish, wait_until};
use serde_json::{Value, json};

/// CVE-2019-5736: as root on the host, from outside, the waiting init's program can't be written.
#[test]
fn the_waiting_init_runs_from_a_file_that_nobody_can_write() {
    let sandbox = Sandbox::new("sealed");
    let before = fs::read(WINDLASS).unwrap();
    sandbox.must(&["create", "ID"]);
    let program = format!("/proc/{}/exe", sandbox.pid());
    let own = fs::metadata(&program).unwrap();
    for options in [
        File::options().write(true),
        File::options().append(true),
        File::options().read(true).write(true),
        File::options().write(true).truncate(true),
    ] {
        let error = options.open(&program).unwrap_err();
        let refused = [libc::EROFS, libc::ETXTBSY, libc::EPERM];
        assert!(refused.contains(&error.raw_os_error().unwrap()), "{error}");
    }
    // Nor through a descriptor that was opened for reading and is opened anew.
    let reader = File::open(&program).unwrap();
    let again = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
    assert!(File::options().write(true).open(again).is_err());
    // Nor through what is mapped of it.
    let mapped = fs::read_dir(format!("/proc/{}/map_files", sandbox.pid())).unwrap();
    for mapping in mapped {
        let mapping = mapping.unwrap().path();
        let error = File::options().write(true).open(&mapping).unwrap_err();
        let refused = [libc::EROFS, libc::ETXTBSY];
        assert!(
            refused.contains(&error.raw_os_error().unwrap()),
            "{mapping:?}: {error}"
        );
    }
    assert_eq!(own.len(), before.len() as u64);
    sandbox.must(&["delete", "--force", "ID"]);
    assert!(
        fs::read(WINDLASS).unwrap() == before,
        "the runtime's program has changed"
    );
}

/// CVE-2019-5736 as it was exploited: `exec` is led to execute the runtime itself through the
/// interpreter line, while a process of the container tries to write to whatever it finds.
#[test]
fn a_container_cannot_overwrite_the_runtime() {
    let mut sandbox = Sandbox::new("overwrite");
    let before = (
        fs::read(WINDLASS).unwrap(),
        fs::metadata(WINDLASS).unwrap().mtime_nsec(),
    );
    let script = sandbox.rootfs().join("bin/lure");
    fs::write(&script, "#!/proc/self/exe\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    sandbox.config["process"]["noNewPrivileges"] = json!(false);
    // Holds each program for reading first, as the exploit does, and reopens it for writing.
    sandbox.script(
        "echo ready; while :; do for p in /proc/[0-9]*; do \
         [ $p = /proc/1 ] && continue; \
         if { exec 9<$p/exe; } 2>/dev/null; then \
         case $(readlink /proc/self/fd/9) in /bin/busybox) ;; *) echo saw >>/tmp/saw; \
         { : >>/proc/self/fd/9; } 2>/dev/null && echo wrote >>/tmp/wrote;; esac; fi; \
         { : >>$p/exe; } 2>/dev/null && echo wrote >>/tmp/wrote; done; done",
    );
    // busybox itself can be written: it is the container's own file, but it is being executed.
    let ran = sandbox.must(&["run", "-d", "ID"]);
    drop(ran);
    for _ in 0..20 {
        let led = sandbox.windlass(&["exec", "ID", "/bin/lure"]);
        assert!(!led.stderr.contains("panicked"), "{}", led.stderr);
    }
    let wrote = sandbox.rootfs().join("tmp/wrote");
    assert!(
        !wrote.exists(),
        "the container could write to a program that entered it"
    );
    sandbox.must(&["delete", "--force", "ID"]);
    let after = (
        fs::read(WINDLASS).unwrap(),
        fs::metadata(WINDLASS).unwrap().mtime_nsec(),
    );
    assert!(before == after, "the runtime's program has changed");
}

/// CVE-2024-21626, CVE-2016-9962: what the waiting init holds is known, each and every one.
#[test]
fn the_waiting_init_holds_nothing_of_the_host() {
    let sandbox = Sandbox::new("held");
    let leaked = File::open("/").unwrap();
    let mut command = sandbox.command(&["create", "ID"]);
    harness::sys::pass_descriptor(&mut command, std::os::fd::AsRawFd::as_raw_fd(&leaked), 33);
    let created = finish(&mut command);
    assert!(created.status.success(), "{}", created.stderr);
    let directory = format!("/proc/{}/fd", sandbox.pid());
    // `create` comes back when the container is recorded; init closes its channel right after.
    let has_channel = || {
        fs::read_dir(&directory).unwrap().any(|entry| {
            let target = entry.and_then(|entry| fs::read_link(entry.path()));
            target.is_err() || target.unwrap().to_str().unwrap().starts_with("socket:")
        })
    };
    while has_channel() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let fifo = sandbox.state_directory().join("exec.fifo");
    let rootfs = sandbox.rootfs();
    for entry in fs::read_dir(&directory).unwrap() {
        let entry = entry.unwrap();
        let number: u32 = entry.file_name().to_str().unwrap().parse().unwrap();
        let target = fs::read_link(entry.path()).unwrap();
        let flags = fs::read_to_string(format!("/proc/{}/fdinfo/{number}", sandbox.pid())).unwrap();
        let close_on_exec = flags
            .lines()
            .find_map(|line| u32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok())
            .is_some_and(|flags| flags & libc::O_CLOEXEC.cast_unsigned() != 0);
        assert!(
            number < 3 || close_on_exec,
            "{number} ({target:?}) reaches the program"
        );
        let known = number < 3
            || target == fifo
            || target == rootfs
            || target == Path::new("/")
            || target == Path::new("/proc")
            || target.to_str().unwrap().starts_with("/dev")
            || target.to_str().unwrap().starts_with("anon_inode:");
        assert!(known, "init holds {number}: {target:?}");
    }
    sandbox.must(&["delete", "--force", "ID"]);
}

/// CVE-2022-29162.
#[test]
fn exec_gives_no_inheritable_capabilities() {
    let sandbox = Sandbox::new("inheritable");
    sandbox.must(&["run", "-d", "ID"]);
    for user in ["0", "1000"] {
        let status = sandbox
            .must(&[
                "exec",
                "--cap",
                "CAP_SYS_ADMIN",
                "-u",
                user,
                "ID",
                "cat",
                "/proc/self/status",
            ])
            .stdout;
        assert!(status.contains("CapInh:\t0000000000000000"), "{status}");
        assert!(status.contains("CapAmb:\t0000000000000000"), "{status}");
    }
}

#[test]
fn exec_stays_in_the_cgroup_of_the_container() {
    let sandbox = Sandbox::new("subcgroup");
    sandbox.must(&["run", "-d", "ID"]);
    for path in ["../x", "a/../../x", "..", "/../x", "memory:../x"] {
        let refused = sandbox.windlass(&["exec", "--cgroup", path, "ID", "true"]);
        assert_eq!(refused.code(), 255, "{path}");
        let line = refused.error_line();
        assert!(line.contains("bad sub cgroup path"), "{path}: {line}");
    }
}

/// CVE-2025-23266: what an image says of the environment reaches no hook.
#[test]
fn hooks_get_their_own_environment_only() {
    let mut sandbox = Sandbox::new("hookenv");
    let seen = sandbox.directory().join("seen");
    let hook = |kind: &str| {
        json!([{ "path": "/bin/busybox", "env": ["OWN=yes"],
                 "args": ["sh", "-c", format!("env >> {}.{kind}", seen.display())] }])
    };
    let kinds = [
        "prestart",
        "createRuntime",
        "createContainer",
        "poststart",
        "poststop",
    ];
    for kind in kinds {
        sandbox.config["hooks"][kind] = hook(kind);
    }
    sandbox.config["process"]["env"] = json!(["PATH=/bin", "LD_PRELOAD=/evil.so", "IMAGE=1"]);
    sandbox.write_config();
    let mut command = sandbox.command(&["create", "ID"]);
    command.env("OF_THE_CALLER", "1");
    assert!(finish(&mut command).status.success());
    sandbox.must(&["start", "ID"]);
    sandbox.must(&["delete", "--force", "ID"]);
    for kind in kinds {
        let text = fs::read_to_string(format!("{}.{kind}", seen.display())).unwrap();
        assert!(text.contains("OWN=yes\n"), "{kind}: {text}");
        for foreign in ["LD_PRELOAD", "IMAGE", "OF_THE_CALLER"] {
            assert!(!text.contains(foreign), "{kind}: {text}");
        }
    }
}

#[test]
fn state_is_nobody_elses_to_read() {
    let sandbox = Sandbox::new("modes");
    sandbox.must(&["create", "ID"]);
    for directory in [sandbox.state_root(), sandbox.state_directory()] {
        let mode = fs::metadata(&directory).unwrap().mode() & 0o7777;
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", directory.display());
    }
    for entry in fs::read_dir(sandbox.state_directory()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().mode() & 0o7777;
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", entry.path().display());
    }
}

/// The same pid with another start time is another process: it is neither shown nor killed.
#[test]
fn a_reused_pid_is_not_the_container() {
    let sandbox = Sandbox::new("reuse");
    sandbox.must(&["create", "ID"]);
    sandbox.must(&["kill", "ID", "KILL"]);
    sandbox.wait_for_status("stopped");
    // The kernel tells start times in ticks of 10 ms (proc_pid_stat(5)), and `create` and `kill` can
    // both be over in one. A pid that comes round again takes longer.
    std::thread::sleep(std::time::Duration::from_millis(30));
    let mut stranger = std::process::Command::new("/bin/busybox")
        .args(["sleep", "1000"])
        .spawn()
        .unwrap();
    let file = sandbox.state_directory().join("state.json");
    let mut state: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    state["init_process_pid"] = json!(stranger.id());
    fs::write(&file, state.to_string()).unwrap();
    let journal = sandbox.state_directory().join("journal");
    let lines = fs::read_to_string(&journal).unwrap();
    let changed: Vec<String> = lines
        .lines()
        .map(|line| {
            let mut record: Value = serde_json::from_str(line).unwrap();
            if record.get("init").is_some() {
                record["init"]["pid"] = json!(stranger.id());
            }
            record.to_string() + "\n"
        })
        .collect();
    fs::write(&journal, changed.concat()).unwrap();

    let shown = sandbox.state();
    let killed = sandbox.windlass(&["kill", "ID", "KILL"]);
    let deleted = sandbox.windlass(&["delete", "--force", "ID"]);
    let unharmed = stranger.try_wait().unwrap().is_none();
    stranger.kill().unwrap();
    stranger.wait().unwrap();
    assert_eq!(
        (&shown["status"], &shown["pid"]),
        (&json!("stopped"), &json!(0))
    );
    assert!(
        killed.error_line().contains("container not running"),
        "{}",
        killed.stderr
    );
    assert!(deleted.status.success(), "{}", deleted.stderr);
    assert!(
        unharmed,
        "a process that is none of the container's was killed"
    );
}

/// CVE-2024-21626's class: an image names programs by what the runtime may still hold open of the
/// host. `host-only` exists on the host alone, so nothing of that name may ever run.
#[test]
fn no_descriptor_of_the_host_leads_out_by_args_or_path() {
    let mut sandbox = Sandbox::new("descriptors");
    let host_only = sandbox.directory().join("host-only");
    fs::copy("/bin/busybox", &host_only).unwrap();
    let up = "/..".repeat(12);
    let directory = sandbox.directory().display().to_string();
    let places: Vec<String> = (3..100)
        .map(|fd| format!("/proc/self/fd/{fd}{up}{directory}"))
        .collect();
    sandbox.config["process"]["env"] = json!([format!("PATH={}", places.join(":"))]);
    for early_filter in [true, false] {
        sandbox.config["process"]["noNewPrivileges"] = json!(!early_filter);
        sandbox.config["process"]["args"] = json!(["host-only", "true"]);
        sandbox.write_config();
        assert_eq!(sandbox.windlass(&["run", "ID"]).code(), 1);
        sandbox.script("while :; do sleep 1; done");
        sandbox.config["process"]["args"][0] = json!("/bin/sh");
        sandbox.write_config();
        sandbox.must(&["run", "-d", "ID"]);
        assert_eq!(
            sandbox
                .windlass(&["exec", "ID", "host-only", "true"])
                .code(),
            255
        );
        for place in places.iter().take(40) {
            let program = format!("{place}/host-only");
            let executed = sandbox.windlass(&["exec", "ID", &program, "true"]);
            assert_eq!(executed.code(), 255, "{program}");
        }
        sandbox.must(&["delete", "--force", "ID"]);
    }
}

/// `exec` stays below a root that is only a chroot.
#[test]
fn exec_stays_in_a_chroot() {
    let mut sandbox = Sandbox::new("chroot");
    fs::write(sandbox.rootfs().join("inside"), "").unwrap();
    sandbox.script("while :; do sleep 1; done");
    sandbox.must(&["run", "-d", "--no-pivot", "ID"]);
    sandbox.must(&["exec", "ID", "/bin/sh", "-c", "test -e /inside"]);
    sandbox.must(&["delete", "--force", "ID"]);
}

/// Root of a user namespace, with every capability in it, sees a process come into it that still has
/// the host's root directory, and must not get at that through the process.
#[test]
fn whoever_joins_a_user_namespace_cannot_be_looked_into() {
    let mut watcher = Sandbox::new("watcher");
    watcher.map_ids();
    for set in ["bounding", "effective", "permitted"] {
        watcher.config["process"]["capabilities"][set] = json!(["CAP_SYS_PTRACE"]);
    }
    let mut newcomer = Sandbox::new("newcomer");
    watch_for_the_hosts_root(&mut watcher, &newcomer);
    newcomer.map_ids();
    let pid = watcher.pid();
    let namespaces = newcomer.config["linux"]["namespaces"].as_array_mut();
    for namespace in namespaces.unwrap() {
        let kind = namespace["type"].as_str().unwrap().to_owned();
        if kind == "user" || kind == "pid" {
            namespace["path"] = json!(format!("/proc/{pid}/ns/{kind}"));
        }
    }
    come_and_go(&mut newcomer, &watcher);
}

/// To the kernel, every process of root has all rights over a user namespace that root has made,
/// whatever capabilities it lacks: one in a container with the host's pids, too.
#[test]
fn whoever_makes_a_user_namespace_cannot_be_looked_into() {
    let mut watcher = Sandbox::new("watcher");
    let namespaces = watcher.config["linux"]["namespaces"].as_array_mut();
    namespaces.unwrap().retain(|one| one["type"] != "pid");
    let mut newcomer = Sandbox::new("newcomer");
    watch_for_the_hosts_root(&mut watcher, &newcomer);
    newcomer.map_ids();
    come_and_go(&mut newcomer, &watcher);
}

/// Has a container look whether a file of the host is below the root directory of any process that is
/// to become `newcomer`. Others may be on the host whose rights are no more than the watcher's: what
/// other runtimes leave open there is not for us to say.
fn watch_for_the_hosts_root(watcher: &mut Sandbox, newcomer: &Sandbox) {
    let marker = watcher.directory().join("of-the-host");
    fs::write(&marker, "").unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(watcher.rootfs().join("tmp"), open).unwrap();
    watcher.script(&format!(
        "echo > /tmp/watching; while :; do for p in /proc/[0-9]*; do \
         if [ -e $p/root{} ]; then line=; read -r line 2>/dev/null <$p/cmdline; \
         case $line in *{}*) echo $p $line >/tmp/escaped;; esac; fi; done; done",
        marker.display(),
        newcomer.id
    ));
    watcher.must(&["run", "-d", "ID"]);
    let watching = watcher.rootfs().join("tmp/watching");
    wait_until("the loop", || watching.exists());
}

fn come_and_go(newcomer: &mut Sandbox, watcher: &Sandbox) {
    newcomer.script("exit 0");
    for _ in 0..30 {
        newcomer.must(&["run", "ID"]);
        if let Ok(through) = fs::read_to_string(watcher.rootfs().join("tmp/escaped")) {
            panic!("the host's root was within reach through {through}");
        }
    }
    watcher.must(&["delete", "--force", "ID"]);
}

/// What is not in PATH is not taken from the working directory, which the image may have chosen.
#[test]
fn nothing_runs_from_the_working_directory_unasked() {
    let mut sandbox = Sandbox::new("workdir");
    fs::copy("/bin/busybox", sandbox.rootfs().join("bin/true2")).unwrap();
    sandbox.config["process"]["cwd"] = json!("/bin");
    for env in [json!([]), json!(["PATH="]), json!(["PATH=.:"])] {
        sandbox.config["process"]["env"] = env;
        sandbox.config["process"]["args"] = json!(["true2"]);
        sandbox.write_config();
        let line = sandbox.windlass(&["run", "ID"]).error_line().to_owned();
        assert!(
            line.contains("executable file not found in $PATH"),
            "{line}"
        );
    }
}

/// A program that is not root may open its standard output anew.
#[test]
fn the_standard_streams_are_the_users() {
    let mut sandbox = Sandbox::new("streams");
    sandbox.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    sandbox.script("echo anew >/proc/self/fd/1");
    let run = sandbox.must(&["run", "ID"]);
    assert_eq!(run.stdout, "anew\n");
}

/// Bad arguments end in one line, not in a panic.
#[test]
fn arguments_cannot_make_it_panic() {
    use std::os::unix::ffi::OsStrExt as _;
    let sandbox = Sandbox::new("arguments");
    let mut command = sandbox.command(&["state"]);
    command.arg(std::ffi::OsStr::from_bytes(b"\xff"));
    assert!(finish(&mut command).code() != 0);
    let many = sandbox.windlass(&["create", "--preserve-fds", "4294967295", "ID"]);
    assert!(many.code() != 0);
    let mut listen = sandbox.command(&["create", "ID"]);
    listen.env("LISTEN_FDS", "60");
    // Its own pid is known to the shell alone: it execs the runtime.
    let shell = format!(
        "LISTEN_PID=$$ LISTEN_FDS=60 exec {WINDLASS} --root {} create --bundle {} x",
        sandbox.state_root().display(),
        sandbox.bundle().display()
    );
    let refused = finish(std::process::Command::new("/bin/sh").args(["-c", &shell]));
    assert!(refused.error_line().contains("unable to preserve fd"));
}
