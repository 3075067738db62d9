//! windlass-shim, used as a person does: `run --detach` with a log, `exec` by the runtime, `attach`,
//! `wait`, `rm`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::pattern::Received;
use super::place::Bundle;
use super::{Outcome, Reader, Running, Supervisor, k8s_file};

/// The program under test.
#[derive(Debug, Clone)]
pub struct ByHand {
    program: PathBuf,
    runtime: PathBuf,
    directory: PathBuf,
}

impl ByHand {
    /// That program, with a directory for its state.
    pub fn new(program: PathBuf, runtime: PathBuf, directory: PathBuf) -> Self {
        ByHand {
            program,
            runtime,
            directory,
        }
    }

    fn shim(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg(verb)
            .arg("--state")
            .arg(self.directory.join("state"))
            .stdin(Stdio::null());
        command
    }

    fn runtime(&self) -> Command {
        let mut command = Command::new(&self.runtime);
        command
            .arg("--root")
            .arg(self.directory.join("runtime"))
            .stdin(Stdio::null());
        command
    }
}

/// Runs a command, which has to work, and returns what it says.
fn say(mut command: Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

impl Supervisor for ByHand {
    fn name(&self) -> &'static str {
        "by hand"
    }

    fn start(&self, bundle: &Bundle, reader: Reader) -> Result<Box<dyn Running>> {
        let log = bundle.directory.join("log");
        let mut command = self.shim("run");
        command
            .arg("--detach")
            .arg("--runtime")
            .arg(&self.runtime)
            .arg("--root");
        command
            .arg(self.directory.join("runtime"))
            .arg("--log")
            .arg(&log);
        if bundle.terminal {
            command.arg("--tty");
        }
        say({
            command
                .arg("--bundle")
                .arg(&bundle.directory)
                .arg(&bundle.id);
            command
        })?;
        if reader != Reader::Quick {
            let mut attach = self.shim("attach");
            let mut attached = attach
                .arg(&bundle.id)
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()?;
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                if let Some(output) = attached.stdout.as_mut() {
                    for _ in 0..if reader == Reader::Dies {
                        20
                    } else {
                        usize::MAX
                    } {
                        if output.read(&mut buffer).unwrap_or(0) == 0 {
                            break;
                        }
                        sleep(Duration::from_millis(1));
                    }
                }
                let _ = attached.kill();
                let _ = attached.wait();
            });
        }
        Ok(Box::new(Container {
            shim: self.clone(),
            id: bundle.id.clone(),
            terminal: bundle.terminal,
            log,
        }))
    }
}

#[derive(Debug)]
struct Container {
    shim: ByHand,
    id: String,
    terminal: bool,
    log: PathBuf,
}

impl Running for Container {
    fn container(&self) -> u32 {
        // `run` doesn't say it; asked for only here, so that it counts in no time that is measured. It may
        // have ended, and be gone, by now.
        let mut state = self.shim.runtime();
        state.args(["state", &self.id]);
        say(state)
            .ok()
            .and_then(|said| serde_json::from_str::<Value>(&said).ok())
            .and_then(|state| state["pid"].as_u64())
            .and_then(|pid| u32::try_from(pid).ok())
            .unwrap_or_default()
    }

    fn exec(&mut self, _name: &str, file: &Path) -> Result<Outcome> {
        // The shim has no part in it: its streams are the caller's.
        let mut exec = self.shim.runtime();
        exec.args(["exec", "--process"]).arg(file).arg(&self.id);
        let (read, written) = std::io::pipe()?;
        let mut child = exec.stdout(written).stderr(Stdio::piped()).spawn()?;
        drop(exec);
        let [mut stdout, mut stderr] = [1, 2].map(|stream| Received::nothing(stream, false));
        let errors = child.stderr.take().context("a pipe")?;
        let reader = thread::spawn(move || stderr.take_all(&mut { errors }).map(|()| stderr));
        stdout.take_all(&mut { read })?;
        let stderr = reader
            .join()
            .map_err(|_| anyhow::anyhow!("reading ended early"))??;
        let status = child
            .wait()?
            .code()
            .and_then(|code| u32::try_from(code).ok())
            .unwrap_or(255);
        Ok(Outcome {
            status,
            arrived: Instant::now(),
            stdout,
            stderr,
        })
    }

    fn look_in(&mut self) -> Result<()> {
        let mut attach = self.shim.shim("attach");
        let mut attached = attach
            .arg(&self.id)
            .stdin(File::open("/dev/null")?)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        sleep(Duration::from_millis(2));
        attached.kill()?;
        attached.wait()?;
        Ok(())
    }

    fn kill(&mut self) -> Result<()> {
        let mut kill = self.shim.shim("kill");
        kill.args([&self.id, "KILL"]);
        say(kill).map(drop)
    }

    fn finish(self: Box<Self>) -> Result<Outcome> {
        let mut wait = self.shim.shim("wait");
        // It ends with the container's status, and says it.
        let said = wait.arg(&self.id).output()?;
        let arrived = Instant::now();
        let status = String::from_utf8_lossy(&said.stdout)
            .trim()
            .parse()
            .with_context(|| format!("wait: {}", String::from_utf8_lossy(&said.stderr)))?;
        let [stdout, stderr] = k8s_file::read(&self.log, self.terminal)?;
        let mut rm = self.shim.shim("rm");
        say({
            rm.arg(&self.id);
            rm
        })?;
        Ok(Outcome {
            status,
            arrived,
            stdout,
            stderr,
        })
    }
}
