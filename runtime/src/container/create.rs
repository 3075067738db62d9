//! `create`, and the first half of `run`: the runtime's side of a container's plan.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use rustix::process::Pid;
use serde_json::value::RawValue;

use super::conduct::{
    BirthPlace, Newborn, RuntimeSide, announce_birth, conduct, give_birth, give_birth_beyond,
};
use super::delete;
use super::directory::{ContainerDirectory, Lock, Store};
use super::hook_state::HookState;
use super::id_maps;
use super::journal::{Journal, Record};
use super::mount_source::{self, MountSources};
use super::net_devices::NetDeviceMover;
use super::notify::{self, Notifier};
use super::pid_file::write_pid_file;
use super::process::ProcessIdentity;
use super::rootless::is_refusal;
use super::seccomp_agent;
use super::state::{ConfigExcerpt, EXEC_FIFO, StateFile};
use crate::cgroup::systemd::{Manager, Property, Unit};
use crate::cgroup::{self, Entrance, Maker, Placement};
use crate::error::{CallContext, Error, ErrorContext, Result};
use crate::hooks::{self, Surroundings};
use crate::host::Host;
use crate::init::{self, ConsoleSocket, Inheritance, TrustedProc};
use crate::plan::{
    self, Action, Birth, ContainerRequest, HookKind, NamespaceKind, NetDeviceStep, Plan,
    ResctrlStep, SeccompAgent, Step,
};
use crate::report::Listener;
use crate::spec::{ConfigText, Spec, check, check_rootless};
use crate::sys::exec::{close_spent, spend};
use crate::sys::identity::started_as_root;
use crate::trace::{StepTimes, Trace};

/// What `create` and `run` were asked.
#[derive(Debug)]
pub struct Request<'a> {
    /// The container's id.
    pub id: &'a str,
    /// The bundle, absolute.
    pub bundle: &'a str,
    /// `--no-pivot`.
    pub no_pivot: bool,
    /// `--no-new-keyring`.
    pub no_new_keyring: bool,
    /// How many descriptors from 3 on are passed on.
    pub preserve_fds: u32,
    /// What is added to the environment (socket activation).
    pub extra_env: &'a [String],
    /// Where the pseudo-terminal goes; needed exactly when `process.terminal` is true.
    pub console_socket: Option<ConsoleSocket>,
    /// systemd's socket, if it is to be told when the container is ready.
    pub notify: Option<&'a Path>,
    /// `--pid-file`.
    pub pid_file: Option<&'a Path>,
    /// Whether init waits for `start`.
    pub wait_for_start: bool,
    /// What was said about cgroups.
    pub cgroups: cgroup::Options,
    /// `--trace`.
    pub trace: Option<&'a Trace>,
}

/// A container that has been set up.
#[derive(Debug)]
pub struct Created {
    /// Its directory.
    pub directory: ContainerDirectory,
    /// Init.
    pub init: ProcessIdentity,
    /// Init's pidfd.
    pub pidfd: OwnedFd,
    /// What was done for it.
    pub records: Vec<Record>,
    /// What its program says to systemd; only if it has not to be started first.
    pub notifier: Option<Notifier>,
    /// Held until the caller is done.
    pub lock: Lock,
}

/// Sets a container up: up to the wait for `start`, or, without that, up to the execution of its
/// program. On failure nothing is left of it.
///
/// # Errors
/// With the place in config.json, the call, and what the kernel said.
pub fn create(
    store: &Store,
    config: &ConfigText,
    spec: &Spec<'_>,
    request: Request<'_>,
    listener: &dyn Listener,
) -> Result<Created> {
    let trace = request.trace;
    let created = set_up(store, config, spec, request, listener);
    if let (Some(trace), Err(error)) = (trace, &created) {
        warn_of(trace.write_without_steps(error), listener);
    }
    created
}

fn set_up(
    store: &Store,
    config: &ConfigText,
    spec: &Spec<'_>,
    request: Request<'_>,
    listener: &dyn Listener,
) -> Result<Created> {
    let groundwork = Groundwork::lay(store, spec, &request)?;
    close_spent();
    let plan = groundwork.plan(spec, &request)?;
    let placed = groundwork.place(spec, request.id)?;
    plan.warnings
        .iter()
        .for_each(|warning| listener.warn(warning));

    let ground = Ground {
        config,
        spec,
        host: &groundwork.host,
        plan: &plan,
        listener,
    };
    let times = request.trace.map(|_| StepTimes::of(&plan)).transpose()?;
    let mut setup = Setup::begin(store, ground, placed, request)?;
    setup.times = times;
    let done = setup.carry_out();
    setup.write_trace(done.as_ref().err());
    match done {
        Ok(()) => setup.finish(),
        Err(error) => {
            setup.clean_up();
            Err(error)
        }
    }
}

/// The container is there all the same.
fn warn_of(written: Result<()>, listener: &dyn Listener) {
    if let Err(error) = written {
        listener.warn(&error.to_string());
    }
}

/// What a container's plan is made from, besides config.json.
pub(super) struct Groundwork {
    pub(super) host: Host,
    maker: Maker,
}

impl Groundwork {
    /// Checks config.json, and looks at the host.
    pub(super) fn lay(store: &Store, spec: &Spec<'_>, request: &Request<'_>) -> Result<Self> {
        check(spec)?;
        let cgroups_path = spec.linux.cgroups_path.as_deref();
        let directory = store.place(request.id);
        let maker = request
            .cgroups
            .maker(cgroups_path, request.id, &directory)?;
        let host = Host::detect(spec, spec.process.as_ref(), request.cgroups.driver)?;
        if host.rootless {
            check_rootless(spec)?;
        }
        Ok(Groundwork { host, maker })
    }

    pub(super) fn plan<'a>(
        &'a self,
        spec: &'a Spec<'a>,
        request: &Request<'a>,
    ) -> Result<Plan<'a>> {
        let request = ContainerRequest {
            bundle: request.bundle,
            no_pivot: request.no_pivot,
            no_new_keyring: request.no_new_keyring,
            preserve_fds: request.preserve_fds,
            extra_env: request.extra_env,
            wait_for_start: request.wait_for_start,
            cgroups: &self.maker,
        };
        plan::for_container(spec, &self.host, &request)
    }

    /// Where the container's cgroups are going to be, and whom to ask for them.
    pub(super) fn place(&self, spec: &Spec<'_>, id: &str) -> Result<(Placement, Option<Manager>)> {
        let hierarchies = &self.host.hierarchies;
        match &self.maker {
            Maker::Runtime => {
                let path = spec.linux.cgroups_path.as_deref();
                Ok((hierarchies.place(path, id)?, None))
            }
            Maker::Nobody => Ok((Placement::default(), None)),
            Maker::Systemd(unit) => {
                let mut manager = Manager::connect(unit.user)?;
                let mut path = unit.cgroup()?;
                if unit.user {
                    path = manager.cgroup()? + &path;
                }
                Ok((hierarchies.place_unit(&path), Some(manager)))
            }
        }
    }
}

/// What a container is set up from.
#[derive(Clone, Copy)]
pub(super) struct Ground<'s, 'a> {
    pub(super) config: &'s ConfigText,
    pub(super) spec: &'a Spec<'a>,
    pub(super) host: &'s Host,
    pub(super) plan: &'s Plan<'a>,
    pub(super) listener: &'s dyn Listener,
}

/// The runtime's side of the walk.
pub(super) struct Setup<'s, 'a> {
    pub(super) directory: ContainerDirectory,
    pub(super) lock: Option<Lock>,
    journal: Option<Journal>,
    pub(super) records: Vec<Record>,
    pub(super) host: &'s Host,
    pub(super) spec: &'a Spec<'a>,
    config: &'s ConfigText,
    pub(super) plan: &'s Plan<'a>,
    pub(super) hook_state: HookState<'a>,
    pub(super) placement: Placement,
    /// systemd, where it makes the cgroup.
    manager: Option<Manager>,
    entrance: Option<Entrance>,
    /// CRIU, which is in init's place until it has restored it.
    pub(super) stand_in: Option<Pid>,
    mount_sources: MountSources,
    newborn: Option<Newborn>,
    net_devices: Option<NetDeviceMover>,
    pub(super) identity: Option<ProcessIdentity>,
    notifier: Option<Notifier>,
    times: Option<StepTimes>,
    created: String,
    proc: TrustedProc,
    pub(super) request: Request<'s>,
    pub(super) listener: &'s dyn Listener,
}

impl<'s, 'a> Setup<'s, 'a> {
    /// Makes the container's directory. Nothing has been done for it yet.
    pub(super) fn begin(
        store: &Store,
        ground: Ground<'s, 'a>,
        (placement, manager): (Placement, Option<Manager>),
        request: Request<'s>,
    ) -> Result<Self>
    where
        's: 'a,
    {
        let created = jiff::Timestamp::now().to_string();
        let begun = Record::Begun {
            bundle: request.bundle.to_owned(),
            oci_version: ground.spec.oci_version.to_string(),
            rootfs: rootfs(ground.spec, request.bundle),
            created: created.clone(),
        };
        let (directory, lock, journal) = store.make(request.id)?;
        Ok(Setup {
            directory,
            lock: Some(lock),
            journal: Some(Journal::begin(journal, &begun)?),
            records: vec![begun],
            host: ground.host,
            spec: ground.spec,
            config: ground.config,
            plan: ground.plan,
            listener: ground.listener,
            hook_state: HookState {
                oci_version: &ground.spec.oci_version,
                id: request.id,
                bundle: request.bundle,
                annotations: Some(&ground.spec.annotations),
            },
            placement,
            manager,
            entrance: None,
            stand_in: None,
            mount_sources: MountSources::default(),
            newborn: None,
            net_devices: None,
            identity: None,
            notifier: None,
            times: None,
            created,
            proc: TrustedProc::default(),
            request,
        })
    }

    fn carry_out(&mut self) -> Result<()> {
        if let Some(host) = self.request.notify {
            notify::make_directory(&self.directory)?;
            if !self.request.wait_for_start {
                self.notifier = Notifier::new(&self.directory, host)?;
            }
        }
        let listener = self.listener;
        conduct(self.plan, self, listener)?;
        // Root may look into init at any time, others only once it waits.
        let done = self.request.wait_for_start && started_as_root() && !listener.wants_debug();
        match &self.newborn {
            // Init closes the channel when it executes the program, or begins to wait for `start`.
            Some(newborn) if !done => newborn.await_execution(listener),
            _ => Ok(()),
        }
    }

    fn write_trace(&self, failure: Option<&Error>) {
        if let (Some(trace), Some(times)) = (self.request.trace, &self.times) {
            let init = self.newborn.as_ref().map(Newborn::pid);
            warn_of(trace.write(self.plan, times, init, failure), self.listener);
        }
    }

    fn finish(self) -> Result<Created> {
        let (Some(newborn), Some(init), Some(lock)) = (self.newborn, self.identity, self.lock)
        else {
            return Err(Error::new("the plan has started no process"));
        };
        newborn.channel.spend();
        Ok(Created {
            directory: self.directory,
            init,
            pidfd: newborn.pidfd,
            records: self.records,
            notifier: self.notifier,
            lock,
        })
    }

    /// Undoes what was done, exactly as `delete --force` would from the journal after a crash.
    pub(super) fn clean_up(mut self) {
        self.journal = None;
        self.entrance = None;
        // As long as their namespace is there.
        if let Some(devices) = self.net_devices.take() {
            devices.take_back(self.listener);
        }
        let poststop = match self.identity {
            Some(_) => self.spec.hooks.poststop.as_slice(),
            None => &[],
        };
        let deleted = delete::delete_done(
            &self.directory,
            &self.records,
            poststop,
            &self.hook_state,
            self.listener,
        );
        if let Err(error) = deleted {
            self.listener
                .warn(&format!("cleaning up after the failure: {error}"));
        }
    }

    pub(super) fn record(&mut self, record: Record) -> Result<()> {
        if let Some(journal) = &mut self.journal {
            journal.add(&record)?;
        }
        self.records.push(record);
        Ok(())
    }

    pub(super) fn rootfs(&self) -> String {
        rootfs(self.spec, self.request.bundle)
    }

    fn start_unit(&mut self, unit: &Unit, properties: &[Property]) -> Result<()> {
        // What systemd would say of a unit that exists helps nobody.
        self.placement.refuse_if_in_use()?;
        self.record(Record::Unit(unit.clone()))?;
        let newborn = self.newborn.as_ref().map(|newborn| newborn.pid);
        let (Some(manager), Some(pid)) = (&mut self.manager, newborn.or(self.stand_in)) else {
            return Err(Error::new("the plan starts a unit before the birth"));
        };
        manager.start(unit, properties, &[pid])
    }

    fn create_cgroups(&mut self) -> Result<()> {
        self.record(Record::MakingCgroups(self.placement.clone()))?;
        let writes = self.plan.steps.iter().find_map(|step| match &step.action {
            Action::WriteCgroups(writes) => Some(writes.as_slice()),
            _ => None,
        });
        let writes = writes.unwrap_or_default();
        let (journal, records) = (&mut self.journal, &mut self.records);
        let mut add = |placement: &Placement| {
            let record = Record::MakingCgroups(placement.clone());
            let journaled = journal
                .as_mut()
                .map_or(Ok(()), |journal| journal.add(&record));
            records.push(record);
            journaled
        };
        let hierarchies = &self.host.hierarchies;
        let made = if self.manager.is_some() {
            self.placement.complete(hierarchies, writes, &mut add)
        } else {
            self.placement.create(hierarchies, writes, &mut add)
        };
        let entrance = match made {
            Err(refusal) if is_refusal(&refusal) && self.is_rootless() => {
                self.give_up_refused_cgroups(writes, refusal)?;
                // With fewer of them.
                return self.create_cgroups();
            }
            made => made?,
        };
        self.entrance = Some(entrance);
        self.record(Record::Cgroups(self.placement.clone()))
    }

    fn start_init(&mut self, namespaces: u64, birth: &Birth<'_>) -> Result<()> {
        let exec_fifo = if self.request.wait_for_start {
            Some(self.make_exec_fifo()?)
        } else {
            None
        };
        let birth_place = match birth {
            Birth::InPidNamespace(path) => {
                let namespace = open(*path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                    .call(|| format!("open pid namespace {path}"))?;
                Some(BirthPlace::enter(namespace.as_fd()).context(|| (*path).to_owned())?)
            }
            _ => None,
        };
        let console_socket = self.request.console_socket.take();
        let (plan, hook_state) = (self.plan, self.hook_state);
        let placement = &self.placement;
        let entrance = self.entrance.take();
        let debug = announce_birth(self.listener);
        let times = self.times.as_ref();
        // Held for both sides at once where ours is going to write there in any case.
        let scored = |step: &Step<'_>| matches!(step.action, Action::OomScoreAdj(_));
        if matches!(birth, Birth::Beyond(_)) || plan.steps.iter().any(scored) {
            self.proc.hold()?;
        }
        let proc = &mut self.proc;
        let runtime_may_more = self.host.may_join_namespaces();
        let live = |channel| {
            init::run(
                plan,
                Inheritance {
                    channel,
                    hook_state,
                    console_socket,
                    exec_fifo,
                    join: None,
                    placement,
                    entrance: entrance.as_ref(),
                    times,
                    debug,
                    proc: std::mem::take(proc),
                    runtime_may_more,
                },
            );
        };
        let newborn = if let Birth::Beyond(list) = birth {
            let enter = || init::namespaces::join_with_user(list);
            let newborn = give_birth_beyond(plan, self.listener, enter, namespaces, live)?;
            self.entrance = entrance;
            newborn
        } else {
            let cgroup = entrance.as_ref().and_then(Entrance::v2);
            let newborn = give_birth(namespaces, cgroup, live)?;
            drop(entrance);
            newborn
        };
        // Init's end of the channel among them: its death is to be heard.
        close_spent();
        let pid = newborn.pid();
        self.newborn = Some(newborn);
        if let Some(birth_place) = birth_place {
            birth_place.leave()?;
        }
        // Init does nothing before its first turn, so nothing is lost if we die before this line.
        let identity = ProcessIdentity::of(pid)?;
        self.identity = Some(identity);
        self.record(Record::Init {
            pid,
            start_time: identity.start_time,
            own_pids: self.own_pids(),
        })
    }

    /// Whether init is the first process of a pid namespace that is made for it.
    pub(super) fn own_pids(&self) -> bool {
        self.plan.steps.iter().any(|step| match &step.action {
            Action::StartInit { namespaces, .. } => {
                namespaces & NamespaceKind::Pid.clone_flag() != 0
            }
            _ => false,
        })
    }

    /// The fifo is opened for reading and writing: so neither end blocks, init can wait on it
    /// without a path, and `start` is refused with ENXIO once init is gone (fifo(7)).
    fn make_exec_fifo(&self) -> Result<OwnedFd> {
        let path = self.directory.file(EXEC_FIFO);
        let shown = || format!("mkfifo {}", path.display());
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).call(shown)?;
        open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).call(shown)
    }

    fn enter_cgroups(&mut self) -> Result<()> {
        let pid = self.newborn.as_ref().map(|newborn| newborn.pid);
        match (self.entrance.take(), self.stand_in.or(pid)) {
            (Some(entrance), Some(pid)) => entrance.attach(pid),
            _ => Err(Error::new("the plan enters cgroups that it has not made")),
        }
    }

    fn pid(&self) -> Result<i32> {
        Ok(self.newborn_pid()?.as_raw_nonzero().get())
    }

    fn newborn_pid(&self) -> Result<Pid> {
        let newborn = self.newborn.as_ref().ok_or_else(no_process)?;
        Ok(newborn.pid)
    }

    pub(super) fn record_created(&mut self) -> Result<()> {
        let identity = self
            .identity
            .ok_or_else(|| Error::new("the plan has started no process"))?;
        let spec = RawValue::from_string(self.config.as_str().to_owned())
            .map_err(|error| Error::new(format!("config.json: {error}")))?;
        let bundle = self.hook_state.bundle;
        let state = StateFile {
            id: self.hook_state.id.to_owned(),
            init_process_pid: identity.pid,
            init_process_start: identity.start_time,
            created: self.created.clone(),
            config: ConfigExcerpt {
                rootfs: self.rootfs(),
                labels: vec![format!("bundle={bundle}")],
            },
            rootless: !started_as_root(),
            cgroup_paths: StateFile::cgroup_paths_of(&self.placement),
            namespace_paths: StateFile::namespace_paths_of(identity.pid),
            oci_version: self.hook_state.oci_version.to_owned(),
            bundle: bundle.to_owned(),
            annotations: self
                .spec
                .annotations
                .iter()
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .collect(),
            cgroups: self.placement.clone(),
            unit: self.records.iter().find_map(|record| match record {
                Record::Unit(unit) => Some(unit.clone()),
                _ => None,
            }),
            own_pids: self.own_pids(),
            no_new_keyring: self.request.no_new_keyring,
            restored: self.newborn.is_none(),
            late_hooks: !self.spec.hooks.poststart.is_empty()
                || !self.spec.hooks.poststop.is_empty(),
            spec,
        };
        let state = state.write(&self.directory)?;
        // All that there is to undo has been written down.
        let journal = self.journal.take().map(Journal::into_file);
        let written = std::iter::once(state).chain(journal);
        spend(written.map(OwnedFd::from));
        std::mem::take(&mut self.proc).spend();
        close_spent();
        match self.request.pid_file {
            Some(path) => write_pid_file(path, identity.pid),
            None => Ok(()),
        }
    }

    fn move_net_device(&mut self, device: &NetDeviceStep<'_>) -> Result<()> {
        let mover = match self.net_devices.take() {
            Some(mover) => mover,
            None => match &self.newborn {
                Some(newborn) => NetDeviceMover::to(newborn.pid)?,
                None => return Err(Error::new("the plan has started no process")),
            },
        };
        self.net_devices.insert(mover).carry(device)
    }

    fn introduce_agent(&self, agent: &SeccompAgent<'_>) -> Result<()> {
        let newborn = self
            .newborn
            .as_ref()
            .ok_or_else(|| Error::new("the plan has a filter before it has a process"))?;
        let pid = newborn.pid.as_raw_nonzero().get().unsigned_abs();
        seccomp_agent::introduce(agent, newborn, self.hook_state.at("creating", pid))
    }

    pub(super) fn run_hooks(&self, kind: HookKind, list: &[crate::spec::Hook<'_>]) -> Result<()> {
        let pid = self.identity.map_or(0, |init| init.pid.unsigned_abs());
        let bundle = self.hook_state.bundle;
        // runtime.md, "State" and "Lifecycle": a container is `created` after step 2, before any
        // hook; what crun says, where runc says `creating`.
        let state = self.hook_state.json("created", pid);
        hooks::run(kind, list, &state, Surroundings::Host { bundle })
    }
}

impl<'a> RuntimeSide<'a> for Setup<'_, 'a> {
    fn step(&mut self, action: &Action<'a>) -> Result<()> {
        match action {
            Action::StartUnit(unit, properties) => self.start_unit(unit, properties),
            Action::CreateCgroups => self.create_cgroups(),
            Action::WriteCgroups(writes) => self.write_cgroups(writes),
            Action::DelegateCgroup(owner) => self.placement.delegate(*owner),
            Action::FilterDevices(program) => match self.placement.apply_device_filter(program) {
                // It takes CAP_SYS_ADMIN on the host.
                Err(_) if self.is_rootless() => Ok(()),
                result => result,
            },
            Action::StartInit { namespaces, birth } => self.start_init(*namespaces, birth),
            Action::MapIds(maps) => {
                let pid = self.pid()?;
                id_maps::write(&mut self.proc, pid, *maps)
            }
            Action::CompareIdMaps(maps) => id_maps::compare(self.pid()?, *maps),
            Action::OomScoreAdj(_) if self.newborn.as_ref().is_some_and(|it| it.has_oom_score) => {
                Ok(())
            }
            Action::OomScoreAdj(score) => {
                let pid = self.pid()?;
                self.proc.write_oom_score(pid, *score)
            }
            Action::Rlimit(limit) => init::set_limit(limit, Some(self.newborn_pid()?)),
            Action::EnterCgroups(_) => self.enter_cgroups(),
            Action::Resctrl(ResctrlStep::Make(group, schemata)) => {
                let id = self.hook_state.id;
                group.make(id, schemata, &mut |path| {
                    self.record(Record::ResctrlDirectory(path.to_owned()))
                })
            }
            Action::Resctrl(ResctrlStep::Enter(group)) => {
                let newborn = self.newborn.as_ref().map(|newborn| newborn.pid);
                let pid = newborn.or(self.stand_in).ok_or_else(no_process)?;
                group.enter(self.hook_state.id, pid.as_raw_nonzero().get())
            }
            Action::MoveNetDevice(device) => self.move_net_device(device),
            Action::Hooks(kind, list) => self.run_hooks(*kind, list),
            Action::RecordCreated => self.record_created(),
            Action::SendListener(agent) => self.introduce_agent(agent),
            _ => Err(Error::new("a step of init came to the runtime")),
        }
    }

    fn newborn(&self) -> Option<&Newborn> {
        self.newborn.as_ref()
    }

    fn times(&self) -> Option<&StepTimes> {
        self.times.as_ref()
    }

    fn mount_source(&mut self, index: u32) -> Result<OwnedFd> {
        if index == init::ROOTFS {
            let newborn = self.newborn.as_ref().ok_or_else(no_process)?;
            return mount_source::open_directory(&self.rootfs(), newborn.pidfd.as_fd());
        }
        let wanted = self.plan.steps.iter().find_map(|step| match &step.action {
            Action::Mount(mount) if step.pointer.index == usize::try_from(index).ok() => {
                Some(mount)
            }
            _ => None,
        });
        let (Some(mount), Some(newborn)) = (wanted, &self.newborn) else {
            return Err(Error::new(format!("no mount has the index {index}")));
        };
        self.mount_sources
            .open(mount, newborn.pid, newborn.pidfd.as_fd())
    }
}

/// Where the root file system is on the host.
fn rootfs(spec: &Spec<'_>, bundle: &str) -> String {
    let path = spec.root.as_ref().map_or("", |root| &*root.path);
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{bundle}/{path}")
    }
}

fn no_process() -> Error {
    Error::new("the plan has started no process")
}
