//! `Exec`, and `Start` and `Kill` of what it has prepared.

use std::path::PathBuf;

use anyhow::{Context, Result};
use prost::Message;
use serde_json::Value;

use super::container::{Container, Pause, Process, Stage, Streams};
use super::{Outcome, Reply, Service, wrong_state};
use crate::containerd::events::Event;
use crate::containerd::messages::events::{TaskExecAdded, TaskExecStarted};
use crate::containerd::messages::task::{ExecProcessRequest, KillRequest, StartResponse};
use crate::containerd::ttrpc::{CallId, Code, Failure};
use crate::supervise::{Born, Descent, Refusal, Supervisor};

impl Service {
    /// Only notes what is to be executed.
    pub(super) fn exec(&mut self, request: ExecProcessRequest, core: &mut Supervisor) -> Outcome {
        let (id, exec) = (request.id, request.exec_id);
        let container = self.container_mut(&id)?;
        can_execute(container)?;
        if exec.is_empty() || exec.contains('/') || exec.starts_with('.') {
            let message = format!("{exec:?} can't be an exec's id");
            return Err(Failure::new(Code::InvalidArgument, message));
        }
        if container.execs.contains_key(&exec) {
            return Err(Failure::new(Code::AlreadyExists, format!("id {exec}")));
        }
        let mut process = Process::new(Streams {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            terminal: request.terminal,
        });
        let specification = request.spec.map(|any| any.value).unwrap_or_default();
        process.specification = with_terminal(&specification, request.terminal)
            .map_err(|error| Failure::new(Code::InvalidArgument, format!("spec: {error}")))?;
        container.execs.insert(exec.clone(), process);
        let added = TaskExecAdded {
            container_id: id,
            exec_id: exec,
        };
        self.publish(&Event::ExecAdded(added), core)?;
        Ok(Reply::done())
    }

    pub(super) fn start_exec(
        &mut self,
        call: CallId,
        id: &str,
        exec: &str,
        core: &mut Supervisor,
    ) -> Outcome {
        let container = self.container_mut(id)?;
        can_execute(container)?;
        if container.first.exit.is_some() {
            let message = format!("container {id} init process is not running");
            return Err(wrong_state(message));
        }
        let file = process_file(container, exec);
        let process = container.process_mut(exec)?;
        if process.stage != Stage::Created {
            let what = if process.ended.is_some() {
                "stopped"
            } else {
                "running"
            };
            return Err(wrong_state(format!("cannot start a {what} process")));
        }
        std::fs::write(&file, &process.specification)
            .with_context(|| format!("writing {}", file.display()))?;
        process.stage = Stage::Starting;
        let descent = Descent::Exec(file.clone());
        let begun = self.begin_birth(call, id, exec, descent, Vec::new(), core);
        if begun.is_err() {
            let _ = std::fs::remove_file(file);
            if let Some(process) = self.process_mut(id, exec) {
                process.stage = Stage::Created;
            }
        }
        begun.map(|()| Reply::Later)
    }

    /// The exec's process is there, or could not be made.
    pub(super) fn exec_born(
        &mut self,
        id: &str,
        exec: &str,
        outcome: Result<Born, Refusal>,
        core: &mut Supervisor,
    ) -> Result<()> {
        let Some(container) = self.containers.get_mut(id) else {
            return Ok(());
        };
        // The runtime has read it; if not, it goes with the bundle.
        let _ = std::fs::remove_file(process_file(container, exec));
        let Ok(process) = container.process_mut(exec) else {
            return Ok(());
        };
        let Some((call, log)) = process.birth.take() else {
            return Ok(());
        };
        match outcome {
            Ok(born) => {
                process.stage = Stage::Started;
                process.pid = u32::try_from(born.pid.as_raw_pid()).unwrap_or_default();
                process.specification = Vec::new();
                let pid = process.pid;
                let started = TaskExecStarted {
                    container_id: id.to_owned(),
                    exec_id: exec.to_owned(),
                    pid,
                };
                self.answer(call, Ok(StartResponse { pid }.encode_to_vec()), core);
                self.publish(&Event::ExecStarted(started), core)?;
            }
            Err(refusal) => {
                process.stage = Stage::Created;
                process.kept = crate::containerd::stdio::Kept::default();
                let waiting = std::mem::take(&mut process.waiting);
                if let Some(key) = process.key.take() {
                    self.owners.remove(&key);
                }
                let failure = log.refusal("OCI runtime exec failed", &refusal);
                self.answer(call, Err(failure.clone()), core);
                for waiting in waiting {
                    self.answer(waiting, Err(failure.clone()), core);
                }
            }
        }
        self.publish_exits(id, core)
    }

    /// Goes to the very process, without the runtime.
    pub(super) fn kill_exec(&mut self, request: &KillRequest, core: &mut Supervisor) -> Outcome {
        let process = self.container(&request.id)?.process(&request.exec_id)?;
        if process.exit.is_some() {
            return Err(Failure::new(Code::NotFound, "process already finished"));
        }
        let handle = process.key.filter(|_| process.stage == Stage::Started);
        let Some((_, handle)) = handle.and_then(|key| core.handle(key)) else {
            return Err(wrong_state("process not created"));
        };
        let signal = i32::try_from(request.signal).unwrap_or(-1);
        if !(0..=64).contains(&signal) {
            let message = format!("{} is no signal", request.signal);
            return Err(Failure::new(Code::InvalidArgument, message));
        }
        handle.signal(signal);
        Ok(Reply::done())
    }
}

fn can_execute(container: &Container) -> Result<(), Failure> {
    let what = match container.pause {
        _ if container.first.ended.is_some() => "stopped",
        Pause::Yes => "paused",
        Pause::Pausing => "pausing",
        Pause::No if container.first.pid == 0 => "created",
        Pause::No => return Ok(()),
    };
    Err(wrong_state(format!("cannot exec in a {what} state")))
}

/// The runtime specification's `process` object with this `terminal`.
fn with_terminal(specification: &[u8], terminal: bool) -> serde_json::Result<Vec<u8>> {
    let mut process: serde_json::Map<String, Value> = serde_json::from_slice(specification)?;
    process.insert("terminal".to_owned(), Value::Bool(terminal));
    serde_json::to_vec(&process)
}

/// Where an exec's process is described, for the runtime to read.
fn process_file(container: &Container, exec: &str) -> PathBuf {
    container.bundle.join(format!("exec.{exec}.json"))
}
