//! What conmon's callers do: podman's or CRI-O's part of the contract, by hand.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with,
};
use serde_json::Value;

use crate::harness::{Said, Shim, eventually, finish, is_alive, new_id};

/// Whose conmon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Ours,
    Conmon,
}

impl Program {
    /// Says so if it isn't.
    pub fn conmon_is_installed() -> bool {
        let installed = finish(Command::new("sh").args(["-c", "command -v \"${CONMON:-conmon}\""]));
        if installed.status != 0 {
            println!("skipped: conmon is not installed");
        }
        installed.status == 0
    }
}

/// One container and all that its conmon is told of it.
pub struct Caller {
    pub shim: Shim,
    pub id: String,
    pub program: Program,
    path: PathBuf,
    /// Supervisors that may still be there.
    supervisors: RefCell<Vec<u64>>,
}

/// A conmon that has been started, seen through its pipes.
pub struct Started {
    /// The process that was started, which ends as soon as its child is there, unless `--sync`.
    pub child: Child,
    sync: BufReader<File>,
    start: Option<OwnedFd>,
    attach: Option<BufReader<File>>,
}

impl Caller {
    /// With a bundle whose container runs `script`.
    pub fn new(program: Program, script: &str) -> Self {
        let shim = Shim::new();
        shim.script(script);
        let place = shim.place.path();
        let path = match program {
            Program::Ours => place.join("windlass-conmon"),
            Program::Conmon => {
                PathBuf::from(std::env::var("CONMON").unwrap_or_else(|_| "conmon".to_owned()))
            }
        };
        if program == Program::Ours {
            symlink(env!("CARGO_BIN_EXE_windlass-shim"), &path).unwrap();
        }
        for directory in ["exits", "persist", "sockets"] {
            fs::create_dir(place.join(directory)).unwrap();
        }
        Caller {
            id: new_id(),
            program,
            path,
            shim,
            supervisors: RefCell::default(),
        }
    }

    pub fn is_ours(&self) -> bool {
        self.program == Program::Ours
    }

    pub fn place(&self, name: &str) -> PathBuf {
        self.shim.place.path().join(name)
    }

    /// A path as an option's value.
    pub fn text(&self, name: &str) -> String {
        self.place(name).to_str().unwrap().to_owned()
    }

    /// The bare program.
    pub fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command
            .args(arguments)
            .current_dir(self.shim.place.path())
            .stdin(Stdio::null());
        for pipe in ["_OCI_SYNCPIPE", "_OCI_STARTPIPE", "_OCI_ATTACHPIPE"] {
            command.env_remove(pipe);
        }
        command
    }

    /// The program with the options that every caller gives, and a k8s-file log unless `options`
    /// name another.
    pub fn command(&self, options: &[&str]) -> Command {
        let runtime = fs::canonicalize(crate::harness::which(&self.shim.runtime)).unwrap();
        let mut command = self.bare(&["--api-version", "1", "-c", &self.id, "-u", &self.id]);
        command.arg("-r").arg(runtime);
        command.arg("--runtime-arg").arg("--root");
        command.arg("--runtime-arg").arg(self.place("state"));
        command.args(["--exit-dir", &self.text("exits"), "--full-attach"]);
        command.args(["--persist-dir", &self.text("persist")]);
        command.args(["--conmon-pidfile", &self.text("conmon.pid")]);
        if !options
            .iter()
            .any(|option| ["-e", "--exec"].contains(option))
        {
            command.arg("-b").arg(self.shim.bundle());
            command.args(["-p", &self.text("container.pid")]);
        }
        let is_log = |option: &&str| ["-l", "--log-path"].contains(option);
        if !options.iter().any(is_log) {
            command.args(["-l", &format!("k8s-file:{}", self.text("log"))]);
        }
        command.args(options);
        command
    }

    /// Starts it with a sync pipe, and a start pipe if `waits`.
    pub fn begin(&self, options: &[&str], waits: bool) -> Started {
        Started::begin(self.command(options), options, waits)
    }

    /// Creates the container, which has to work, and does not start it; returns its pid.
    pub fn create(&self, options: &[&str]) -> (Started, u64) {
        let mut started = self.begin(options, false);
        let said = started.said();
        let pid = said["data"].as_i64().unwrap();
        assert!(pid > 0, "{said}");
        self.note_supervisor();
        (started, u64::try_from(pid).unwrap())
    }

    /// Creates and starts the container.
    pub fn run(&self, options: &[&str]) -> (Started, u64) {
        let created = self.create(options);
        self.start();
        created
    }

    pub fn start(&self) {
        let said = self.runtime(&["start", &self.id]);
        assert_eq!(said.status, 0, "{said:?}");
    }

    /// The runtime, with the state directory that conmon was given.
    pub fn runtime(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(&self.shim.runtime);
        command.arg("--root").arg(self.place("state"));
        finish(command.args(arguments).stdin(Stdio::null()))
    }

    /// The supervisor's own process id, from its pid file; that is written by the process that it is a
    /// child of, while it may already have told of its container.
    pub fn supervisor(&self) -> u64 {
        let read = || fs::read_to_string(self.place("conmon.pid"));
        eventually("there is conmon's pid file", || read().is_ok());
        read().unwrap().parse().unwrap()
    }

    pub fn note_supervisor(&self) {
        if self.place("conmon.pid").exists() {
            self.supervisors.borrow_mut().push(self.supervisor());
        }
    }

    /// Waits until the supervisor has gone.
    pub fn await_end(&self) {
        let supervisor = self.supervisor();
        eventually("conmon ends", || !is_alive(supervisor));
    }

    /// The status in the exit file, waiting for it.
    pub fn exit_status(&self) -> String {
        let path = self.place("exits").join(&self.id);
        eventually("there is an exit file", || path.exists());
        fs::read_to_string(path).unwrap()
    }

    pub fn log(&self) -> Vec<u8> {
        fs::read(self.place("log")).unwrap()
    }

    /// What the log holds of a stream.
    pub fn logged(&self, stream: &str) -> Vec<u8> {
        logged(&self.log(), stream)
    }

    /// Connects to the attach socket.
    pub fn attach(&self) -> Attached {
        if self.is_ours() {
            return Attached::connect(&self.shim.bundle().join("attach"));
        }
        // conmon takes in one client a turn, and those who have connected but not been taken in
        // miss what the container writes meanwhile.
        let supervisor = self.supervisor();
        let before = sockets_of(supervisor);
        let attached = Attached::connect(&self.shim.bundle().join("attach"));
        eventually("the client is taken in", || {
            !sockets_of(supervisor).is_subset(&before)
        });
        attached
    }

    /// Writes a file with what is to be executed, and returns its path.
    pub fn process(&self, script: &str, terminal: bool) -> String {
        let config = fs::read(self.shim.bundle().join("config.json")).unwrap();
        let config: Value = serde_json::from_slice(&config).unwrap();
        let mut process = config["process"].clone();
        process["args"] = serde_json::json!(["sh", "-c", script]);
        process["terminal"] = terminal.into();
        fs::write(self.place("process.json"), process.to_string()).unwrap();
        self.text("process.json")
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let said = self.runtime(&["delete", "--force", &self.id]);
        if said.status != 0 && !std::thread::panicking() {
            assert!(said.stderr.contains("not exist"), "{said:?}");
        }
        for supervisor in self.supervisors.take() {
            let mut patience = 4000;
            while is_alive(supervisor) && patience > 0 {
                std::thread::sleep(Duration::from_millis(5));
                patience -= 1;
            }
            if is_alive(supervisor) && !std::thread::panicking() {
                let pid = u32::try_from(supervisor).unwrap();
                crate::harness::signal(pid, rustix::process::Signal::KILL);
                panic!("conmon {supervisor} is still there");
            }
        }
    }
}

impl Started {
    /// Starts a command with a sync pipe, with a start pipe if `waits`, with an attach pipe if
    /// `options` say that it is needed.
    pub fn begin(mut command: Command, options: &[&str], waits: bool) -> Self {
        let pipe = |name: &str, command: &mut Command, ours_reads: bool| {
            let (reader, writer) = std::io::pipe().unwrap();
            let (ours, theirs): (OwnedFd, OwnedFd) = if ours_reads {
                (reader.into(), writer.into())
            } else {
                (writer.into(), reader.into())
            };
            fcntl_setfd(&theirs, FdFlags::empty()).unwrap();
            command.env(name, theirs.as_raw_fd().to_string());
            (ours, theirs)
        };
        let (sync, their_sync) = pipe("_OCI_SYNCPIPE", &mut command, true);
        let start = waits.then(|| pipe("_OCI_STARTPIPE", &mut command, false));
        let attaches = options.contains(&"--exec-attach");
        let attach = attaches.then(|| pipe("_OCI_ATTACHPIPE", &mut command, true));
        let child = command.spawn().unwrap();
        drop(their_sync);
        let (start, _) = start.unzip();
        let (attach, _) = attach.unzip();
        Started {
            child,
            sync: BufReader::new(File::from(sync)),
            start,
            attach: attach.map(|pipe| BufReader::new(File::from(pipe))),
        }
    }

    /// The next line of the sync pipe.
    pub fn said(&mut self) -> Value {
        let mut line = String::new();
        self.sync.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line:?}"))
    }

    /// All that the sync pipe still brings.
    pub fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.sync.read_to_string(&mut rest).unwrap();
        rest
    }

    /// The next line of the attach pipe.
    pub fn attachable(&mut self) -> Value {
        let mut line = String::new();
        self.attach.as_mut().unwrap().read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Lets it go on.
    pub fn go(&mut self) {
        let pipe = self.start.as_ref().unwrap();
        rustix::io::write(pipe, b"1").unwrap();
    }

    /// Whether the sync pipe stays silent for so long.
    pub fn is_silent(&self, time: Duration) -> bool {
        let fd = self.sync.get_ref().as_fd();
        let mut fds = [rustix::event::PollFd::new(
            &fd,
            rustix::event::PollFlags::IN,
        )];
        let time = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: time.subsec_nanos().into(),
        };
        rustix::event::poll(&mut fds, Some(&time)).unwrap() == 0
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.wait();
    }
}

/// The sockets that a process has open, by the names that the kernel gives them.
fn sockets_of(pid: u64) -> BTreeSet<PathBuf> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let targets = descriptors.filter_map(|descriptor| fs::read_link(descriptor.ok()?.path()).ok());
    targets
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .collect()
}

/// A client at the attach socket.
pub struct Attached(pub OwnedFd);

impl Attached {
    pub fn connect(path: &Path) -> Self {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        let directory = File::open(path.parent().unwrap()).unwrap();
        let address = format!("/proc/self/fd/{}/attach", directory.as_raw_fd());
        connect(&socket, &SocketAddrUnix::new(address).unwrap()).unwrap();
        Attached(socket)
    }

    pub fn send(&self, bytes: &[u8]) {
        assert_eq!(send(&self.0, bytes, SendFlags::NOSIGNAL), Ok(bytes.len()));
    }

    pub fn end_input(&self) {
        rustix::net::shutdown(&self.0, rustix::net::Shutdown::Write).unwrap();
    }

    /// One packet, as podman reads it; none at the end.
    pub fn packet(&self) -> Option<(u8, Vec<u8>)> {
        let mut buffer = vec![0; 8192 + 1];
        let (length, whole) = recv(&self.0, &mut buffer[..], RecvFlags::TRUNC).unwrap();
        assert_eq!(length, whole, "a packet too long for podman");
        let (stream, bytes) = buffer[..length].split_first()?;
        Some((*stream, bytes.to_vec()))
    }

    /// All that comes until the end, of stdout and of stderr.
    pub fn rest(&self) -> [Vec<u8>; 2] {
        let mut streams = [Vec::new(), Vec::new()];
        while let Some((stream, bytes)) = self.packet() {
            streams[usize::from(stream) - 2].extend(bytes);
        }
        streams
    }

    /// Reads until stdout has brought `text`.
    pub fn await_text(&self, text: &str) -> String {
        let mut all = String::new();
        while !all.contains(text) {
            let (stream, bytes) = self
                .packet()
                .unwrap_or_else(|| panic!("ended after {all:?}"));
            assert_eq!(stream, 2);
            all.push_str(&String::from_utf8(bytes).unwrap());
        }
        all
    }
}

/// What a k8s-file log holds of one stream, whichever way its times are written.
pub fn logged(log: &[u8], stream: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for record in log.split_inclusive(|byte| *byte == b'\n') {
        let mut fields = record.splitn(4, |byte| *byte == b' ');
        let time = std::str::from_utf8(fields.next().unwrap()).unwrap();
        assert_eq!((&time[10..11], &time[19..20]), ("T", "."), "{time}");
        let (of, tag, text) = (fields.next(), fields.next(), fields.next().unwrap());
        if of != Some(stream.as_bytes()) {
            continue;
        }
        match tag {
            Some(b"F") => bytes.extend_from_slice(text),
            Some(b"P") => bytes.extend_from_slice(&text[..text.len() - 1]),
            tag => panic!("a tag {tag:?}"),
        }
    }
    bytes
}

/// Writes a line into a fifo.
pub fn write_line(path: &Path, line: &str) {
    let mut fifo = fs::OpenOptions::new().write(true).open(path).unwrap();
    fifo.write_all(format!("{line}\n").as_bytes()).unwrap();
}
