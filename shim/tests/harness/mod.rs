//! What the tests share: bundles with a busybox in them, the shim's own program with a state
//! directory of its own, and an end that leaves nothing behind.
//!
//! The runtime is `$WINDLASS_RUNTIME`, or the `windlass` beside the program under test, or runc.
// Not every test program uses all of it.
#![allow(dead_code)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A place for one test: bundle, state directory, and the ids that it has used.
pub struct Shim {
    pub place: TempDir,
    pub runtime: String,
}

/// What a finished command left.
#[derive(Debug)]
pub struct Said {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Said {
            status: output.status.code().expect("ended by a signal"),
            stdout: String::from_utf8(output.stdout).expect("stdout is text"),
            stderr: String::from_utf8(output.stderr).expect("stderr is text"),
        }
    }
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_windlass-shim");

impl Shim {
    pub fn new() -> Self {
        let place = tempfile::Builder::new()
            .prefix("shim-test-")
            .tempdir()
            .expect("a directory");
        let bin = place.path().join("bundle/rootfs/bin");
        fs::create_dir_all(&bin).expect("rootfs");
        for directory in ["proc", "dev", "sys", "tmp"] {
            fs::create_dir(bin.with_file_name(directory)).expect("rootfs");
        }
        fs::copy("/bin/busybox", bin.join("busybox")).expect("busybox-static is installed");
        for name in [
            "sh", "cat", "echo", "sleep", "dd", "stty", "tty", "ls", "true", "kill",
        ] {
            symlink("busybox", bin.join(name)).expect("a link");
        }
        Shim {
            place,
            runtime: runtime(),
        }
    }

    pub fn bundle(&self) -> PathBuf {
        self.place.path().join("bundle")
    }

    pub fn rootfs(&self) -> PathBuf {
        self.bundle().join("rootfs")
    }

    pub fn state_root(&self) -> PathBuf {
        self.place.path().join("state")
    }

    /// The container is to run this shell script.
    pub fn script(&self, script: &str) -> &Self {
        self.configure(|config| config["process"]["args"] = json!(["sh", "-c", script]))
    }

    /// Writes config.json: one that suits, changed by `change`.
    pub fn configure(&self, change: impl FnOnce(&mut Value)) -> &Self {
        let mut config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "terminal": false,
                "user": {"uid": 0, "gid": 0},
                "args": ["true"],
                "env": ["PATH=/bin", "TERM=xterm"],
                "cwd": "/",
                "capabilities": {
                    "bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]
                },
                "noNewPrivileges": true
            },
            "root": {"path": "rootfs", "readonly": true},
            "hostname": "shim",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc"},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                 "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
                {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
                 "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]}
            ],
            "linux": {
                "resources": {"devices": [{"allow": false, "access": "rwm"}]},
                "namespaces": [
                    {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"},
                    {"type": "mount"}
                ]
            }
        });
        change(&mut config);
        let path = self.bundle().join("config.json");
        fs::write(path, config.to_string()).expect("config.json");
        self
    }

    /// `windlass-shim --state … ARGUMENTS`.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .arg("--state")
            .arg(self.state_root())
            .args(arguments);
        command
    }

    /// `windlass-shim … run OPTIONS --runtime … --bundle … ID`.
    pub fn run_command(&self, options: &[&str], id: &str) -> Command {
        let mut command = self.command(&["run"]);
        command.args(options).arg("--runtime").arg(&self.runtime);
        command.arg("--bundle").arg(self.bundle()).arg(id);
        command
    }

    /// Carries out a verb whose standard input is empty.
    pub fn say(&self, arguments: &[&str]) -> Said {
        finish(self.command(arguments).stdin(Stdio::null()))
    }

    pub fn run(&self, options: &[&str], id: &str) -> Said {
        finish(self.run_command(options, id).stdin(Stdio::null()))
    }

    /// Runs a container in the background, which has to work without a word.
    pub fn run_detached(&self, options: &[&str], id: &str) {
        let options: Vec<&str> = [&["-d"], options].concat();
        let said = self.run(&options, id);
        assert_eq!(
            (said.status, said.stdout.as_str(), said.stderr.as_str()),
            (0, "", "")
        );
    }

    pub fn record(&self, id: &str) -> PathBuf {
        self.state_root().join(id)
    }

    pub fn state(&self, id: &str) -> Value {
        let json = fs::read(self.record(id).join("state.json")).expect("state.json");
        serde_json::from_slice(&json).expect("state.json is JSON")
    }

    pub fn log(&self, id: &str) -> String {
        fs::read_to_string(self.record(id).join("log")).expect("the log")
    }

    /// Whether `run` has come so far.
    pub fn is_running(&self, id: &str) -> bool {
        self.record(id).join("state.json").exists() && self.state(id)["status"] == "running"
    }

    /// Whether the runtime knows the container.
    pub fn runtime_knows(&self, id: &str) -> bool {
        let mut command = Command::new(&self.runtime);
        finish(command.args(["state", id]).stdin(Stdio::null())).status == 0
    }

    /// Nothing of a container is left: no record, nothing in the runtime.
    pub fn assert_gone(&self, id: &str) {
        assert!(!self.record(id).exists(), "the record of {id} is left");
        assert!(!self.runtime_knows(id), "{} still knows {id}", self.runtime);
    }

    /// A program that stands for the runtime: a shell script in which `$RUNTIME` is the real one.
    pub fn fake_runtime(&mut self, script: &str) {
        let path = self.place.path().join("fake-runtime");
        let real = which(&self.runtime);
        let text = format!("#!/bin/sh\nRUNTIME={}\n{script}\n", real.display());
        fs::write(&path, text).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
        self.runtime = path.into_os_string().into_string().expect("UTF-8");
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        let Ok(records) = fs::read_dir(self.state_root()) else {
            return;
        };
        for record in records.flatten() {
            let id = record.file_name().into_string().expect("UTF-8");
            let said = self.say(&["rm", "--force", &id]);
            assert!(
                said.status == 0 || std::thread::panicking(),
                "cleaning up {id}: {said:?}"
            );
        }
    }
}

/// Waits for a command, with its output.
pub fn finish(command: &mut Command) -> Said {
    command.output().expect("the command starts").into()
}

fn runtime() -> String {
    if let Some(runtime) = std::env::var_os("WINDLASS_RUNTIME") {
        return runtime.into_string().expect("UTF-8");
    }
    let sibling = Path::new(PROGRAM).with_file_name("windlass");
    if sibling.exists() {
        sibling.to_str().expect("UTF-8").to_owned()
    } else {
        "runc".to_owned()
    }
}

pub fn which(program: &str) -> PathBuf {
    if program.contains('/') {
        return PathBuf::from(program);
    }
    let path = std::env::var_os("PATH").expect("PATH");
    let mut candidates = std::env::split_paths(&path).map(|directory| directory.join(program));
    candidates
        .find(|candidate| candidate.exists())
        .expect("the runtime is on PATH")
}

/// An id that no other test, of this or another run, has.
pub fn new_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!(
        "shim-test-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Waits until something is so, at most 20 s.
pub fn eventually(what: &str, condition: impl FnMut() -> bool) {
    let mut condition = condition;
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "it never came about that {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a signal to a process of ours.
pub fn signal(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, signal).expect("kill");
}

/// Whether a process is there and no zombie.
pub fn is_alive(pid: u64) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").starts_with(" Z"))
}

/// A child that does not outlive its test.
pub struct Owned(pub Child);

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Bytes that look random and are the same every time (xorshift64*).
pub fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// What a k8s-file log holds of one stream; checks the form of every record.
pub fn logged(log: &[u8], stream: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = log;
    while !rest.is_empty() {
        let end = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .expect("the last record is whole");
        let record = &rest[..end];
        rest = &rest[end + 1..];
        let mut fields = record.splitn(4, |byte| *byte == b' ');
        let time = std::str::from_utf8(fields.next().expect("a time")).expect("a time");
        assert_eq!(
            (time.len(), &time[19..20], &time[29..]),
            (30, ".", "Z"),
            "{time}"
        );
        let of = fields.next().expect("a stream");
        assert!([&b"stdout"[..], b"stderr"].contains(&of), "a stream's name");
        let tag = fields.next().expect("a tag");
        let text = fields.next().expect("text");
        assert!(text.len() <= 16 * 1024, "a record of {} bytes", text.len());
        if of != stream.as_bytes() {
            continue;
        }
        bytes.extend_from_slice(text);
        match tag {
            b"F" => bytes.push(b'\n'),
            b"P" => {}
            tag => panic!("a tag {tag:?}"),
        }
    }
    bytes
}

/// Says where two long strings of bytes differ, instead of printing them.
pub fn assert_same(got: &[u8], wanted: &[u8], what: &str) {
    if got != wanted {
        let at = got.iter().zip(wanted).position(|(one, other)| one != other);
        panic!(
            "{what}: {} bytes instead of {}, differing at {at:?}",
            got.len(),
            wanted.len()
        );
    }
}
