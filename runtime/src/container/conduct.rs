//! Walking a plan on the runtime's side, and the birth of the process that walks the other.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid};
use rustix::thread::{
    LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space, move_into_thread_name_spaces,
};

use crate::error::{CallContext, Error, Result};
use crate::init::{Channel, Message, TrustedProc, hide_from_tracers};
use crate::plan::{Action, NamespaceKind, Plan, Side};
use crate::report::Listener;
use crate::sys::clone::{Cloned, Sibling, clone_process, clone_sibling};
use crate::sys::identity::started_as_root;
use crate::trace::StepTimes;

/// A child on its way to become the container's process.
#[derive(Debug)]
pub(super) struct Newborn {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
    pub(super) channel: Channel,
    /// The number that its filter's listener has there, once it has said so.
    pub(super) seccomp_listener: Cell<Option<RawFd>>,
    /// Whether it was born with its oom_score_adj.
    pub(super) has_oom_score: bool,
    /// Whether it was born in the cgroup of version 2 that [`give_birth_in`] was given.
    pub(super) is_in_cgroup: bool,
}

/// Carries out the runtime's steps.
pub(super) trait RuntimeSide<'a> {
    /// Carries out one.
    fn step(&mut self, action: &Action<'a>) -> Result<()>;
    /// The child, once there is one.
    fn newborn(&self) -> Option<&Newborn>;
    /// Where the times of the steps are noted, if anybody wants to know.
    fn times(&self) -> Option<&StepTimes> {
        None
    }
    /// Opens the source of an entry of `mounts` for the child, which can't.
    fn mount_source(&mut self, index: u32) -> Result<OwnedFd> {
        Err(Error::new(format!(
            "nothing is mounted from /mounts/{index}"
        )))
    }
}

/// Walks the plan: the runtime's steps here, and the turns of init in between. Comes back when
/// the runtime has no more steps and init has its last turn.
pub(super) fn conduct<'a>(
    plan: &Plan<'a>,
    runtime: &mut impl RuntimeSide<'a>,
    listener: &dyn Listener,
) -> Result<()> {
    let mut side = Side::Runtime;
    for (index, step) in plan.steps.iter().enumerate() {
        if let (Action::Seccomp(program), true) = (&step.action, listener.wants_debug()) {
            listener.debug(&format!("seccomp filter flags: {}", program.flags().bits()));
        }
        match (side, step.action.side()) {
            (Side::Runtime, Side::Init) => {
                let newborn = child_of(runtime)?;
                newborn
                    .channel
                    .send(&Message::Turn)
                    .or_else(|_| newborn.why_gone(listener))?;
                side = Side::Init;
            }
            (Side::Init, Side::Runtime) => {
                await_turn(runtime, listener)?;
                side = Side::Runtime;
            }
            _ => {}
        }
        if side == Side::Runtime {
            if let Some(times) = runtime.times() {
                times.begin(index);
            }
            runtime
                .step(&step.action)
                .map_err(|error| error.at(step.pointer.to_string()))?;
            if let Some(times) = runtime.times() {
                times.end(index);
            }
        }
    }
    Ok(())
}

fn child_of<'r, 'a>(runtime: &'r impl RuntimeSide<'a>) -> Result<&'r Newborn> {
    runtime
        .newborn()
        .ok_or_else(|| Error::new("the plan has no step that starts init"))
}

/// Waits until the child is done with its steps, and gives it what it asks for meanwhile.
fn await_turn<'a>(runtime: &mut impl RuntimeSide<'a>, listener: &dyn Listener) -> Result<()> {
    loop {
        let newborn = child_of(runtime)?;
        match newborn.hear(listener)? {
            Some(Word::Turn) => return Ok(()),
            Some(Word::Failure(error)) => return Err(error),
            Some(Word::MountWanted(index)) => {
                let tree = runtime.mount_source(index);
                child_of(runtime)?.channel.answer_with_mount(index, tree)?;
            }
            None => return newborn.why_gone(listener),
        }
    }
}

impl Newborn {
    /// What the child says that is not for the listener alone; `None` when its end is closed.
    fn hear(&self, listener: &dyn Listener) -> Result<Option<Word>> {
        loop {
            return Ok(Some(match self.channel.receive()? {
                Some(Message::Turn | Message::Born(_)) => Word::Turn,
                Some(Message::MountWanted(index)) => Word::MountWanted(index),
                Some(Message::Failure(why)) => Word::Failure(failure(why)),
                Some(Message::NotExecuted(why)) => Word::Failure(failure(why).by_program()),
                Some(Message::SeccompListener(number)) => {
                    self.seccomp_listener.set(Some(number));
                    continue;
                }
                Some(Message::Debug(message)) => {
                    listener.debug(&message);
                    continue;
                }
                None => return Ok(None),
            }));
        }
    }

    /// Waits until the child has become the app: its end of the channel is closed by execve.
    pub(super) fn await_execution(&self, listener: &dyn Listener) -> Result<()> {
        match self.hear(listener)? {
            Some(Word::Failure(error)) => Err(error),
            Some(_) | None => Ok(()),
        }
    }

    /// Ends a child that is of no use any more, and takes it off the process table.
    pub(super) fn end(&self) {
        let _ = crate::sys::signal::send(self.pidfd.as_fd(), libc::SIGKILL);
        let _ = waitpid(Some(self.pid), WaitOptions::empty());
    }

    /// As a process.
    pub(super) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Why a child that has not said goodbye is gone. It may have said so before it went.
    fn why_gone(&self, listener: &dyn Listener) -> Result<()> {
        if let Ok(Some(Word::Failure(error))) = self.hear(listener) {
            return Err(error);
        }
        let how = match waitpid(Some(self.pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => match (status.exit_status(), status.terminating_signal()) {
                (_, Some(libc::SIGKILL)) => {
                    return Err(Error::new("container init was killed")
                        .hint("by another process, or for lack of memory: is the limit too low?"));
                }
                (_, Some(signal)) => format!("by signal {signal}"),
                (Some(status), None) => format!("with status {status}"),
                (None, None) => "without a status".to_owned(),
            },
            _ => "unseen".to_owned(),
        };
        Err(Error::new(format!(
            "container init ended {how} before it was set up"
        )))
    }
}

/// What a child says of its way.
enum Word {
    /// It is our turn.
    Turn,
    /// It asks for the source of this entry of `mounts`.
    MountWanted(u32),
    /// It will not become the container's process.
    Failure(Error),
}

/// Init's own words, in runc's frame.
fn failure(why: String) -> Error {
    Error::new(why).context("unable to start container process")
}

/// A pid namespace in which the next child is to be born (setns(2): `CLONE_NEWPID` holds for
/// children only); the runtime's own children afterwards are to be born in its own again.
pub(super) struct BirthPlace {
    own: OwnedFd,
}

impl BirthPlace {
    pub(super) fn enter(namespace: BorrowedFd<'_>) -> Result<Self> {
        let own = own_pid_namespace()?;
        move_into_link_name_space(namespace, Some(LinkNameSpaceType::ProcessID))
            .call(|| "setns(pid)")?;
        Ok(BirthPlace { own })
    }

    /// The same, with the namespace of the process that a pidfd stands for.
    pub(super) fn enter_of(process: BorrowedFd<'_>) -> Result<Self> {
        let own = own_pid_namespace()?;
        move_into_thread_name_spaces(process, ThreadNameSpaceType::PROCESS_ID)
            .call(|| "setns(container's init, CLONE_NEWPID)")?;
        Ok(BirthPlace { own })
    }

    pub(super) fn leave(self) -> Result<()> {
        move_into_link_name_space(self.own.as_fd(), Some(LinkNameSpaceType::ProcessID))
            .call(|| "setns(own pid namespace)")
    }
}

fn own_pid_namespace() -> Result<OwnedFd> {
    open(
        "/proc/self/ns/pid",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .call(|| "open(/proc/self/ns/pid)")
}

/// Says, in runc's words, that a child is about to be born, and on which CPUs (the first 64), if
/// anybody wants to know. Returns whether somebody does.
pub(super) fn announce_birth(listener: &dyn Listener) -> bool {
    let wanted = listener.wants_debug();
    if wanted {
        listener.debug("nsexec container setup");
        if let Ok(cpus) = crate::sys::scheduling::runs_on() {
            listener.debug(&format!("nsexec: affinity: {cpus:#x}"));
        }
    }
    wanted
}

/// Clones the child. In the child, `live` is called with its end of the channel, and the process
/// ends when that comes back.
pub(super) fn give_birth(
    namespaces: u64,
    cgroup: Option<BorrowedFd<'_>>,
    live: impl FnOnce(Channel),
) -> Result<Newborn> {
    if namespaces & NamespaceKind::User.clone_flag() != 0 {
        hide_own_child()?;
    }
    let ends = Channel::pair()?;
    let cloned = clone_process(namespaces, cgroup)
        .call(|| format!("clone3({})", clone_flag_names(namespaces)))?;
    Ok(part(cloned, ends, live))
}

/// The same without new namespaces, and in the cgroup if it can be born there, which [`Newborn`]
/// knows. At its limit of processes, or below a container that has moved on, it can't, though it may
/// perhaps be put there.
pub(super) fn give_birth_in(
    cgroup: Option<BorrowedFd<'_>>,
    live: impl FnOnce(Channel),
) -> Result<Newborn> {
    let ends = Channel::pair()?;
    if let Ok(cloned) = clone_process(0, cgroup) {
        let mut newborn = part(cloned, ends, live);
        newborn.is_in_cgroup = cgroup.is_some();
        return Ok(newborn);
    }
    let cloned = clone_process(0, None).call(|| "clone3()")?;
    Ok(part(cloned, ends, live))
}

/// From here on there are two: the child lives, and ends; the parent gets to know it.
fn part(cloned: Cloned, (ours, theirs): (Channel, Channel), live: impl FnOnce(Channel)) -> Newborn {
    match cloned {
        Cloned::Child => {
            drop(ours);
            live(theirs);
            std::process::exit(1);
        }
        Cloned::Parent(pid, pidfd) => {
            // Closed with what else is open for the birth, before anybody listens on ours.
            theirs.spend();
            Newborn {
                pid,
                pidfd,
                channel: ours,
                seccomp_listener: Cell::new(None),
                has_oom_score: false,
                is_in_cgroup: false,
            }
        }
    }
}

/// The same with a process in between, which takes the steps of `enter`, makes the child, and ends.
/// The child is this process' own all the same.
///
/// Where `enter` leads there may be somebody with every right over the child, before that has let go
/// of anything of the host's: it is born not dumpable (ptrace(2), "Ptrace access mode checking"). So
/// without root's rights its files in /proc are not ours to write, and what `plan` says of them is
/// done before, for the child to inherit.
pub(super) fn give_birth_beyond(
    plan: &Plan<'_>,
    listener: &dyn Listener,
    enter: impl FnOnce() -> Result<()>,
    namespaces: u64,
    live: impl FnOnce(Channel),
) -> Result<Newborn> {
    let (ours, theirs) = Channel::pair()?;
    let (between, _) = match clone_process(0, None).call(|| "clone3()")? {
        Cloned::Parent(pid, pidfd) => (pid, pidfd),
        Cloned::Child => {
            drop(ours);
            let born = set_oom_score(plan)
                .and_then(|()| hide_from_tracers())
                .and_then(|()| enter())
                .and_then(|()| {
                    clone_sibling(namespaces)
                        .call(|| format!("clone3({})", clone_flag_names(namespaces)))
                });
            let message = match born {
                Ok(Sibling::Younger) => {
                    live(theirs);
                    std::process::exit(1);
                }
                Ok(Sibling::Elder(pid)) => Message::Born(pid.as_raw_nonzero().get().unsigned_abs()),
                Err(error) => Message::Failure(error.to_string()),
            };
            let _ = theirs.send(&message);
            std::process::exit(0);
        }
    };
    drop(theirs);
    // It says what it has to say before it ends. A child that nobody told us of ends by itself when
    // our end of the channel is closed.
    let _ = waitpid(Some(between), WaitOptions::empty());
    let pid = loop {
        match ours.receive_arrived()? {
            Some(Message::Born(pid)) => break i32::try_from(pid).ok().and_then(Pid::from_raw),
            Some(Message::Failure(why)) => return Err(failure(why)),
            // The child may be faster than the one that made it.
            Some(Message::Debug(message)) => listener.debug(&message),
            _ => break None,
        }
    };
    let pid = pid.ok_or_else(|| Error::new("the process that was to make init has ended"))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).call(|| "pidfd_open(init)")?;
    Ok(Newborn {
        pid,
        pidfd,
        channel: ours,
        seccomp_listener: Cell::new(None),
        has_oom_score: true,
        is_in_cgroup: false,
    })
}

/// To be called before a child is made in a new user namespace. All processes of the user who has made
/// it, in containers too, have every right over it (user_namespaces(7), "Capabilities"), and it still
/// has what we have of the host: like us, it is not to be dumpable.
///
/// Without root's rights we could then not write its mappings; but who could trace it is our own user
/// outside of containers.
pub(super) fn hide_own_child() -> Result<()> {
    if started_as_root() {
        hide_from_tracers()?;
    }
    Ok(())
}

fn set_oom_score(plan: &Plan<'_>) -> Result<()> {
    plan.steps.iter().try_for_each(|step| match step.action {
        Action::OomScoreAdj(score) => TrustedProc::default()
            .write_own_oom_score(score)
            .map_err(|error| error.at(step.pointer.to_string())),
        _ => Ok(()),
    })
}

fn clone_flag_names(flags: u64) -> String {
    let names: Vec<String> = crate::plan::namespace_kinds()
        .into_iter()
        .filter(|kind| flags & kind.clone_flag() != 0)
        .map(|kind| format!("new {kind}"))
        .collect();
    names.join(", ")
}
