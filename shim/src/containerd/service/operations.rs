//! What changes a container, one after the other, each by a call of the runtime.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use prost::Message;

use super::checkpoint::Dump;
use super::container::{Operation, Pause, Stage};
use super::runtime_error::LogMark;
use super::{Outcome, PATIENCE_WITH_BIRTH, Reply, Service, questions, wrong_state};
use crate::containerd::events::Event;
use crate::containerd::messages::events::{TaskCheckpointed, TaskPaused, TaskResumed, TaskStart};
use crate::containerd::messages::task::{
    KillRequest, PauseRequest, ResumeRequest, StartRequest, StartResponse, UpdateTaskRequest,
};
use crate::containerd::messages::well_known::Empty;
use crate::containerd::ttrpc::{CallId, Code, Failure};
use crate::supervise::{Failure as CallFailure, PATIENCE, Runtime, Said, Supervisor};

/// A call of the runtime that is under way, and what it is for.
#[derive(Debug)]
pub(super) struct Undertaking {
    /// Who is to be answered, if anybody is.
    pub(super) call: Option<CallId>,
    container: String,
    purpose: Purpose,
    log: LogMark,
}

#[derive(Debug)]
pub(super) enum Purpose {
    Pids,
    Start,
    Pause,
    Resume,
    /// After a pause that was cut off: what it has frozen is to go on.
    Thaw,
    Kill,
    Checkpoint(Box<Dump>),
    /// With the file that the limits are in.
    Update(PathBuf),
    Delete,
    /// What is done after the end of its first process.
    Aftermath,
}

impl Undertaking {
    pub(super) fn new(
        call: Option<CallId>,
        container: &str,
        bundle: &Path,
        purpose: Purpose,
    ) -> Self {
        Undertaking {
            call,
            container: container.to_owned(),
            purpose,
            log: LogMark::now(bundle),
        }
    }
}

impl Purpose {
    /// How long the runtime may take. How long CRIU takes depends on the memory there is.
    fn patience(&self) -> Option<Duration> {
        match self {
            Purpose::Start => Some(PATIENCE_WITH_BIRTH),
            Purpose::Checkpoint(_) => None,
            _ => Some(PATIENCE),
        }
    }

    /// It is one of those that are done one after the other.
    fn is_exclusive(&self) -> bool {
        !matches!(self, Purpose::Pids | Purpose::Aftermath)
    }
}

impl Service {
    pub(super) fn start(
        &mut self,
        call: CallId,
        request: StartRequest,
        core: &mut Supervisor,
    ) -> Outcome {
        match request.exec_id.as_str() {
            "" => self.enqueue(call, &request.id, Operation::Start, core),
            exec => self.start_exec(call, &request.id, exec, core),
        }
    }

    pub(super) fn pause(
        &mut self,
        call: CallId,
        request: PauseRequest,
        core: &mut Supervisor,
    ) -> Outcome {
        self.enqueue(call, &request.id, Operation::Pause, core)
    }

    pub(super) fn resume(
        &mut self,
        call: CallId,
        request: ResumeRequest,
        core: &mut Supervisor,
    ) -> Outcome {
        self.enqueue(call, &request.id, Operation::Resume, core)
    }

    pub(super) fn kill(
        &mut self,
        call: CallId,
        request: &KillRequest,
        core: &mut Supervisor,
    ) -> Outcome {
        if !request.exec_id.is_empty() {
            return self.kill_exec(request, core);
        }
        let operation = Operation::Kill {
            signal: request.signal,
            all: request.all,
        };
        self.enqueue(call, &request.id, operation, core)
    }

    pub(super) fn update(
        &mut self,
        call: CallId,
        request: UpdateTaskRequest,
        core: &mut Supervisor,
    ) -> Outcome {
        let resources = request.resources.map(|any| any.value).unwrap_or_default();
        serde_json::from_slice::<serde::de::IgnoredAny>(&resources)
            .map_err(|error| Failure::new(Code::InvalidArgument, format!("resources: {error}")))?;
        self.enqueue(call, &request.id, Operation::Update(resources), core)
    }

    /// Has the operation done as soon as all that was asked for before it is.
    pub(super) fn enqueue(
        &mut self,
        call: CallId,
        id: &str,
        operation: Operation,
        core: &mut Supervisor,
    ) -> Outcome {
        let container = self.container_mut(id)?;
        if container.is_busy {
            container.queue.push_back((call, operation));
            return Ok(Reply::Later);
        }
        self.begin(call, id, operation, core)
    }

    /// The operation that was under way is over: begins those that waited for it.
    pub(super) fn go_on(&mut self, id: &str, core: &mut Supervisor) {
        if let Some(container) = self.containers.get_mut(id) {
            container.is_busy = false;
        }
        while let Some(container) = self.containers.get_mut(id)
            && !container.is_busy
            && let Some((call, operation)) = container.queue.pop_front()
        {
            match self.begin(call, id, operation, core) {
                Ok(Reply::Later) => {}
                Ok(Reply::Now(payload)) => self.answer(call, Ok(payload), core),
                Err(failure) => self.answer(call, Err(failure), core),
            }
        }
    }

    fn begin(
        &mut self,
        call: CallId,
        id: &str,
        operation: Operation,
        core: &mut Supervisor,
    ) -> Outcome {
        let container = self.container_mut(id)?;
        let state = container.status_name();
        let (verb, arguments, purpose): (&str, Vec<String>, Purpose) = match operation {
            Operation::Start if state != "created" => {
                return Err(wrong_state(format!("cannot start a {state} process")));
            }
            Operation::Start if container.checkpoint.is_some() => {
                return self.restore(call, id, core);
            }
            Operation::Start => {
                container.first.stage = Stage::Starting;
                ("start", Vec::new(), Purpose::Start)
            }
            Operation::Pause if state != "running" => {
                return Err(wrong_state(format!("cannot pause a {state} container")));
            }
            Operation::Pause => {
                container.pause = Pause::Pausing;
                ("pause", Vec::new(), Purpose::Pause)
            }
            Operation::Resume if state != "paused" => {
                return Err(wrong_state(format!("cannot resume a {state} container")));
            }
            Operation::Resume => ("resume", Vec::new(), Purpose::Resume),
            Operation::Kill { signal, all } => {
                if container.first.ended.is_some() && !all {
                    return Err(Failure::new(Code::NotFound, "process already finished"));
                }
                let mut arguments: Vec<String> =
                    all.then(|| "--all".to_owned()).into_iter().collect();
                arguments.extend([id.to_owned(), signal.to_string()]);
                container.is_busy = true;
                let (runtime, bundle) = (container.runtime.clone(), container.bundle.clone());
                let undertaking = Undertaking::new(Some(call), id, &bundle, Purpose::Kill);
                self.undertake(undertaking, &runtime, "kill", &arguments, core);
                return Ok(Reply::Later);
            }
            Operation::Checkpoint(_) if !matches!(state, "running" | "paused") => {
                return Err(wrong_state(format!(
                    "cannot checkpoint a {state} container"
                )));
            }
            Operation::Checkpoint(request) => {
                let dump = Dump::prepare(&request, &container.bundle)?;
                (
                    "checkpoint",
                    dump.arguments(),
                    Purpose::Checkpoint(Box::new(dump)),
                )
            }
            Operation::Update(_) if state == "stopped" => {
                return Err(wrong_state("cannot update a stopped container"));
            }
            Operation::Update(resources) => {
                let file = container.bundle.join("update.json");
                std::fs::write(&file, resources)
                    .with_context(|| format!("writing {}", file.display()))?;
                let arguments = vec![
                    "--resources".to_owned(),
                    file.to_string_lossy().into_owned(),
                ];
                ("update", arguments, Purpose::Update(file))
            }
            Operation::Delete => return self.delete_first(call, id, core),
        };
        container.is_busy = true;
        let (runtime, bundle) = (container.runtime.clone(), container.bundle.clone());
        let undertaking = Undertaking::new(Some(call), id, &bundle, purpose);
        let arguments = [arguments, vec![id.to_owned()]].concat();
        self.undertake(undertaking, &runtime, verb, &arguments, core);
        Ok(Reply::Later)
    }

    /// Calls the runtime; [`Service::conclude`] hears what came of it.
    pub(super) fn undertake(
        &mut self,
        undertaking: Undertaking,
        runtime: &Runtime,
        verb: &str,
        arguments: &[impl AsRef<OsStr>],
        core: &mut Supervisor,
    ) {
        let arguments: Vec<&OsStr> = arguments.iter().map(AsRef::as_ref).collect();
        let wants_output = matches!(undertaking.purpose, Purpose::Pids);
        let patience = undertaking.purpose.patience();
        let key = core.call(runtime, verb, &arguments, wants_output, patience);
        self.undertakings.insert(key, undertaking);
    }

    /// The runtime has done what it was called for, or not.
    pub(super) fn conclude(
        &mut self,
        undertaking: Undertaking,
        outcome: Result<Said, CallFailure>,
        core: &mut Supervisor,
    ) -> Result<()> {
        let id = undertaking.container.clone();
        let (call, is_exclusive) = (undertaking.call, undertaking.purpose.is_exclusive());
        if matches!(undertaking.purpose, Purpose::Delete) {
            return self.container_deleted(&id, &undertaking.log, outcome, core);
        }
        let started = matches!(undertaking.purpose, Purpose::Start);
        let may_be_frozen = matches!(undertaking.purpose, Purpose::Pause)
            && outcome.as_ref().is_err_and(|failure| failure.killed);
        let (answer, event) = self.digest(undertaking, outcome);
        // Who waits is answered first: the others' news have time.
        if let Some(call) = call {
            self.answer(call, answer, core);
        }
        if let Some(event) = event {
            self.publish(&event, core)?;
        }
        if started {
            // Its end may have come before the answer, but must not be told before it.
            self.publish_exits(&id, core)?;
        }
        if may_be_frozen {
            self.thaw(&id, core);
        } else if is_exclusive {
            self.go_on(&id, core);
        }
        Ok(())
    }

    /// Undoes a pause that was cut off, before anything else is done.
    fn thaw(&mut self, id: &str, core: &mut Supervisor) {
        if let Some(container) = self.containers.get(id) {
            let (runtime, bundle) = (container.runtime.clone(), container.bundle.clone());
            let undertaking = Undertaking::new(None, id, &bundle, Purpose::Thaw);
            self.undertake(undertaking, &runtime, "resume", &[id], core);
        }
    }

    /// What the caller is answered, and what containerd is told.
    fn digest(
        &mut self,
        undertaking: Undertaking,
        outcome: Result<Said, CallFailure>,
    ) -> (Result<Vec<u8>, Failure>, Option<Event>) {
        let Undertaking {
            container: id,
            purpose,
            log,
            ..
        } = undertaking;
        let Some(container) = self.containers.get_mut(&id) else {
            return (Err(super::no_such_container()), None);
        };
        let done = Ok(Empty {}.encode_to_vec());
        let refused = |what: &str, failure: &CallFailure| Err(log.failure(what, &failure.message));
        let mut event = None;
        let answer = match (purpose, outcome) {
            (Purpose::Pids, Ok(said)) => questions::processes(container, &said.output)
                .map(|processes| processes.encode_to_vec()),
            (Purpose::Pids, Err(failure)) => refused("OCI runtime ps failed", &failure),
            (Purpose::Start, Ok(_)) => {
                container.first.stage = Stage::Started;
                let pid = container.first.pid;
                event = Some(started(&id, pid));
                Ok(StartResponse { pid }.encode_to_vec())
            }
            (Purpose::Start, Err(failure)) => {
                container.first.stage = Stage::Created;
                refused("OCI runtime start failed", &failure)
            }
            (Purpose::Pause, Ok(_)) => {
                container.pause = Pause::Yes;
                event = Some(Event::Paused(TaskPaused {
                    container_id: id.clone(),
                }));
                done
            }
            (Purpose::Pause, Err(failure)) => {
                if !failure.killed {
                    container.pause = Pause::No;
                }
                refused("OCI runtime pause failed", &failure)
            }
            (Purpose::Resume, Ok(_)) => {
                container.pause = Pause::No;
                event = Some(Event::Resumed(TaskResumed {
                    container_id: id.clone(),
                }));
                done
            }
            (Purpose::Resume, Err(failure)) => refused("OCI runtime resume failed", &failure),
            (Purpose::Thaw, outcome) => {
                // One that was killed, too, can be asked for again. One that fails finds nothing
                // frozen.
                let is_frozen = outcome.is_err_and(|failure| failure.killed);
                container.pause = if is_frozen { Pause::Yes } else { Pause::No };
                done
            }
            (Purpose::Kill, Ok(_)) | (Purpose::Aftermath | Purpose::Delete, _) => done,
            (Purpose::Kill, Err(failure)) => Err(log.kill_failure(&failure.message)),
            (Purpose::Checkpoint(dump), outcome) => match dump.conclude(outcome) {
                Ok(path) => {
                    event = Some(Event::Checkpointed(TaskCheckpointed {
                        container_id: id.clone(),
                        checkpoint: path,
                    }));
                    done
                }
                Err(failure) => Err(failure),
            },
            (Purpose::Update(file), outcome) => {
                // Its place is in the bundle, with which it goes at the latest.
                let _ = std::fs::remove_file(file);
                match outcome {
                    Ok(_) => done,
                    Err(failure) => refused("OCI runtime update failed", &failure),
                }
            }
        };
        (answer, event)
    }
}

/// The event of a container's start.
pub(super) fn started(id: &str, pid: u32) -> Event {
    Event::Start(TaskStart {
        container_id: id.to_owned(),
        pid,
    })
}
