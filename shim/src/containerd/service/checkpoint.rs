//! `Checkpoint`, and the other way: a `Start` that restores.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::container::{Operation, Stage};
use super::{Outcome, Reply, Service};
use crate::containerd::messages::runc_options::CheckpointOptions;
use crate::containerd::messages::task::CheckpointTaskRequest;
use crate::containerd::messages::unpack;
use crate::containerd::ttrpc::{CallId, Code, Failure};
use crate::supervise::{Descent, Failure as CallFailure, Said, Supervisor};

/// A checkpoint that is to be made.
#[derive(Debug)]
pub(super) struct Dump {
    /// Where its images go.
    path: String,
    options: CheckpointOptions,
    /// Where CRIU works and writes `dump.log`.
    work: PathBuf,
    /// Where its log is kept if it fails.
    log: PathBuf,
}

impl Dump {
    pub(super) fn prepare(request: &CheckpointTaskRequest, bundle: &Path) -> Result<Self, Failure> {
        let options = match &request.options {
            Some(any) if !any.type_url.is_empty() => unpack::<CheckpointOptions>(any)
                .context("reading checkpoint options")?
                .ok_or_else(|| {
                    let message = format!("options of type {} are not understood", any.type_url);
                    Failure::new(Code::InvalidArgument, message)
                })?,
            _ => CheckpointOptions::default(),
        };
        let path = match request.path.as_str() {
            "" => options.image_path.clone(),
            path => path.to_owned(),
        };
        let work = match options.work_path.as_str() {
            "" => bundle.join("work").join("criu-work"),
            work => PathBuf::from(work),
        };
        Ok(Dump {
            path,
            options,
            work,
            log: bundle.join("criu-dump.log"),
        })
    }

    /// What goes between the verb and the container's id.
    pub(super) fn arguments(&self) -> Vec<String> {
        let options = &self.options;
        let work = self.work.to_string_lossy();
        let mut arguments: Vec<String> = [
            ("--image-path", self.path.as_str()),
            ("--work-path", &work),
            ("--parent-path", &options.parent_path),
            ("--manage-cgroups-mode", &options.cgroups_mode),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .flat_map(|(name, value)| [name.to_owned(), value.to_owned()])
        .collect();
        let flags = [
            ("--tcp-established", options.open_tcp),
            ("--ext-unix-sk", options.external_unix_sockets),
            ("--shell-job", options.terminal),
            ("--file-locks", options.file_locks),
            ("--leave-running", !options.exit),
        ];
        let flags = flags.into_iter().filter(|(_, on)| *on);
        arguments.extend(flags.map(|(flag, _)| flag.to_owned()));
        for namespace in &options.empty_namespaces {
            arguments.extend(["--empty-ns".to_owned(), namespace.clone()]);
        }
        arguments
    }

    /// Where the checkpoint is; or why there is none, and where CRIU's log is.
    pub(super) fn conclude(self, outcome: Result<Said, CallFailure>) -> Result<String, Failure> {
        let outcome = outcome.map_err(|failure| {
            // Without one, CRIU was never started.
            let copied = std::fs::copy(self.work.join("dump.log"), &self.log);
            let path = match copied {
                Ok(_) => format!(" path= {}", self.log.display()),
                Err(_) => String::new(),
            };
            Failure::new(Code::Unknown, format!("{}{path}", failure.message))
        });
        if self.options.work_path.is_empty() {
            // What is left goes with the bundle.
            let _ = std::fs::remove_dir_all(&self.work);
        }
        outcome.map(|_| self.path)
    }
}

impl Service {
    pub(super) fn checkpoint(
        &mut self,
        call: CallId,
        request: CheckpointTaskRequest,
        core: &mut Supervisor,
    ) -> Outcome {
        let id = request.id.clone();
        self.enqueue(call, &id, Operation::Checkpoint(request), core)
    }

    /// Starts a container that was created from a checkpoint.
    pub(super) fn restore(&mut self, call: CallId, id: &str, core: &mut Supervisor) -> Outcome {
        let container = self.container_mut(id)?;
        let Some(checkpoint) = container.checkpoint.clone() else {
            return Ok(Reply::done());
        };
        let work = match container.options.criu_work_path.as_str() {
            "" => container.bundle.join("work").into_os_string(),
            work => OsString::from(work),
        };
        let mut options: Vec<OsString> = vec![
            "--image-path".into(),
            checkpoint.path.into(),
            "--work-path".into(),
            work,
        ];
        if !checkpoint.parent.is_empty() {
            options.extend(["--parent-path".into(), checkpoint.parent.into()]);
        }
        if container.options.no_pivot_root {
            options.push("--no-pivot".into());
        }
        // The shim itself is the subreaper.
        options.push("--no-subreaper".into());
        let descent = Descent::Restore(container.bundle.clone());
        container.first.stage = Stage::Starting;
        container.is_busy = true;
        let begun = self.begin_birth(call, id, "", descent, options, core);
        if begun.is_err()
            && let Some(container) = self.containers.get_mut(id)
        {
            container.first.stage = Stage::Created;
            container.is_busy = false;
        }
        begun.map(|()| Reply::Later)
    }
}
