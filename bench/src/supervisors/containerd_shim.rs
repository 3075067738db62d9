//! A containerd shim, used as containerd does: `start`, then the task service over ttrpc, with fifos for
//! the streams (`docs/runtime-v2.md` in containerd's repository).

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use prost::Message;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;

use super::pattern::{Received, STREAMS};
use super::place::Bundle;
use super::process::wait_until;
use super::ttrpc::{Client, listen_to_events};
use super::{Outcome, Reader, Running, Supervisor};

const NAMESPACE: &str = "windlass-shim-bench";
const SERVICE: &str = "containerd.task.v2.Task";

#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RuncOptions {
    #[prost(string, tag = "6")]
    binary_name: String,
    #[prost(string, tag = "7")]
    root: String,
}

#[derive(Clone, PartialEq, Message)]
struct Create {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    bundle: String,
    #[prost(bool, tag = "4")]
    terminal: bool,
    #[prost(string, tag = "6")]
    stdout: String,
    #[prost(string, tag = "7")]
    stderr: String,
    #[prost(message, optional, tag = "10")]
    options: Option<Any>,
}

#[derive(Clone, PartialEq, Message)]
struct ExecProcess {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    exec_id: String,
    #[prost(bool, tag = "3")]
    terminal: bool,
    #[prost(string, tag = "5")]
    stdout: String,
    #[prost(string, tag = "6")]
    stderr: String,
    #[prost(message, optional, tag = "7")]
    spec: Option<Any>,
}

/// Of Start, Wait, Delete and State: a container, or an exec in it.
#[derive(Clone, PartialEq, Message)]
struct Process {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    exec_id: String,
}

#[derive(Clone, PartialEq, Message)]
struct Kill {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    exec_id: String,
    #[prost(uint32, tag = "3")]
    signal: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Pid {
    #[prost(uint32, tag = "1")]
    pid: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Exit {
    #[prost(uint32, tag = "1")]
    status: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Nothing {}

/// A shim under test.
#[derive(Debug)]
pub struct ContainerdShim {
    program: PathBuf,
    runtime: PathBuf,
    directory: PathBuf,
}

impl ContainerdShim {
    /// That program, with a directory for its runtime's state and for its events.
    pub fn new(program: PathBuf, runtime: PathBuf, directory: PathBuf) -> Result<Self> {
        fs::create_dir_all(&directory)?;
        listen_to_events(&directory.join("events"))?;
        Ok(ContainerdShim {
            program,
            runtime,
            directory,
        })
    }

    /// `start`: the address of the shim that the container is to have.
    fn address(&self, bundle: &Bundle) -> Result<PathBuf> {
        let mut command = Command::new(&self.program);
        command
            .args([
                "-namespace",
                NAMESPACE,
                "-publish-binary",
                "/bin/true",
                "-id",
                &bundle.id,
            ])
            .arg("-address")
            .arg(self.directory.join("containerd"))
            .arg("start")
            .env("TTRPC_ADDRESS", self.directory.join("events"))
            .env("GOMAXPROCS", "2")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let output = spawn_in(&bundle.directory, &mut command)
            .and_then(Child::wait_with_output)
            .with_context(|| format!("run {}", self.program.display()))?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!(
                "{} start: {}{said}",
                self.name(),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        // An address alone, or an object that holds it.
        let object: Option<Value> = serde_json::from_str(&said).ok();
        let address = object
            .as_ref()
            .and_then(|object| object["address"].as_str())
            .unwrap_or(said.trim());
        Ok(PathBuf::from(
            address.strip_prefix("unix://").unwrap_or(address),
        ))
    }
}

/// Starts a command in a directory, which we all go to for a moment: a command that is told to go there
/// itself would be a fork of us, and that costs more than what is measured.
fn spawn_in(directory: &Path, command: &mut Command) -> io::Result<Child> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock();
    env::set_current_dir(directory)?;
    let child = command.spawn();
    env::set_current_dir("/")?;
    child
}

impl Supervisor for ContainerdShim {
    fn name(&self) -> &str {
        self.program
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("shim")
    }

    fn knows_pods(&self) -> bool {
        true
    }

    fn start(&self, bundle: &Bundle, reader: Reader) -> Result<Box<dyn Running>> {
        // Its log is a fifo, which containerd keeps open.
        let log = bundle.directory.join("log");
        make_fifo(&log)?;
        let log = OpenOptions::new().read(true).write(true).open(log)?;
        let mut client = Client::connect(&self.address(bundle)?, SERVICE)?;
        let streams = Streams::open(&bundle.directory, "init", bundle.terminal, reader)?;
        let options = RuncOptions {
            binary_name: self.runtime.to_string_lossy().into_owned(),
            root: self
                .directory
                .join("runtime")
                .to_string_lossy()
                .into_owned(),
        };
        let _: Pid = client.call(
            "Create",
            &Create {
                id: bundle.id.clone(),
                bundle: bundle.directory.to_string_lossy().into_owned(),
                terminal: bundle.terminal,
                stdout: streams.path(0),
                stderr: streams.path(1),
                options: Some(Any {
                    type_url: "containerd.runc.v1.Options".into(),
                    value: options.encode_to_vec(),
                }),
            },
        )?;
        let process = Process {
            id: bundle.id.clone(),
            exec_id: String::new(),
        };
        let started: Pid = client.call("Start", &process)?;
        Ok(Box::new(Container {
            client,
            process,
            pid: started.pid,
            streams,
            bundle: bundle.directory.clone(),
            _log: log,
        }))
    }
}

#[derive(Debug)]
struct Container {
    client: Client,
    process: Process,
    pid: u32,
    streams: Streams,
    bundle: PathBuf,
    _log: File,
}

impl Running for Container {
    fn container(&self) -> u32 {
        self.pid
    }

    fn exec(&mut self, name: &str, file: &Path) -> Result<Outcome> {
        let streams = Streams::open(&self.bundle, name, false, Reader::Quick)?;
        let process = Process {
            id: self.process.id.clone(),
            exec_id: name.to_owned(),
        };
        let _: Nothing = self.client.call(
            "Exec",
            &ExecProcess {
                id: process.id.clone(),
                exec_id: process.exec_id.clone(),
                terminal: false,
                stdout: streams.path(0),
                stderr: streams.path(1),
                spec: Some(Any {
                    type_url: "types.containerd.io/opencontainers/runtime-spec/1/Process".into(),
                    value: fs::read(file)?,
                }),
            },
        )?;
        let _: Pid = self.client.call("Start", &process)?;
        let exit: Exit = self.client.call("Wait", &process)?;
        // Containerd's client reads to the end before it deletes: that closes fifos that nobody reads.
        let outcome = streams.received(exit.status)?;
        let _: Nothing = self.client.call("Delete", &process)?;
        Ok(outcome)
    }

    fn look_in(&mut self) -> Result<()> {
        // containerd's own clients come and go at the fifos.
        drop(OpenOptions::new().read(true).open(self.streams.path(0))?);
        let _: Nothing = self.client.call("State", &self.process)?;
        Ok(())
    }

    fn kill(&mut self) -> Result<()> {
        let Process { id, exec_id } = self.process.clone();
        let _: Nothing = self.client.call(
            "Kill",
            &Kill {
                id,
                exec_id,
                signal: 9,
            },
        )?;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Outcome> {
        let exit: Exit = self.client.call("Wait", &self.process)?;
        let outcome = self.streams.received(exit.status);
        let _: Nothing = self.client.call("Delete", &self.process)?;
        // It may close the connection instead of answering; one with further containers stays.
        let _ = self.client.call::<Nothing>("Shutdown", &self.process);
        outcome
    }
}

fn make_fifo(path: &Path) -> Result<()> {
    mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o700), 0)
        .with_context(|| format!("mkfifo {}", path.display()))
}

/// The fifos of a process, and what comes out of them.
#[derive(Debug)]
struct Streams {
    paths: Vec<PathBuf>,
    readers: Vec<JoinHandle<Result<Received>>>,
}

impl Streams {
    /// Makes the fifos, and has them read; a terminal has one.
    fn open(directory: &Path, name: &str, terminal: bool, reader: Reader) -> Result<Self> {
        let mut streams = Streams {
            paths: Vec::new(),
            readers: Vec::new(),
        };
        for (stream, _) in STREAMS.iter().zip(0..if terminal { 1 } else { 2 }) {
            let path = directory.join(format!("{name}.{stream}"));
            make_fifo(&path)?;
            let (stream, fifo) = (*stream, path.clone());
            streams
                .readers
                .push(thread::spawn(move || read(&fifo, stream, terminal, reader)));
            streams.paths.push(path);
        }
        Ok(streams)
    }

    /// The path of the first or the second, empty if there is none.
    fn path(&self, number: usize) -> String {
        self.paths
            .get(number)
            .map_or_else(String::new, |path| path.to_string_lossy().into_owned())
    }

    /// Everything, once the shim has closed the fifos.
    fn received(self, status: u32) -> Result<Outcome> {
        let mut received = Vec::new();
        for (path, reader) in self.paths.iter().zip(self.readers) {
            let what = format!("the end of {}", path.display());
            wait_until(&what, || Ok(reader.is_finished().then_some(())))?;
            match reader.join() {
                Ok(read) => received.push(read?),
                Err(_) => bail!("reading {} ended early", path.display()),
            }
            fs::remove_file(path)?;
        }
        let arrived = Instant::now();
        let mut received = received.into_iter();
        let nothing = |stream| Received::nothing(stream, false);
        Ok(Outcome {
            status,
            arrived,
            stdout: received.next().unwrap_or_else(|| nothing(1)),
            stderr: received.next().unwrap_or_else(|| nothing(2)),
        })
    }
}

fn read(fifo: &Path, stream: u64, terminal: bool, reader: Reader) -> Result<Received> {
    const AT_ONCE: usize = 4096;
    let open = || File::open(fifo).with_context(|| format!("open {}", fifo.display()));
    let mut received = Received::nothing(stream, terminal);
    let mut file = open()?;
    match reader {
        Reader::Quick => received.take_all(&mut file)?,
        Reader::Slow => {
            let mut buffer = [0; AT_ONCE];
            loop {
                match file.read(&mut buffer)? {
                    0 => break,
                    size => received.take(&buffer[..size]),
                }
                sleep(Duration::from_millis(1));
            }
        }
        Reader::Dies => {
            let mut buffer = [0; AT_ONCE];
            for _ in 0..100 {
                let size = file.read(&mut buffer)?;
                received.take(&buffer[..size]);
            }
            drop(file);
            sleep(Duration::from_millis(200));
            received.take_all(&mut open()?)?;
        }
    }
    Ok(received)
}
