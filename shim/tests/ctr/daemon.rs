//! A containerd of the test's own, with the shim under test and `ctr` to ask it with.
//!
//! `$WINDLASS_TEST_SHIM` names another shim that runs runc (containerd's own, say), to see whether a
//! test asks too much.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Said, eventually, finish};

const PROGRAM: &str = env!("CARGO_BIN_EXE_windlass-shim");

pub struct Containerd {
    pub place: TempDir,
    pub namespace: String,
    /// The name by which `ctr run --runtime` knows the shim.
    pub runtime: String,
    /// The shim is the one under test.
    pub is_ours: bool,
    daemon: Option<Child>,
    containers: AtomicU32,
}

impl Containerd {
    /// `None`, and a line that says so, on a machine without containerd.
    pub fn start() -> Option<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let has = |program: &str| {
            let version = Command::new(program).arg("--version").output();
            version.is_ok_and(|output| output.status.success())
        };
        if !has("containerd") || !has("ctr") {
            eprintln!("SKIPPED: containerd and ctr are not installed");
            return None;
        }
        let place = tempfile::Builder::new()
            .prefix("shim-ctd-")
            .tempdir()
            .expect("a directory");
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("shim-test-{}-{number}", std::process::id());
        let other = std::env::var_os("WINDLASS_TEST_SHIM");
        let is_ours = other.is_none();
        let windlass = Path::new(PROGRAM).with_file_name("windlass");
        let name = if is_ours && windlass.exists() {
            "windlass"
        } else {
            "runc"
        };
        let bin = place.path().join("bin");
        fs::create_dir(&bin).expect("a directory");
        let shim = other.map_or_else(|| PathBuf::from(PROGRAM), PathBuf::from);
        symlink(shim, bin.join(format!("containerd-shim-{name}-v2"))).expect("a link");
        let at = place.path().display();
        let config = format!(
            "version = 2\nroot = \"{at}/root\"\nstate = \"{at}/state\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [debug]\nlevel = \"warn\"\n[grpc]\naddress = \"{at}/sock\"\n\
             [plugins.\"io.containerd.internal.v1.opt\"]\npath = \"{at}/opt\"\n"
        );
        fs::write(place.path().join("config.toml"), config).expect("config.toml");
        let rootfs = place.path().join("rootfs");
        for directory in ["bin", "proc", "dev", "sys", "tmp", "run", "etc"] {
            fs::create_dir_all(rootfs.join(directory)).expect("rootfs");
        }
        let busybox = rootfs.join("bin/busybox");
        fs::copy("/bin/busybox", &busybox).expect("busybox-static is installed");
        for name in [
            "sh", "cat", "echo", "kill", "sleep", "stty", "tail", "true", "tty",
        ] {
            symlink("busybox", busybox.with_file_name(name)).expect("a link");
        }
        let mut containerd = Containerd {
            place,
            namespace,
            runtime: format!("io.containerd.{name}.v2"),
            is_ours,
            daemon: None,
            containers: AtomicU32::new(0),
        };
        containerd.run_daemon();
        Some(containerd)
    }

    /// Starts the daemon, and waits until it answers.
    pub fn run_daemon(&mut self) {
        let path = std::env::var("PATH").expect("PATH");
        let log = fs::File::options()
            .append(true)
            .create(true)
            .open(self.place.path().join("log"))
            .expect("the log");
        let daemon = Command::new("containerd")
            .arg("--config")
            .arg(self.place.path().join("config.toml"))
            .env(
                "PATH",
                format!("{}/bin:{path}", self.place.path().display()),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.daemon = Some(daemon.expect("containerd starts"));
        eventually("containerd answers", || self.ctr(&["version"]).status == 0);
    }

    /// Ends the daemon with a SIGKILL.
    pub fn kill_daemon(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().expect("kill");
            daemon.wait().expect("wait");
        }
    }

    /// What the daemon logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.place.path().join("log")).unwrap_or_default()
    }

    pub fn rootfs(&self) -> PathBuf {
        self.place.path().join("rootfs")
    }

    pub fn new_id(&self) -> String {
        format!("c{}", self.containers.fetch_add(1, Ordering::Relaxed))
    }

    /// `ctr … ARGUMENTS`.
    pub fn ctr_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command
            .arg("--address")
            .arg(self.place.path().join("sock"))
            .args(["--namespace", &self.namespace])
            .args(arguments);
        command
    }

    /// The same, without standard input.
    pub fn ctr(&self, arguments: &[&str]) -> Said {
        finish(self.ctr_command(arguments).stdin(Stdio::null()))
    }

    /// The same, which has to succeed; what it prints.
    pub fn ask(&self, arguments: &[&str]) -> String {
        let said = self.ctr(arguments);
        assert_eq!(
            said.status,
            0,
            "ctr {arguments:?}: {}\n{}",
            said.stderr,
            self.log()
        );
        said.stdout
    }

    /// `ctr run OPTIONS --rootfs ROOTFS ID sh -c SCRIPT`.
    pub fn run_command(&self, options: &[&str], id: &str, script: &str) -> Command {
        let mut command = self.ctr_command(&["run", "--runtime", &self.runtime]);
        command
            .args(options)
            .args(["--env", "PATH=/bin", "--rootfs"])
            .arg(self.rootfs())
            .arg(id);
        command.args(["sh", "-c", script]);
        command
    }

    pub fn run(&self, options: &[&str], script: &str) -> Said {
        let options: Vec<&str> = [&["--rm"], options].concat();
        let mut command = self.run_command(&options, &self.new_id(), script);
        finish(command.stdin(Stdio::null()))
    }

    /// Runs a container in the background; its id.
    pub fn run_detached(&self, options: &[&str], script: &str) -> String {
        let id = self.new_id();
        let options: Vec<&str> = [&["-d"], options].concat();
        let mut command = self.run_command(&options, &id, script);
        // What ctr leaves running must not hold our pipes.
        let log = self.place.path().join("ctr-log");
        let said = fs::File::create(&log).expect("a file");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said);
        let status = command.status().expect("ctr starts");
        let said = fs::read_to_string(&log).expect("what it said");
        assert!(status.success(), "{said}\n{}", self.log());
        id
    }

    /// `RUNNING`, `STOPPED` …; empty if containerd knows no such task.
    pub fn status(&self, id: &str) -> String {
        let tasks = self.ask(&["task", "ls"]);
        let line = tasks
            .lines()
            .find(|line| line.split_whitespace().next() == Some(id));
        line.and_then(|line| line.split_whitespace().nth(2))
            .unwrap_or_default()
            .to_owned()
    }

    /// The process of a task.
    pub fn pid(&self, id: &str) -> u32 {
        let tasks = self.ask(&["task", "ls"]);
        let line = tasks
            .lines()
            .find(|line| line.split_whitespace().next() == Some(id));
        let pid = line
            .and_then(|line| line.split_whitespace().nth(1))
            .expect("a task");
        pid.parse().expect("a process id")
    }

    pub fn metrics(&self, id: &str) -> Value {
        let json = self.ask(&["task", "metrics", "--format", "json", id]);
        serde_json::from_str(&json).expect("JSON")
    }

    /// Ends and removes a container; all of it goes.
    pub fn remove(&self, id: &str) {
        // It may have ended already.
        self.ctr(&["task", "kill", "--signal", "KILL", "--all", id]);
        eventually("the task can be deleted", || {
            let said = self.ctr(&["task", "rm", id]);
            said.status != 0 && said.stderr.contains("not found") || self.status(id).is_empty()
        });
        self.ask(&["container", "rm", id]);
        self.assert_gone(id);
    }

    /// The shims of this test that run.
    pub fn shims(&self) -> Vec<u32> {
        let processes = fs::read_dir("/proc").expect("/proc").flatten();
        processes
            .filter_map(|entry| {
                let pid = entry.file_name().to_str()?.parse().ok()?;
                let line = fs::read(entry.path().join("cmdline")).ok()?;
                let mut arguments = line.split(|byte| *byte == 0);
                let is_shim = arguments
                    .next()?
                    .windows(15)
                    .any(|part| part == b"containerd-shim");
                let ours = arguments.any(|argument| argument == self.namespace.as_bytes());
                (is_shim && ours).then_some(pid)
            })
            .collect()
    }

    pub fn bundle(&self, id: &str) -> PathBuf {
        let tasks = "state/io.containerd.runtime.v2.task";
        self.place.path().join(tasks).join(&self.namespace).join(id)
    }

    /// The cgroups of a container that there still are.
    pub fn cgroups(&self, id: &str) -> Vec<PathBuf> {
        let hierarchies = fs::read_dir("/sys/fs/cgroup").expect("cgroups").flatten();
        let own = |root: PathBuf| root.join(&self.namespace).join(id);
        let mut places: Vec<PathBuf> = hierarchies.map(|entry| own(entry.path())).collect();
        places.push(own(PathBuf::from("/sys/fs/cgroup")));
        places.retain(|place| place.is_dir());
        places
    }

    /// The mounts in this test's directories.
    pub fn mounts(&self) -> Vec<String> {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
        let at = self.place.path().to_str().expect("UTF-8");
        mounts
            .lines()
            .filter(|line| line.contains(at))
            .map(str::to_owned)
            .collect()
    }

    /// Nothing of a container is left on the machine.
    pub fn assert_gone(&self, id: &str) {
        eventually("nothing of the container is left", || {
            let runtime = Path::new("/run/containerd/runc")
                .join(&self.namespace)
                .join(id);
            !self.bundle(id).exists() && !runtime.exists() && self.cgroups(id).is_empty()
        });
        let mounts = self.mounts();
        assert!(
            !mounts.iter().any(|line| line.contains(&format!("/{id}/"))),
            "{mounts:?}"
        );
    }

    /// No container is left, and no shim.
    pub fn assert_idle(&self) {
        eventually("the shims have ended", || self.shims().is_empty());
        assert_eq!(self.mounts(), Vec::<String>::new());
    }

    /// A program that stands for the runtime, a shell script in which `$RUNTIME` is the real one;
    /// the option of `ctr run` that names it.
    pub fn fake_runtime(&self, script: &str) -> [String; 2] {
        let program = self.place.path().join("fake-runtime");
        let real = if self.runtime.contains("windlass") {
            Path::new(PROGRAM).with_file_name("windlass")
        } else {
            PathBuf::from("runc")
        };
        fs::write(
            &program,
            format!("#!/bin/sh\nRUNTIME={}\n{script}\n", real.display()),
        )
        .expect("a script");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("chmod");
        if self.runtime.contains("runc") {
            return ["--runc-binary".to_owned(), program.display().to_string()];
        }
        let config = self.place.path().join("runtime.toml");
        let setting = format!("BinaryName = \"{}\"\n", program.display());
        fs::write(&config, setting).expect("runtime.toml");
        [
            "--runtime-config-path".to_owned(),
            config.display().to_string(),
        ]
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if self.daemon.is_some() {
            for id in self.ctr(&["container", "ls", "-q"]).stdout.lines() {
                self.ctr(&["task", "rm", "--force", id]);
                self.ctr(&["container", "rm", id]);
            }
        }
        self.kill_daemon();
        for shim in self.shims() {
            let pid = i32::try_from(shim)
                .ok()
                .and_then(rustix::process::Pid::from_raw);
            let _ =
                rustix::process::kill_process(pid.expect("a pid"), rustix::process::Signal::KILL);
        }
        for line in self.mounts().iter().rev() {
            if let Some(point) = line.split(' ').nth(1) {
                let _ = rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH);
            }
        }
        let _ = fs::remove_dir_all(Path::new("/run/containerd/runc").join(&self.namespace));
        for hierarchy in fs::read_dir("/sys/fs/cgroup")
            .into_iter()
            .flatten()
            .flatten()
        {
            let _ = fs::remove_dir(hierarchy.path().join(&self.namespace));
        }
        let _ = fs::remove_dir(Path::new("/sys/fs/cgroup").join(&self.namespace));
        if std::thread::panicking() {
            eprintln!("containerd's log:\n{}", self.log());
        }
    }
}
