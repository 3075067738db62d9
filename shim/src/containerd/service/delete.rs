//! `Delete` of a container or of an exec. What it has written is on its way to its readers before it
//! goes, unless they never read it.

use std::time::{Duration, Instant};

use anyhow::Result;
use prost::Message;

use super::container::{Deletion, Operation, Process, Removal, no_such_process};
use super::operations::{Purpose, Undertaking};
use super::runtime_error::LogMark;
use super::{Outcome, Reply, Service, wrong_state};
use crate::containerd::events::Event;
use crate::containerd::messages::events::TaskDelete;
use crate::containerd::messages::task::{DeleteRequest, DeleteResponse};
use crate::containerd::rootfs;
use crate::containerd::ttrpc::{CallId, Failure};
use crate::supervise::{Failure as CallFailure, Said, Supervisor};

/// How long output is waited for that nobody takes, or that somebody outside the container might
/// still write; the stock shim's.
const PATIENCE: Duration = Duration::from_secs(10);

impl Service {
    pub(super) fn delete(
        &mut self,
        call: CallId,
        request: DeleteRequest,
        core: &mut Supervisor,
    ) -> Outcome {
        if request.exec_id.is_empty() {
            return self.enqueue(call, &request.id, Operation::Delete, core);
        }
        let exec = request.exec_id.as_str();
        let process = self.container_mut(&request.id)?.process_mut(exec)?;
        if process.is_running() {
            return Err(wrong_state("cannot delete a running process"));
        }
        self.wait_for_output(call, &request.id, exec, core)?;
        Ok(Reply::Later)
    }

    /// The first step for a container: its output, if it has ended; else its end.
    pub(super) fn delete_first(
        &mut self,
        call: CallId,
        id: &str,
        core: &mut Supervisor,
    ) -> Outcome {
        let container = self.container_mut(id)?;
        if container.first.is_running() {
            let state = container.status_name();
            return Err(wrong_state(format!("cannot delete a {state} process")));
        }
        container.is_busy = true;
        if container.first.ended.is_some() {
            self.wait_for_output(call, id, "", core)?;
        } else {
            container.first.deletion = Some(Deletion {
                calls: vec![call],
                until: Instant::now() + PATIENCE,
            });
            self.have_deleted(id, core);
        }
        Ok(Reply::Later)
    }

    fn wait_for_output(
        &mut self,
        call: CallId,
        id: &str,
        exec: &str,
        core: &mut Supervisor,
    ) -> Result<()> {
        if let Some(process) = self.process_mut(id, exec) {
            let now = Instant::now();
            let deletion = process.deletion.get_or_insert(Deletion {
                calls: Vec::new(),
                until: now + PATIENCE,
            });
            deletion.calls.push(call);
            // Containerd deletes what it no longer reads.
            process.kept.expect_no_readers();
            if process.is_drained {
                process.look_at = process.kept.finish(now);
            }
            if let Some(key) = process.key {
                core.listen_for(key, PATIENCE);
            }
        }
        self.go_on_deleting(id, exec, core)
    }

    /// Takes the next step of a deletion, if there is one and what it waited for has come.
    pub(super) fn go_on_deleting(
        &mut self,
        id: &str,
        exec: &str,
        core: &mut Supervisor,
    ) -> Result<()> {
        let Some(container) = self.containers.get_mut(id) else {
            return Ok(());
        };
        let removal = container.removal;
        let Ok(process) = container.process_mut(exec) else {
            return Ok(());
        };
        let is_settled = process.is_settled();
        let has_ended = process.ended.is_some() || process.key.is_none();
        let Some(deletion) = &mut process.deletion else {
            return Ok(());
        };
        let is_over = deletion.until <= Instant::now();
        if !(is_over || has_ended && is_settled) {
            return Ok(());
        }
        if has_ended && !is_settled && removal == Removal::NotYet {
            let name = if exec.is_empty() { id } else { exec };
            self.setting.log.warn(&format!(
                "{name}: output that nobody has read for {} s after its end, or that something \
                 outside the container may still write, is given up",
                PATIENCE.as_secs()
            ));
        }
        if !exec.is_empty() {
            return self.exec_deleted(id, exec, core);
        }
        deletion.until = Instant::now() + PATIENCE;
        match removal {
            Removal::Done => return self.finish_deletion(id, core),
            Removal::UnderWay => {}
            Removal::NotYet => self.have_deleted(id, core),
        }
        Ok(())
    }

    fn exec_deleted(&mut self, id: &str, exec: &str, core: &mut Supervisor) -> Result<()> {
        let Some(container) = self.containers.get_mut(id) else {
            return Ok(());
        };
        // There is none if it was never started.
        let _ = std::fs::remove_file(container.pid_file(exec));
        let Some(process) = container.execs.remove(exec) else {
            return Ok(());
        };
        self.forget(id, exec, &process, core)
    }

    fn have_deleted(&mut self, id: &str, core: &mut Supervisor) {
        if let Some(container) = self.containers.get_mut(id) {
            container.removal = Removal::UnderWay;
            let (runtime, bundle) = (container.runtime.clone(), container.bundle.clone());
            let undertaking = Undertaking::new(None, id, &bundle, Purpose::Delete);
            self.undertake(undertaking, &runtime, "delete", &[id], core);
        }
    }

    /// The runtime has deleted the container, or not.
    pub(super) fn container_deleted(
        &mut self,
        id: &str,
        log: &LogMark,
        outcome: Result<Said, CallFailure>,
        core: &mut Supervisor,
    ) -> Result<()> {
        let Some(container) = self.containers.get_mut(id) else {
            return Ok(());
        };
        if container.first.deletion.is_none() {
            return Ok(());
        }
        if let Err(failure) = outcome {
            let failure = log.failure("failed to delete task", &failure.message);
            // After a checkpoint that ended it the runtime knows it no longer; so does `delete`
            // after one that was cut off.
            if !failure.message.contains("does not exist") {
                self.stay(id, &failure, core);
                return Ok(());
            }
        }
        container.removal = Removal::Done;
        if container.first.ended.is_none() && container.first.key.is_some() {
            // It was killed just now; its end is told first.
            return Ok(());
        }
        self.finish_deletion(id, core)
    }

    fn finish_deletion(&mut self, id: &str, core: &mut Supervisor) -> Result<()> {
        let Some(container) = self.containers.get(id) else {
            return Ok(());
        };
        if container.has_mounts
            && let Err(error) = rootfs::unmount_all(&container.rootfs())
        {
            let failure = error.context("failed rootfs umount").into();
            self.stay(id, &failure, core);
            return Ok(());
        }
        self.stop_watching_memory(id, core)?;
        let Some(container) = self.containers.remove(id) else {
            return Ok(());
        };
        let first = &container.first;
        self.publish(
            &Event::Delete(TaskDelete {
                container_id: id.to_owned(),
                pid: first.pid,
                exit_status: first.exit_status(),
                exited_at: Some(first.exited_at()),
                id: String::new(),
            }),
            core,
        )?;
        for (exec, process) in container.processes() {
            self.forget(id, exec, process, core)?;
        }
        for (waiting, _) in container.queue {
            self.answer(waiting, Err(super::no_such_container()), core);
        }
        Ok(())
    }

    /// The container could not be deleted; it may be tried again.
    fn stay(&mut self, id: &str, failure: &Failure, core: &mut Supervisor) {
        if let Some(container) = self.containers.get_mut(id) {
            let deletion = container.first.deletion.take();
            container.removal = Removal::NotYet;
            for call in deletion.map(|deletion| deletion.calls).unwrap_or_default() {
                self.answer(call, Err(failure.clone()), core);
            }
        }
        self.go_on(id, core);
    }

    /// Closes all that the core has of a process that was deleted, and answers everybody who asked
    /// for something of it.
    fn forget(
        &mut self,
        id: &str,
        exec: &str,
        process: &Process,
        core: &mut Supervisor,
    ) -> Result<()> {
        // Its logger goes with it.
        drop(self.take_preparation(id, exec));
        if let Some(key) = process.key {
            self.owners.remove(&key);
            core.give_up(key, "it was deleted");
            core.forget(key)?;
        }
        for call in process.deletion.iter().flat_map(|one| &one.calls) {
            self.answer(*call, Ok(response(process).encode_to_vec()), core);
        }
        let birth = process.birth.iter().map(|(call, _)| call);
        for call in process.waiting.iter().chain(birth) {
            let failure = match exec {
                "" => super::no_such_container(),
                exec => no_such_process(exec),
            };
            self.answer(*call, Err(failure), core);
        }
        Ok(())
    }
}

fn response(process: &Process) -> DeleteResponse {
    DeleteResponse {
        pid: process.pid,
        exit_status: process.exit_status(),
        exited_at: Some(process.exited_at()),
    }
}
