//! A host of a test's own: a network and a mount namespace, so that bridges, rules and held
//! namespaces are nobody else's and go when the test ends.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub struct Host {
    process: Child,
    pub directory: TempDir,
}

impl Host {
    pub fn new() -> Self {
        let host = Host {
            process: spawn(Command::new("unshare").args(["--net", "--mount", "sleep", "1000"])),
            directory: tempfile::Builder::new()
                .prefix("img-network-")
                .tempdir()
                .unwrap(),
        };
        wait_for_namespace(host.process.id());
        host.run("ip", &["link", "set", "lo", "up"]);
        host
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A program on this host.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.process.id()))
            .args(["--net", "--mount", "--"])
            .arg(program);
        command
    }

    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program).args(arguments).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// A program on this host that is ended with the test.
    pub fn program(&self, program: &str, arguments: &[&str]) -> Process {
        let process = spawn(self.command(program).args(arguments));
        let host = namespace(self.process.id());
        wait_until_namespace(|| namespace(process.id()) == host);
        Process(process)
    }

    /// A process in a network namespace of its own.
    pub fn process(&self) -> Process {
        let process = spawn(self.command("unshare").args(["--net", "sleep", "1000"]));
        wait_for_namespace(process.id());
        let host = namespace(self.process.id());
        wait_until_namespace(|| namespace(process.id()) != host);
        Process(process)
    }

    /// Removes the cgroups of a container that no runtime knows any more.
    pub fn remove_cgroups(&self, id: &str) {
        let prefix = self.directory.path().file_name().unwrap().to_str().unwrap();
        let root = Path::new("/sys/fs/cgroup");
        let hierarchies = std::fs::read_dir(root).unwrap().flatten();
        let hierarchies = hierarchies.map(|entry| entry.path());
        for hierarchy in hierarchies.chain([root.to_owned()]) {
            let cgroup = hierarchy.join(format!("{prefix}-{id}"));
            let until = Instant::now() + Duration::from_secs(10);
            while cgroup.exists() && std::fs::remove_dir(&cgroup).is_err() {
                // Its last process is still on its way out.
                assert!(Instant::now() < until, "{}", cgroup.display());
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// What the rules of its firewall say of something.
    pub fn rules_with(&self, text: &str) -> Vec<String> {
        let all = ["nat", "filter"].map(|table| self.run("iptables", &["-t", table, "-S"]));
        let with = |line: &&str| line.contains(text);
        all.iter()
            .flat_map(|rules| rules.lines().filter(with).map(str::to_owned))
            .collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub struct Process(Child);

impl Process {
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// A program in its network that is ended with the test.
    pub fn program(&self, program: &str, arguments: &[&str]) -> Process {
        Process(spawn(self.command(program).args(arguments)))
    }

    /// Waits for its own end.
    pub fn wait(mut self) {
        self.0.wait().unwrap();
    }

    /// A program in its network.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.pid()));
        command.args(["--net", "--", program]);
        command
    }

    pub fn end(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn(command: &mut Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn namespace(pid: u32) -> PathBuf {
    let path = Path::new("/proc").join(pid.to_string()).join("ns/net");
    std::fs::read_link(path).unwrap()
}

fn wait_for_namespace(pid: u32) {
    let ours = namespace(std::process::id());
    wait_until_namespace(|| namespace(pid) != ours);
}

fn wait_until_namespace(is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < until, "no network namespace");
        std::thread::sleep(Duration::from_millis(5));
    }
}
