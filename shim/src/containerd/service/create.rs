//! `Create`.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;
use prost::Message;

use super::container::{Checkpoint, Container, Pause, Process, Removal, Stage, Streams};
use super::operations::started;
use super::{Outcome, Reply, Service, wrong_state};
use crate::cgroup::Hierarchies;
use crate::containerd::events::Event;
use crate::containerd::messages::events::{TaskCreate, TaskIo};
use crate::containerd::messages::task::{CreateTaskRequest, CreateTaskResponse, StartResponse};
use crate::containerd::rootfs::{self, Mounting};
use crate::containerd::runtime_choice;
use crate::containerd::ttrpc::{CallId, Code, Failure};
use crate::supervise::{Born, Descent, Refusal, Supervisor};

impl Service {
    pub(super) fn create(
        &mut self,
        call: CallId,
        request: CreateTaskRequest,
        core: &mut Supervisor,
    ) -> Outcome {
        let id = request.id.clone();
        if self.ending.is_some() {
            return Err(wrong_state("the shim is about to end"));
        }
        if id.is_empty() || id.contains('/') {
            let message = format!("{id:?} can't be a container's id");
            return Err(Failure::new(Code::InvalidArgument, message));
        }
        if self.containers.contains_key(&id) {
            return Err(Failure::new(
                Code::AlreadyExists,
                format!("container {id} already exists"),
            ));
        }
        let container = self.prepare_container(request)?;
        if rootfs::need_helper(&container.mounts) {
            let mounting = Mounting::begin(&container.mounts, &container.rootfs())?;
            self.containers.insert(id.clone(), container);
            return self.await_root(call, id, mounting, core);
        }
        rootfs::mount(&container.mounts, &container.rootfs())?;
        self.containers.insert(id.clone(), container);
        self.create_on_root(call, &id, core)
    }

    /// The root is there.
    pub(super) fn create_on_root(
        &mut self,
        call: CallId,
        id: &str,
        core: &mut Supervisor,
    ) -> Outcome {
        let container = self.containers.get(id);
        let container = container.ok_or_else(super::no_such_container)?;
        if container.checkpoint.is_some() {
            // There will be no process before `Start`.
            self.announce(id, core)?;
            return Ok(Reply::with(&CreateTaskResponse { pid: 0 }));
        }
        let options = create_options(container);
        let descent = Descent::Create(container.bundle.clone());
        match self.begin_birth(call, id, "", descent, options, core) {
            Ok(()) => Ok(Reply::Later),
            Err(failure) => {
                self.unmake(id);
                Err(failure)
            }
        }
    }

    /// What there is to be done before the root is mounted.
    fn prepare_container(&mut self, request: CreateTaskRequest) -> Result<Container, Failure> {
        let bundle = PathBuf::from(&request.bundle);
        if !bundle.is_absolute() {
            let message = format!("the bundle's path {:?} is not absolute", request.bundle);
            return Err(Failure::new(Code::InvalidArgument, message));
        }
        let options = runtime_choice::options(request.options.as_ref())?;
        let setting = &self.setting;
        let runtime =
            runtime_choice::runtime(&setting.program, &options, &setting.namespace, &bundle)?;
        runtime_choice::write_options(&bundle, &options)?;
        let checkpoint = (!request.checkpoint.is_empty()).then_some(Checkpoint {
            path: request.checkpoint,
            parent: request.parent_checkpoint,
        });
        Ok(Container {
            id: request.id,
            runtime,
            options,
            has_mounts: !request.rootfs.is_empty(),
            mounts: request.rootfs,
            is_created: false,
            checkpoint,
            pause: Pause::No,
            shares_pids: false,
            bundle,
            cgroups: None,
            first: Process::new(Streams {
                stdin: request.stdin,
                stdout: request.stdout,
                stderr: request.stderr,
                terminal: request.terminal,
            }),
            execs: BTreeMap::new(),
            queue: VecDeque::new(),
            is_busy: false,
            removal: Removal::NotYet,
            oom: None,
        })
    }

    /// While the runtime makes its first process: finds out what is needed once that is there.
    pub(super) fn look_ahead(&mut self, id: &str, core: &Supervisor) {
        if let Some(container) = self.containers.get_mut(id) {
            container.shares_pids = shares_pids(&container.bundle);
        }
        if self.hierarchies.is_none() {
            self.hierarchies = Hierarchies::mounted().ok();
        }
        self.publisher.look_ahead(core.poller());
    }

    /// The container's first process is there, or could not be made.
    pub(super) fn container_born(
        &mut self,
        id: &str,
        outcome: Result<Born, Refusal>,
        core: &mut Supervisor,
    ) -> Result<()> {
        let Some(container) = self.containers.get_mut(id) else {
            return Ok(());
        };
        let Some((call, log)) = container.first.birth.take() else {
            return Ok(());
        };
        let is_restored = container.is_created;
        let born = match outcome {
            Ok(born) => born,
            Err(refusal) => {
                let what = if is_restored { "restore" } else { "create" };
                let failure = log.refusal(&format!("OCI runtime {what} failed"), &refusal);
                if let Some(key) = container.first.key.take() {
                    self.owners.remove(&key);
                }
                if is_restored {
                    container.first.stage = Stage::Created;
                    container.first.kept = crate::containerd::stdio::Kept::default();
                    self.answer(call, Err(failure), core);
                    self.go_on(id, core);
                    return Ok(());
                }
                self.unmake(id);
                self.answer(call, Err(failure), core);
                return Ok(());
            }
        };
        let pid = u32::try_from(born.pid.as_raw_pid()).unwrap_or_default();
        container.first.pid = pid;
        // Who waits is answered first: before it says what comes next, all of this is done.
        if is_restored {
            container.first.stage = Stage::Started;
            self.answer(call, Ok(StartResponse { pid }.encode_to_vec()), core);
            self.publish(&started(id, pid), core)?;
        } else {
            self.answer(call, Ok(CreateTaskResponse { pid }.encode_to_vec()), core);
            self.announce(id, core)?;
        }
        if !born.warnings.is_empty() {
            let warnings = format!("{id}: the runtime warns: {}", born.warnings);
            self.setting.log.warn(&warnings);
        }
        if let Some(container) = self.containers.get_mut(id) {
            // Without cgroups there are no figures; the container can do without.
            let hierarchies = self.hierarchies.as_ref();
            container.cgroups =
                hierarchies.and_then(|known| known.cgroups_of(born.pid.as_raw_pid()).ok());
        }
        self.watch_memory(id, core)?;
        self.publish_exits(id, core)?;
        if is_restored {
            self.go_on(id, core);
        }
        Ok(())
    }

    /// From now on containerd knows of the container.
    fn announce(&mut self, id: &str, core: &Supervisor) -> Result<()> {
        let Some(container) = self.containers.get_mut(id) else {
            return Ok(());
        };
        container.is_created = true;
        let streams = container.first.streams.clone();
        let checkpoint = container.checkpoint.as_ref();
        let pid = container.first.pid;
        let event = Event::Create(TaskCreate {
            container_id: id.to_owned(),
            bundle: container.bundle.to_string_lossy().into_owned(),
            rootfs: std::mem::take(&mut container.mounts),
            io: Some(TaskIo {
                stdin: streams.stdin,
                stdout: streams.stdout,
                stderr: streams.stderr,
                terminal: streams.terminal,
            }),
            checkpoint: checkpoint.map_or(String::new(), |checkpoint| checkpoint.path.clone()),
            pid,
        });
        self.publish(&event, core)
    }

    /// Forgets a container that could not be made, and unmounts its root.
    pub(super) fn unmake(&mut self, id: &str) {
        let Some(container) = self.containers.remove(id) else {
            return;
        };
        if container.has_mounts
            && let Err(error) = rootfs::unmount_all(&container.rootfs())
        {
            self.setting.log.warn(&format!("{id}: {error:#}"));
        }
    }
}

fn create_options(container: &Container) -> Vec<OsString> {
    let options = &container.options;
    let flags = [
        ("--no-pivot", options.no_pivot_root),
        ("--no-new-keyring", options.no_new_keyring),
    ];
    let flags = flags.into_iter().filter(|(_, on)| *on);
    flags.map(|(flag, _)| flag.into()).collect()
}

/// Whether the container of `bundle` has no pid namespace of its own, whose end would be that of all
/// its processes.
fn shares_pids(bundle: &Path) -> bool {
    #[derive(serde::Deserialize)]
    struct Config {
        #[serde(default)]
        linux: Option<Linux>,
    }
    #[derive(serde::Deserialize)]
    struct Linux {
        #[serde(default)]
        namespaces: Option<Vec<Namespace>>,
    }
    #[derive(serde::Deserialize)]
    struct Namespace {
        r#type: String,
        #[serde(default)]
        path: Option<String>,
    }
    let text = std::fs::read(bundle.join("config.json")).unwrap_or_default();
    // What the file lacks, the runtime will say.
    let config: Option<Config> = serde_json::from_slice(&text).ok();
    let namespaces = config
        .and_then(|config| config.linux?.namespaces)
        .unwrap_or_default();
    !namespaces.iter().any(|namespace| {
        namespace.r#type == "pid" && namespace.path.as_deref().unwrap_or_default().is_empty()
    })
}
