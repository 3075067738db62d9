//! `exec`: one more process in a running container.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::Pid;

use super::conduct::{
    BirthPlace, Newborn, RuntimeSide, announce_birth, conduct, give_birth_beyond, give_birth_in,
};
use super::hook_state::HookState;
use super::process::ProcessIdentity;
use super::rootless::is_refusal;
use super::seccomp_agent;
use super::state::{Container, Status};
use super::sub_cgroups::Destination;
pub use super::sub_cgroups::SubCgroup;
use crate::cgroup::systemd::Unit;
use crate::cgroup::{Entrance, Options, Place};
use crate::error::{CallContext, Error, ErrorContext, Result};
use crate::host::Host;
use crate::init::{self, ConsoleSocket, Inheritance, Joined, TrustedProc};
use crate::plan::{self, Action, Birth, ExecRequest, NamespaceKind, Plan, ResctrlStep};
use crate::report::Listener;
use crate::spec::{Process, Spec};
use crate::sys::exec::close_spent;
use crate::sys::identity::started_as_root;
use crate::sys::scheduling;

/// What `exec` was asked beyond the process itself.
#[derive(Debug)]
pub struct Request {
    /// How many descriptors from 3 on are passed on.
    pub preserve_fds: u32,
    /// Where the pseudo-terminal goes; needed exactly when `terminal` is true.
    pub console_socket: Option<ConsoleSocket>,
    /// `--cgroup`: cgroups below the container's own to join, for the named controllers or, with
    /// none, for all.
    pub sub_cgroups: Vec<SubCgroup>,
    /// `--ignore-paused`.
    pub ignore_paused: bool,
}

/// A process that runs in the container.
#[derive(Debug)]
pub struct Executed {
    /// Its pid on the host.
    pub pid: i32,
    /// Its pidfd.
    pub pidfd: OwnedFd,
}

/// Runs `process` in the container whose config.json, as it was when it was created, is `spec`.
///
/// # Errors
/// When the container doesn't run, and with the process' own reason when it can't be executed.
pub fn exec(
    container: &Container,
    spec: &Spec<'_>,
    process: &Process<'_>,
    request: Request,
    listener: &dyn Listener,
) -> Result<Executed> {
    let state = container.created()?;
    match container.status()? {
        Status::Stopped | Status::Creating => {
            return Err(Error::new("cannot exec in a stopped container"));
        }
        Status::Paused if !request.ignore_paused => {
            return Err(Error::new("cannot exec in a paused container")
                .hint("--ignore-paused waits until it is resumed"));
        }
        _ => {}
    }
    let joined = container
        .init()
        .map_or(Ok(None), enter)?
        .ok_or_else(|| Error::new("cannot exec in a stopped container"))?;

    let host = Host::detect(spec, Some(process), state.cgroups.driver())?;
    // Before the birth: the child takes what is open into the container, if not for long.
    close_spent();
    let plan = plan::for_exec(
        spec,
        process,
        &host,
        &ExecRequest {
            preserve_fds: request.preserve_fds,
            no_new_keyring: state.no_new_keyring,
            restored: state.restored,
        },
    )?;
    plan.warnings
        .iter()
        .for_each(|warning| listener.warn(warning));
    let mut entry = Entry {
        plan: &plan,
        host: &host,
        destination: Destination::new(&state.cgroups, &request.sub_cgroups)?,
        enters_v1: false,
        unit: state.unit.as_ref(),
        init: container.init(),
        container: Some(joined),
        own_pids: spec
            .linux
            .namespaces
            .iter()
            .any(|namespace| &*namespace.kind == NamespaceKind::Pid.name()),
        hook_state: HookState {
            oci_version: &state.oci_version,
            id: &state.id,
            bundle: &state.bundle,
            annotations: Some(&spec.annotations),
        },
        console_socket: request.console_socket,
        newborn: None,
        listener,
    };
    let walked = conduct(&plan, &mut entry, listener);
    let newborn = entry
        .newborn
        .ok_or_else(|| Error::new("the plan has started no process"));
    match walked.and_then(|()| {
        newborn
            .as_ref()
            .map_or(Ok(()), |newborn| newborn.await_execution(listener))
    }) {
        Ok(()) => newborn.map(|newborn| Executed {
            pid: newborn.pid.as_raw_nonzero().get(),
            pidfd: newborn.pidfd,
        }),
        Err(error) => {
            if let Ok(newborn) = &newborn {
                newborn.end();
            }
            Err(error)
        }
    }
}

/// What is needed to join init's container; `None` when init has ended.
fn enter(init: ProcessIdentity) -> Result<Option<Joined>> {
    let Some(pidfd) = init.open()? else {
        return Ok(None);
    };
    let path = format!("/proc/{}/root", init.pid);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = open(path.as_str(), flags, Mode::empty()).call(|| format!("open({path})"))?;
    // The root that was opened is init's if init is still there: its pid was not another's.
    Ok(init.is_running().then_some(Joined { init: pidfd, root }))
}

/// The runtime's side of the walk.
struct Entry<'e, 'a> {
    plan: &'e Plan<'a>,
    host: &'e Host,
    destination: Destination,
    /// Whether the process goes into the cgroups of version 1 by itself.
    enters_v1: bool,
    unit: Option<&'e Unit>,
    init: Option<ProcessIdentity>,
    container: Option<Joined>,
    own_pids: bool,
    hook_state: HookState<'e>,
    console_socket: Option<ConsoleSocket>,
    newborn: Option<Newborn>,
    listener: &'e dyn Listener,
}

impl<'a> RuntimeSide<'a> for Entry<'_, 'a> {
    fn step(&mut self, action: &Action<'a>) -> Result<()> {
        match action {
            Action::StartInit { birth, .. } => self.start(birth),
            Action::OomScoreAdj(_) if self.newborn.as_ref().is_some_and(|it| it.has_oom_score) => {
                Ok(())
            }
            Action::OomScoreAdj(score) => {
                let pid = self.pid()?.as_raw_nonzero().get();
                TrustedProc::default().write_oom_score(pid, *score)
            }
            Action::Rlimit(limit) => init::set_limit(limit, Some(self.pid()?)),
            Action::EnterCgroups(_) => {
                let pid = self.pid()?;
                let was_born_there = self.newborn.as_ref().is_some_and(|it| it.is_in_cgroup);
                let by_pid = |place: &Place| {
                    if place.hierarchy.is_empty() {
                        !was_born_there
                    } else {
                        !self.enters_v1
                    }
                };
                let hierarchies = &self.host.hierarchies;
                let entered =
                    self.destination
                        .enter(pid, by_pid, self.init, hierarchies, self.unit);
                match entered {
                    // From another cgroup of the user's there may be no way there.
                    Err(refusal) if is_refusal(&refusal) && Options::default().is_rootless() => {
                        Ok(())
                    }
                    result => result,
                }
            }
            Action::BearOnCpus(cpus) => {
                scheduling::run_on(cpus.words()).call(|| "error setting initial CPU affinity")
            }
            Action::Resctrl(ResctrlStep::Enter(group)) => {
                let pid = self
                    .newborn
                    .as_ref()
                    .map_or(0, |newborn| newborn.pid.as_raw_nonzero().get());
                group.enter(self.hook_state.id, pid)
            }
            Action::SendListener(agent) => {
                let newborn = self
                    .newborn
                    .as_ref()
                    .ok_or_else(|| Error::new("the plan has a filter before it has a process"))?;
                let init = self.init.map_or(0, |init| init.pid.unsigned_abs());
                seccomp_agent::introduce(agent, newborn, self.hook_state.at("running", init))
            }
            _ => Err(Error::new("a step of init came to the runtime")),
        }
    }

    fn newborn(&self) -> Option<&Newborn> {
        self.newborn.as_ref()
    }
}

impl Entry<'_, '_> {
    fn pid(&self) -> Result<Pid> {
        match &self.newborn {
            Some(newborn) => Ok(newborn.pid),
            None => Err(Error::new("the plan has started no process")),
        }
    }

    fn start(&mut self, birth: &Birth<'_>) -> Result<()> {
        let birth_place = match (&self.container, birth) {
            (Some(container), Birth::Here) if self.own_pids => Some(
                BirthPlace::enter_of(container.init.as_fd())
                    .context(|| "the container's pid namespace")?,
            ),
            _ => None,
        };
        let (plan, hook_state) = (self.plan, self.hook_state);
        let placement = &self.destination.placement;
        // Put there by its pid, it would wait for others (`Entrance::enter_v1`).
        let entrance = match birth {
            Birth::Here if started_as_root() => Entrance::of_running(placement),
            _ => None,
        };
        self.enters_v1 = entrance.is_some();
        let console_socket = self.console_socket.take();
        let debug = announce_birth(self.listener);
        let mut join = self.container.take();
        let beyond = match (&join, birth) {
            (Some(container), Birth::BeyondContainer(namespaces)) => {
                let init = container
                    .init
                    .try_clone()
                    .call(|| "dup(container's init)")?;
                Some((init, *namespaces))
            }
            _ => None,
        };
        let live = |channel| {
            init::run(
                plan,
                Inheritance {
                    times: None,
                    channel,
                    hook_state,
                    console_socket,
                    exec_fifo: None,
                    join: join.take(),
                    placement,
                    entrance: entrance.as_ref(),
                    debug,
                    proc: TrustedProc::default(),
                    runtime_may_more: false,
                },
            );
        };
        let newborn = match beyond {
            Some((init, namespaces)) => {
                let enter = || init::namespaces::join_all(&init, namespaces);
                give_birth_beyond(plan, self.listener, enter, 0, live)?
            }
            None => give_birth_in(entrance.as_ref().and_then(Entrance::v2), live)?,
        };
        drop(entrance);
        // The child's end of the channel among them: its death is to be heard.
        close_spent();
        self.newborn = Some(newborn);
        match birth_place.map_or(Ok(()), BirthPlace::leave) {
            // Root of a user namespace may not go back to where it was born (setns(2)); exec has no
            // further children that would be born in the container.
            Err(error) if error.errno() == Some(Errno::PERM) => Ok(()),
            left => left,
        }
    }
}
