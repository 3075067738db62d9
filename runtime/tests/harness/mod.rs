//! A bundle of its own for each test, the built runtime on it, and a look at what is left.

#![allow(dead_code, reason = "each test file uses a part of this")]

pub mod criu;
pub mod sys;

use std::fs::{self, File};
use std::io::{Read as _, Seek as _};
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use rustix::time::Timespec;
use serde_json::{Value, json};

/// The built runtime.
pub const WINDLASS: &str = env!("CARGO_BIN_EXE_windlass");
/// How long anything may take: far more than it needs, on a machine with more to do.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Debian's busybox-static.
const BUSYBOX: &str = "/bin/busybox";

/// A bundle, a state root and a container id that nobody else uses. What a test leaves there is
/// ended and removed when this is dropped, also after a failure.
pub struct Sandbox {
    directory: tempfile::TempDir,
    /// The container's id, which begins with the test's name.
    pub id: String,
    /// config.json, as [`Sandbox::write_config`] writes it.
    pub config: Value,
}

/// What a call of the runtime came to.
pub struct Finished {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
    output: File,
}

impl Sandbox {
    /// A container that sleeps, with limits, devices and a cgroup path whose parents are missing.
    pub fn new(test: &str) -> Sandbox {
        let directory = tempfile::Builder::new()
            .prefix(&format!("{test}-"))
            .tempdir()
            .unwrap();
        let suffix = directory.path().to_str().unwrap().rsplit('-').next();
        let id = format!("{test}-{}", suffix.unwrap());
        let rootfs = directory.path().join("bundle/rootfs");
        for name in ["bin", "dev", "etc", "proc", "sys", "tmp"] {
            fs::create_dir_all(rootfs.join(name)).unwrap();
        }
        fs::copy(BUSYBOX, rootfs.join("bin/busybox"))
            .unwrap_or_else(|error| panic!("{BUSYBOX} of busybox-static: {error}"));
        for name in [
            "sh", "sleep", "true", "false", "cat", "id", "env", "hostname", "stty", "ls", "tty",
            "readlink",
        ] {
            symlink("busybox", rootfs.join("bin").join(name)).unwrap();
        }
        fs::write(rootfs.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
        let sandbox = Sandbox {
            config: default_config(&id),
            id,
            directory,
        };
        sandbox.write_config();
        sandbox
    }

    /// Gives the container a user namespace whose ids begin at 100000 on the host.
    pub fn map_ids(&mut self) {
        let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
        let linux = &mut self.config["linux"];
        linux["uidMappings"] = map.clone();
        linux["gidMappings"] = map;
        let namespaces = linux["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({ "type": "user" }));
        // The root of the namespace has to get to its root file system.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(self.directory(), open).unwrap();
    }

    /// The directory that holds all of it.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn bundle(&self) -> PathBuf {
        self.directory().join("bundle")
    }

    pub fn rootfs(&self) -> PathBuf {
        self.directory().join("bundle/rootfs")
    }

    /// `--root`.
    pub fn state_root(&self) -> PathBuf {
        self.directory().join("state")
    }

    /// The container's state directory.
    pub fn state_directory(&self) -> PathBuf {
        self.state_root().join(&self.id)
    }

    pub fn write_config(&self) {
        let text = serde_json::to_string_pretty(&self.config).unwrap();
        self.write_config_text(text);
    }

    pub fn write_config_text(&self, text: impl AsRef<[u8]>) {
        fs::write(self.bundle().join("config.json"), text).unwrap();
    }

    /// Makes the container's program `sh -c SCRIPT`.
    pub fn script(&mut self, script: &str) {
        self.config["process"]["args"] = json!(["/bin/sh", "-c", script]);
        self.write_config();
    }

    /// The runtime with these arguments, in the bundle's directory. `ID` stands for the id.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(WINDLASS);
        command
            .arg("--root")
            .arg(self.state_root())
            .args(arguments.iter().map(|&word| match word {
                "ID" => self.id.as_str(),
                other => other,
            }))
            .current_dir(self.bundle())
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn windlass(&self, arguments: &[&str]) -> Finished {
        finish(&mut self.command(arguments))
    }

    /// Runs it, and it has to succeed.
    #[track_caller]
    pub fn must(&self, arguments: &[&str]) -> Finished {
        let finished = self.windlass(arguments);
        assert!(
            finished.status.success(),
            "{arguments:?}: {}: {}",
            finished.status,
            finished.stderr
        );
        finished
    }

    /// What `state` says.
    #[track_caller]
    pub fn state(&self) -> Value {
        serde_json::from_str(&self.must(&["state", "ID"]).stdout).unwrap()
    }

    /// `status` of the state.
    #[track_caller]
    pub fn status(&self) -> String {
        self.state()["status"].as_str().unwrap().to_owned()
    }

    /// Init's pid.
    #[track_caller]
    pub fn pid(&self) -> i32 {
        i32::try_from(self.state()["pid"].as_i64().unwrap()).unwrap()
    }

    /// Waits until the container has this status.
    #[track_caller]
    pub fn wait_for_status(&self, status: &str) {
        wait_until(&format!("status {status}"), || self.status() == status);
    }

    /// What is left on the host of the container, and of calls of the runtime: nothing, that is
    /// how it should be.
    pub fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.state_root()).into_iter().flatten() {
            found.push(format!(
                "state directory {}",
                entry.unwrap().path().display()
            ));
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let directory = self.directory().to_str().unwrap();
        let of_ours = mounts.lines().filter(|line| line.contains(directory));
        found.extend(of_ours.map(|line| format!("mount {line}")));
        for root in cgroup_roots(&mounts) {
            cgroups_named(&root, &self.id, &mut found);
        }
        found.extend(self.processes().iter().map(|pid| describe_process(*pid)));
        found
    }

    /// Nothing is left; what is about to go may take its time.
    #[track_caller]
    pub fn assert_clean(&self, after: &str) {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let leftovers = self.leftovers();
            if leftovers.is_empty() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "left after {after}:\n{}",
                leftovers.join("\n")
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The runtime's processes on this sandbox, and the container's.
    pub fn processes(&self) -> Vec<i32> {
        let own_mounts = fs::read_link("/proc/self/ns/mnt").unwrap();
        let own_pid = i32::try_from(std::process::id()).unwrap();
        let directory = self.directory().to_str().unwrap();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap() {
            let name = entry.unwrap().file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            let contains = |file: &str, what: &str| {
                fs::read(format!("/proc/{pid}/{file}"))
                    .is_ok_and(|text| String::from_utf8_lossy(&text).contains(what))
            };
            let elsewhere = fs::read_link(format!("/proc/{pid}/ns/mnt"))
                .is_ok_and(|namespace| namespace != own_mounts);
            let ours = contains("cgroup", &self.id)
                || contains("cmdline", directory)
                || (elsewhere && contains("mountinfo", directory));
            if ours && pid != own_pid && !is_dead(pid) {
                found.push(pid);
            }
        }
        found
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for entry in fs::read_dir(self.state_root())
            .into_iter()
            .flatten()
            .flatten()
        {
            let id = entry.file_name();
            let _ = Command::new(WINDLASS)
                .arg("--root")
                .arg(self.state_root())
                .args(["delete", "--force"])
                .arg(id)
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .status();
        }
        // Only after a failure is there more to do.
        for pid in self.processes() {
            let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        for root in cgroup_roots(&mounts) {
            let mut left = Vec::new();
            cgroups_named(&root, &self.id, &mut left);
            for line in left.iter().rev() {
                for _ in 0..100 {
                    let path = line.trim_start_matches("cgroup ");
                    match fs::remove_dir(path) {
                        Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                            std::thread::sleep(Duration::from_millis(10));
                        }
                        _ => break,
                    }
                }
            }
        }
    }
}

impl Finished {
    /// The exit status; a signal is a failure of the test.
    #[track_caller]
    pub fn code(&self) -> i32 {
        assert_eq!(self.status.signal(), None, "killed: {}", self.stderr);
        self.status.code().unwrap()
    }

    /// The one line on standard error that tells why it failed.
    #[track_caller]
    pub fn error_line(&self) -> &str {
        assert!(!self.status.success(), "it succeeded: {}", self.stdout);
        let lines: Vec<&str> = self.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "not one line: {:?}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        assert!(lines[0].contains("level=error msg="), "{}", lines[0]);
        lines[0]
    }

    /// What the container has written to its standard output by now.
    pub fn output_now(&mut self) -> String {
        read_again(&mut self.output)
    }
}

/// Runs a command to its end. Its output goes to files: a container that lives on keeps them open,
/// and a pipe would have to be waited for.
pub fn finish(command: &mut Command) -> Finished {
    let mut output = tempfile::tempfile().unwrap();
    let mut errors = tempfile::tempfile().unwrap();
    command.stdout(output.try_clone().unwrap());
    command.stderr(errors.try_clone().unwrap());
    let mut child = command.spawn().unwrap();
    let status = wait_for(&mut child);
    Finished {
        status,
        stdout: read_again(&mut output),
        stderr: read_again(&mut errors),
        output,
    }
}

/// Waits for a child; one that takes too long is a failure.
#[track_caller]
pub fn wait_for(child: &mut Child) -> ExitStatus {
    let pid = Pid::from_child(child);
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).unwrap();
    let timeout = Timespec::try_from(PATIENCE).unwrap();
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    let ended = poll(&mut fds, Some(&timeout)).unwrap() > 0;
    if !ended {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    assert!(ended, "{pid:?} had not ended after {PATIENCE:?}");
    status
}

/// Waits until something holds.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn read_again(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn default_config(id: &str) -> Value {
    let capabilities = ["CAP_KILL", "CAP_AUDIT_WRITE", "CAP_NET_BIND_SERVICE"];
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": ["/bin/sleep", "1000"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
            },
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs" },
        "hostname": "windlass",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
              "options": ["nosuid", "mode=755", "size=65536k"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
              "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs",
              "options": ["nosuid", "noexec", "nodev", "ro"] },
        ],
        "linux": {
            "cgroupsPath": format!("/{id}/inner/leaf"),
            "namespaces": [
                { "type": "pid" }, { "type": "network" }, { "type": "ipc" },
                { "type": "uts" }, { "type": "mount" },
            ],
            "resources": {
                "devices": [{ "allow": false, "access": "rwm" }],
                "pids": { "limit": 64 },
                "memory": { "limit": 268_435_456 },
                "cpu": { "shares": 512 },
            },
            "maskedPaths": ["/proc/kcore", "/sys/firmware"],
            "readonlyPaths": ["/proc/sys"],
        },
    })
}

/// Where the cgroup hierarchies are mounted.
pub fn cgroup_roots(mountinfo: &str) -> Vec<PathBuf> {
    mountinfo
        .lines()
        .filter(|line| line.contains(" - cgroup ") || line.contains(" - cgroup2 "))
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from)
        .collect()
}

fn cgroups_named(directory: &Path, name: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let path = entry.path();
        if path.to_str().is_some_and(|path| path.contains(name)) {
            found.push(format!("cgroup {}", path.display()));
        }
        cgroups_named(&path, name, found);
    }
}

fn is_dead(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| {
            let state = stat.rsplit(") ").next()?.chars().next()?;
            Some(matches!(state, 'Z' | 'X'))
        })
        .unwrap_or(true)
}

fn describe_process(pid: i32) -> String {
    let read = |file: &str| {
        let text = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        String::from_utf8_lossy(&text).replace(['\0', '\n'], " ")
    };
    format!(
        "process {pid} [{}] in {} of {}",
        read("cmdline"),
        read("wchan"),
        read("cgroup")
    )
}
