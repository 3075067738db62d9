//! conmon, used as podman does: by its command line, its sync pipe, its log, its exit file
//! (`docs/conmon.8.md` in containers/conmon).

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use serde_json::Value;

use super::place::Bundle;
use super::process::{wait_for_end, wait_until};
use super::{Outcome, Reader, Running, Supervisor, k8s_file};

/// A conmon under test.
#[derive(Debug)]
pub struct Conmon {
    program: PathBuf,
    runtime: PathBuf,
    directory: PathBuf,
}

impl Conmon {
    /// That program, with a directory for exit files and the runtime's state.
    pub fn new(program: PathBuf, runtime: PathBuf, directory: PathBuf) -> Result<Self> {
        fs::create_dir_all(directory.join("exits"))?;
        Ok(Conmon {
            program,
            runtime,
            directory,
        })
    }

    fn runtime(&self) -> Command {
        let mut command = Command::new(&self.runtime);
        command.arg("--root").arg(self.directory.join("runtime"));
        command
    }

    /// The options of a container and of an exec. `name` is that of what conmon watches, `directory` is
    /// where its sockets and files are.
    fn command(&self, id: &str, directory: &Path, name: &str) -> Command {
        let file = |kind: &str| directory.join(kind);
        let mut command = Command::new(&self.program);
        command
            .args([
                "--api-version",
                "1",
                "--full-attach",
                "--log-level",
                "error",
            ])
            .args(["--cid", id, "--cuuid", name, "--name", name])
            .arg("--runtime")
            .arg(&self.runtime)
            .arg("--runtime-arg")
            .arg(format!(
                "--root={}",
                self.directory.join("runtime").display()
            ))
            .arg("--bundle")
            .arg(directory)
            .arg("--container-pidfile")
            .arg(file("pid"))
            .arg("--conmon-pidfile")
            .arg(file("conmon-pid"))
            .arg("--log-path")
            .arg(format!("k8s-file:{}", file("log").display()))
            .stdin(Stdio::null());
        command
    }
}

/// Runs conmon, and takes the pid, or the error, from the sync pipe, on which more may come.
fn run(mut command: Command) -> Result<(u32, BufReader<File>)> {
    let (ours, theirs) = sync_pipe()?;
    command.env("_OCI_SYNCPIPE", theirs.as_raw_fd().to_string());
    let output = command.output().context("run conmon")?;
    drop(theirs);
    let mut pipe = BufReader::new(File::from(ours));
    let mut line = String::new();
    pipe.read_line(&mut line)?;
    if !output.status.success() || line.is_empty() {
        bail!(
            "conmon: {}: {line}{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok((number_in(&line)?, pipe))
}

/// The process id, or the exit status, of a message on the sync pipe.
fn number_in(line: &str) -> Result<u32> {
    let message: Value = serde_json::from_str(line)
        .with_context(|| format!("conmon's message {line:?} on its sync pipe"))?;
    ["pid", "exit_code", "data"]
        .iter()
        .find_map(|key| message[*key].as_u64())
        .and_then(|number| u32::try_from(number).ok())
        .with_context(|| format!("conmon reports {line}"))
}

/// A pipe whose writing end is inherited.
fn sync_pipe() -> Result<(OwnedFd, OwnedFd)> {
    let (reading, writing) = rustix::pipe::pipe()?;
    rustix::io::fcntl_setfd(&reading, rustix::io::FdFlags::CLOEXEC)?;
    Ok((reading, writing))
}

impl Supervisor for Conmon {
    fn name(&self) -> &str {
        self.program
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("conmon")
    }

    fn start(&self, bundle: &Bundle, reader: Reader) -> Result<Box<dyn Running>> {
        let mut command = self.command(&bundle.id, &bundle.directory, &bundle.id);
        command.arg("--exit-dir").arg(self.directory.join("exits"));
        if bundle.terminal {
            command.arg("--terminal");
        }
        let (pid, _) = run(command)?;
        let attach = bundle.directory.join("attach");
        if reader != Reader::Quick {
            let stream = connect_to(&attach)?;
            thread::spawn(move || watch(stream, reader));
        }
        let output = self.runtime().arg("start").arg(&bundle.id).output()?;
        if !output.status.success() {
            bail!("start: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(Box::new(Container {
            conmon: Conmon {
                program: self.program.clone(),
                runtime: self.runtime.clone(),
                directory: self.directory.clone(),
            },
            bundle: Bundle {
                id: bundle.id.clone(),
                directory: bundle.directory.clone(),
                terminal: bundle.terminal,
                process: Value::Null,
            },
            pid,
            attach,
        }))
    }
}

/// Connects to the attach socket, whose path may be longer than an address.
fn connect_to(path: &Path) -> Result<UnixStream> {
    let directory = path.parent().context("a directory")?;
    let directory = File::open(directory)?;
    let address = format!("/proc/self/fd/{}/attach", directory.as_raw_fd());
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    wait_until("the attach socket", || {
        Ok(connect(&socket, &SocketAddrUnix::new(address.as_str())?)
            .is_ok()
            .then_some(()))
    })?;
    Ok(UnixStream::from(socket))
}

/// What an attached client does that is slow, or goes away.
fn watch(mut stream: UnixStream, reader: Reader) {
    let mut buffer = [0; 8193];
    for _ in 0..if reader == Reader::Dies {
        20
    } else {
        usize::MAX
    } {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(_) => sleep(Duration::from_millis(1)),
        }
    }
}

#[derive(Debug)]
struct Container {
    conmon: Conmon,
    bundle: Bundle,
    pid: u32,
    attach: PathBuf,
}

/// Once conmon has ended: what the log holds.
fn outcome(
    directory: &Path,
    terminal: bool,
    status: impl FnOnce() -> Result<u32>,
) -> Result<Outcome> {
    let conmon = fs::read_to_string(directory.join("conmon-pid"))?
        .trim()
        .parse()?;
    wait_for_end(conmon, "conmon")?;
    let arrived = Instant::now();
    let [stdout, stderr] = k8s_file::read(&directory.join("log"), terminal)?;
    Ok(Outcome {
        status: status()?,
        arrived,
        stdout,
        stderr,
    })
}

impl Running for Container {
    fn container(&self) -> u32 {
        self.pid
    }

    fn exec(&mut self, name: &str, file: &Path) -> Result<Outcome> {
        // As podman does it: a directory of its own, or its socket would take the container's place.
        let directory = self.bundle.directory.join(name);
        fs::create_dir(&directory)?;
        let mut command = self.conmon.command(&self.bundle.id, &directory, name);
        command.arg("--exec").arg("--exec-process-spec").arg(file);
        let (_, mut pipe) = run(command)?;
        let outcome = outcome(&directory, false, || {
            let mut line = String::new();
            pipe.read_line(&mut line)?;
            number_in(&line)
        });
        fs::remove_dir_all(directory)?;
        outcome
    }

    fn look_in(&mut self) -> Result<()> {
        drop(connect_to(&self.attach)?);
        Ok(())
    }

    fn kill(&mut self) -> Result<()> {
        let output = self
            .conmon
            .runtime()
            .args(["kill", &self.bundle.id, "KILL"])
            .output()?;
        if !output.status.success() {
            bail!("kill: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Outcome> {
        let outcome = outcome(&self.bundle.directory, self.bundle.terminal, || {
            let file = self.conmon.directory.join("exits").join(&self.bundle.id);
            let status =
                fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
            fs::remove_file(file)?;
            Ok(status.trim().parse()?)
        });
        self.conmon
            .runtime()
            .args(["delete", "--force", &self.bundle.id])
            .output()?;
        outcome
    }
}
