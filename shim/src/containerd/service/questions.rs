//! What containerd asks without changing anything, or nothing that the runtime would have to do.

use rustix::termios::Winsize;

use super::container::Container;
use super::operations::{Purpose, Undertaking};
use super::{Outcome, Reply, Service};
use crate::containerd::messages::pack;
use crate::containerd::messages::runc_options::ProcessDetails;
use crate::containerd::messages::task::{
    CloseIoRequest, ConnectRequest, ConnectResponse, PidsRequest, PidsResponse, ProcessInfo,
    ResizePtyRequest, StateRequest, StateResponse, StatsRequest, StatsResponse, WaitRequest,
    WaitResponse,
};
use crate::containerd::metrics;
use crate::containerd::ttrpc::{CallId, Code, Failure};
use crate::supervise::Supervisor;

impl Service {
    pub(super) fn state(&self, request: &StateRequest) -> Outcome {
        let container = self.container(&request.id)?;
        let process = container.process(&request.exec_id)?;
        let streams = &process.streams;
        Ok(Reply::with(&StateResponse {
            id: match request.exec_id.as_str() {
                "" => request.id.clone(),
                exec => exec.to_owned(),
            },
            bundle: container.bundle.to_string_lossy().into_owned(),
            pid: process.pid,
            status: container.status(process) as i32,
            stdin: streams.stdin.clone(),
            stdout: streams.stdout.clone(),
            stderr: streams.stderr.clone(),
            terminal: streams.terminal,
            exit_status: process.exit_status(),
            exited_at: Some(process.exited_at()),
            exec_id: request.exec_id.clone(),
        }))
    }

    pub(super) fn connect(&self, request: &ConnectRequest) -> Reply {
        let container = self.container(&request.id);
        Reply::with(&ConnectResponse {
            shim_pid: std::process::id(),
            task_pid: container.map_or(0, |container| container.first.pid),
            version: String::new(),
        })
    }

    /// Answered when the process has ended, and its end was published.
    pub(super) fn wait(&mut self, call: CallId, request: &WaitRequest) -> Outcome {
        let server = &self.server;
        let container = self
            .containers
            .get_mut(&request.id)
            .filter(|container| container.is_created)
            .ok_or_else(super::no_such_container)?;
        let process = container.process_mut(&request.exec_id)?;
        if let Some(ended) = process.ended {
            return Ok(Reply::with(&WaitResponse {
                exit_status: ended.status,
                exited_at: Some(ended.at.into()),
            }));
        }
        // Those whose client has gone would otherwise be kept as long as the process lives.
        process.waiting.retain(|waiting| server.awaits(*waiting));
        process.waiting.push(call);
        Ok(Reply::Later)
    }

    pub(super) fn stats(&self, request: &StatsRequest) -> Outcome {
        let container = self.container(&request.id)?;
        let Some(cgroups) = &container.cgroups else {
            return Err(Failure::new(Code::NotFound, "cgroup does not exist"));
        };
        Ok(Reply::with(&StatsResponse {
            stats: Some(metrics::read(cgroups)),
        }))
    }

    /// Asks the runtime, whose answer [`processes`] reads.
    ///
    /// Of a container that has ended its first process is told, which is no more: a container without
    /// any is to containerd, when that is started again, a shim that nobody has a use for ("leaked"),
    /// which it ends, and with it what is known of the container's end (containerd#12344).
    pub(super) fn pids(
        &mut self,
        call: CallId,
        request: &PidsRequest,
        core: &mut Supervisor,
    ) -> Outcome {
        let container = self.container(&request.id)?;
        if container.first.exit.is_some() && !container.shares_pids {
            return Ok(Reply::with(&PidsResponse {
                processes: vec![ProcessInfo {
                    pid: container.first.pid,
                    info: None,
                }],
            }));
        }
        let arguments = ["--format", "json", request.id.as_str()];
        let (runtime, bundle) = (container.runtime.clone(), container.bundle.clone());
        let undertaking = Undertaking::new(Some(call), &request.id, &bundle, Purpose::Pids);
        self.undertake(undertaking, &runtime, "ps", &arguments, core);
        Ok(Reply::Later)
    }

    pub(super) fn resize(&mut self, request: &ResizePtyRequest, core: &mut Supervisor) -> Outcome {
        let process = self.container(&request.id)?.process(&request.exec_id)?;
        let cells = |count: u32| u16::try_from(count).unwrap_or(u16::MAX);
        let size = Winsize {
            ws_row: cells(request.height),
            ws_col: cells(request.width),
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        if let Some((_, handle)) = process.key.and_then(|key| core.handle(key)) {
            handle.resize(size);
        }
        Ok(Reply::done())
    }

    /// What is still in the fifo goes in, then the process' input ends; unless somebody else holds
    /// the fifo open for writing.
    pub(super) fn close_io(&mut self, request: &CloseIoRequest) -> Outcome {
        let container = self.container_mut(&request.id)?;
        let process = container.process_mut(&request.exec_id)?;
        if request.stdin {
            process.kept.close_input();
        }
        Ok(Reply::done())
    }
}

/// What the runtime's `ps` says, with the execs among the processes named.
pub(super) fn processes(container: &Container, printed: &[u8]) -> Result<PidsResponse, Failure> {
    // runc prints `null` for none.
    let pids: Option<Vec<u32>> = serde_json::from_slice(printed).map_err(|error| {
        let message = format!("what {} ps printed: {error}", container.runtime.name());
        Failure::new(Code::Unknown, message)
    })?;
    let mut pids = pids.unwrap_or_default();
    if pids.is_empty() && container.first.exit.is_some() {
        pids.push(container.first.pid);
    }
    let processes = pids.into_iter().map(|pid| {
        let mut execs = container.execs.iter();
        let exec = execs.find(|(_, process)| process.pid == pid);
        ProcessInfo {
            pid,
            info: exec.map(|(exec_id, _)| {
                pack(&ProcessDetails {
                    exec_id: exec_id.clone(),
                })
            }),
        }
    });
    Ok(PidsResponse {
        processes: processes.collect(),
    })
}
