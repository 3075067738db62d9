//! The end of processes: told in the promised order. `Start` is answered before the end of what it
//! started is published, and a container's execs end before its first process does.

use std::time::{Duration, Instant};

use anyhow::Result;
use prost::Message;

use super::Service;
use super::container::{Container, Ended, Pause, Process, Stage};
use super::operations::{Purpose, Undertaking};
use crate::containerd::events::Event;
use crate::containerd::messages::events::TaskExit;
use crate::containerd::messages::task::WaitResponse;
use crate::supervise::{Exit, ProcessKey, Supervisor};

/// How long a process's end is kept back while its last output is being read, and how often that is
/// looked at. Containerd's client stops reading as soon as it hears of the end and asks for the
/// deletion (`cancel` in containerd's `pkg/cio/io_unix.go` closes the fifos): on a busy machine the
/// last 128 KiB would be lost.
const READ_FIRST: Duration = Duration::from_millis(200);
const LOOK: Duration = Duration::from_millis(5);

impl Service {
    /// A process has ended.
    pub(super) fn note_exit(
        &mut self,
        key: ProcessKey,
        exit: Exit,
        core: &mut Supervisor,
    ) -> Result<()> {
        let Some((id, exec)) = self.owners.get(&key).cloned() else {
            return Ok(());
        };
        let Some(container) = self.containers.get_mut(&id) else {
            return Ok(());
        };
        if let Ok(process) = container.process_mut(&exec) {
            process.exit = Some(exit.into());
            if process.kept.has_fifos() {
                let now = Instant::now();
                process.tell_by = Some(now + READ_FIRST);
                process.look_at = Some(now + LOOK);
            }
        }
        if exec.is_empty() {
            self.end_rest(&id, core);
        }
        self.publish_exits(&id, core)
    }

    /// The first process has ended: so must the others, which a pid namespace of their own sees to,
    /// unless they are frozen.
    fn end_rest(&mut self, id: &str, core: &mut Supervisor) {
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        let (runtime, bundle) = (container.runtime.clone(), container.bundle.clone());
        let was_paused = container.pause != Pause::No;
        let shares_pids = container.shares_pids;
        container.pause = Pause::No;
        let mut call = |verb: &str, arguments: &[&str]| {
            let undertaking = Undertaking::new(None, id, &bundle, Purpose::Aftermath);
            self.undertake(undertaking, &runtime, verb, arguments, core);
        };
        if shares_pids {
            call("kill", &["--all", id, "9"]);
        }
        if was_paused {
            call("resume", &[id]);
        }
    }

    /// Tells of all ends that may be told now.
    pub(super) fn publish_exits(&mut self, id: &str, core: &mut Supervisor) -> Result<()> {
        while let Some(exec) = self.containers.get(id).and_then(next_to_be_told) {
            // What ended it may be known just now.
            self.ask_for_oom(id, core)?;
            let Some(process) = self.process_mut(id, &exec) else {
                return Ok(());
            };
            let Some(ended) = process.exit else {
                return Ok(());
            };
            process.ended = Some(ended);
            let waiting = std::mem::take(&mut process.waiting);
            let event = exit_event(id, &exec, process, ended);
            self.publish(&event, core)?;
            let answer = WaitResponse {
                exit_status: ended.status,
                exited_at: Some(ended.at.into()),
            };
            for call in waiting {
                self.answer(call, Ok(answer.encode_to_vec()), core);
            }
            self.go_on_deleting(id, &exec, core)?;
        }
        Ok(())
    }

    /// A process has ended, and its output is on its way to its readers.
    pub(super) fn note_drained(
        &mut self,
        key: ProcessKey,
        troubles: &[String],
        core: &mut Supervisor,
    ) -> Result<()> {
        let Some((id, exec)) = self.owners.get(&key).cloned() else {
            return Ok(());
        };
        for trouble in troubles {
            self.setting.log.warn(&format!("{id} {exec}: {trouble}"));
        }
        if let Some(process) = self.process_mut(&id, &exec) {
            process.is_drained = true;
            if process.tell_by.is_none() || !process.kept.has_unread() {
                process.tell_by = None;
                process.look_at = process.kept.finish(Instant::now());
            }
        }
        self.publish_exits(&id, core)?;
        self.go_on_deleting(&id, &exec, core)
    }

    /// What is to be done at this time: streams that may be closed now, loggers that are late, output
    /// that has been waited for long enough.
    pub(super) fn look_at_processes(&mut self, now: Instant, core: &mut Supervisor) -> Result<()> {
        let mut due = Vec::new();
        for (id, container) in &self.containers {
            for (exec, process) in container.processes() {
                if process.alarm().is_some_and(|at| at <= now) {
                    due.push((id.clone(), exec.to_owned()));
                }
            }
        }
        for (id, exec) in due {
            let Some(process) = self.process_mut(&id, &exec) else {
                continue;
            };
            if process.birth.is_some() {
                self.look_at_loggers(core)?;
                continue;
            }
            if process.look_at.is_some_and(|at| at <= now) {
                if process.tell_by.is_some_and(|by| now < by) && process.kept.has_unread() {
                    process.look_at = Some(now + LOOK);
                    continue;
                }
                process.tell_by = None;
                // Somebody else may hold its streams, and still write.
                let is_drained = process.is_drained;
                process.look_at = is_drained.then(|| process.kept.finish(now)).flatten();
                self.publish_exits(&id, core)?;
            }
            self.go_on_deleting(&id, &exec, core)?;
        }
        Ok(())
    }
}

/// Whose end is to be told next: `""` is the first process.
fn next_to_be_told(container: &Container) -> Option<String> {
    let is_due = |process: &Process| {
        let is_known = process.exit.is_some() && process.ended.is_none();
        is_known && process.tell_by.is_none() && process.stage != Stage::Starting
    };
    if !container.is_created {
        return None;
    }
    let mut execs = container.execs.iter();
    if let Some((exec, _)) = execs.find(|(_, process)| is_due(process)) {
        return Some(exec.clone());
    }
    let alone = !container.execs.values().any(Process::is_running);
    (alone && is_due(&container.first)).then(String::new)
}

fn exit_event(id: &str, exec: &str, process: &Process, ended: Ended) -> Event {
    Event::Exit(TaskExit {
        container_id: id.to_owned(),
        id: if exec.is_empty() { id } else { exec }.to_owned(),
        pid: process.pid,
        exit_status: ended.status,
        exited_at: Some(ended.at.into()),
    })
}
