//! The container's side: what the child of clone3 does between its birth and `execve`.
//!
//! It goes on in the runtime's own image, walks the same plan, carries out the steps of its side,
//! and tells the runtime over the [`Channel`] when the list passes to the other side.

pub mod channel;
mod credentials;
mod environment;
mod keyring;
pub(crate) mod namespaces;
mod program;
mod scheduling;
pub(crate) mod trusted_proc;

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Pid, prlimit};

use crate::cgroup::Entrance;
use crate::container::hook_state::HookState;
use crate::error::{CallContext, Error, Result, kernel_words};
use crate::hooks::{self, Surroundings};
use crate::plan::{Action, HookKind, MountSource, MountStep, Plan, RlimitStep, Side, Step};
use crate::rootfs::console::Console;
use crate::rootfs::device::DeviceMaker;
use crate::rootfs::mask::{Masker, make_path_readonly};
use crate::rootfs::{RootFd, cgroups, mount, move_root, pivot};
use crate::seccomp::Program;
use crate::spec::sysctl;
use crate::sys;
use crate::sys::identity::started_as_root;
use crate::trace::StepTimes;

pub use channel::{Channel, Message, ROOTFS};
use program::Located;
pub(crate) use trusted_proc::TrustedProc;

/// What init inherits from the runtime besides the plan.
#[derive(Debug)]
pub struct Inheritance<'a> {
    /// Our end of the channel.
    pub channel: Channel,
    /// The container, as hooks are told of it.
    pub hook_state: HookState<'a>,
    /// Where the pseudo-terminal is sent to.
    pub console_socket: Option<ConsoleSocket>,
    /// The fifo on which `start` calls, open for reading and writing.
    pub exec_fifo: Option<OwnedFd>,
    /// The running container that an exec'd process joins.
    pub join: Option<Joined>,
    /// Where the container's cgroups are, for its cgroup mounts.
    pub placement: &'a crate::cgroup::Placement,
    /// The way into the cgroups of version 1, where init goes there by itself.
    pub entrance: Option<&'a Entrance>,
    /// The host's /proc, if it had to be held before.
    pub proc: TrustedProc,
    /// Whether the runtime has rights on the host that init has not.
    pub runtime_may_more: bool,
    /// Where the times of the steps are noted, if anybody wants to know.
    pub times: Option<&'a StepTimes>,
    /// Whether the runtime wants debug messages.
    pub debug: bool,
}

/// Where a pseudo-terminal is sent to.
#[derive(Debug)]
pub struct ConsoleSocket {
    /// A connected unix socket.
    pub socket: OwnedFd,
    /// Whether whoever gets it wants line feeds as they are, as runc in the foreground does.
    pub keep_line_feeds: bool,
}

/// A running container, for a process that joins it.
#[derive(Debug)]
pub struct Joined {
    /// Its init's pidfd.
    pub init: OwnedFd,
    /// Its init's root directory, which may be a chroot(2) within its mount namespace.
    pub root: OwnedFd,
}

/// Carries out init's steps. Comes back only when one has failed and the failure has been
/// reported; the process is then to end.
pub fn run(plan: &Plan<'_>, inheritance: Inheritance<'_>) {
    let mut init = Init::new(inheritance);
    if init.inheritance.exec_fifo.is_some() {
        // Whoever ends a container that waits means it to end; from now on, for it is called
        // created before it waits.
        sys::signal::end_on(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT]);
    }
    init.debug(|| "child process in init()".to_owned());
    if let Err(error) = init.carry_out(plan) {
        init.report(&error);
    }
}

struct Init<'a> {
    inheritance: Inheritance<'a>,
    started: bool,
    /// Its user may look into it ([`Init::let_its_user_look_in`]).
    shown_to_its_user: bool,
    executing: bool,
    joined: bool,
    /// Whether the container has a cgroup namespace of its own.
    cgroup_namespace: bool,
    proc: TrustedProc,
    root: Option<RootFd>,
    devices: DeviceMaker,
    masker: Masker,
    env: Vec<CString>,
    located: Option<Located>,
    /// Our filter's, until the runtime has fetched it for the agent.
    seccomp_listener: Option<OwnedFd>,
}

impl<'a> Init<'a> {
    fn new(mut inheritance: Inheritance<'a>) -> Self {
        Init {
            joined: inheritance.join.is_some(),
            cgroup_namespace: false,
            started: false,
            shown_to_its_user: false,
            executing: false,
            proc: std::mem::take(&mut inheritance.proc),
            inheritance,
            root: None,
            devices: DeviceMaker::default(),
            masker: Masker::default(),
            env: Vec::new(),
            located: None,
            seccomp_listener: None,
        }
    }

    /// Tells the runtime's listener. Until the program is executed, or `start` is waited for,
    /// whoever listens hears it.
    fn debug(&self, message: impl FnOnce() -> String) {
        if self.inheritance.debug {
            let _ = self.inheritance.channel.send(&Message::Debug(message()));
        }
    }

    fn carry_out(&mut self, plan: &Plan<'_>) -> Result<()> {
        let born = plan
            .steps
            .iter()
            .position(|step| matches!(step.action, Action::StartInit { .. }))
            .map_or(0, |at| at + 1);
        self.cgroup_namespace = plan.has_cgroup_namespace();
        // mknod(2) and mkdir(2) get the modes that they are given.
        rustix::process::umask(rustix::fs::Mode::empty());
        // Right after the birth it is the runtime's turn.
        let mut side = Side::Runtime;
        for (index, step) in plan.steps.iter().enumerate().skip(born) {
            match (side, step.action.side()) {
                (Side::Init, Side::Runtime) => {
                    self.inheritance.channel.send(&Message::Turn)?;
                    side = Side::Runtime;
                }
                (Side::Runtime, Side::Init) => {
                    self.await_turn()?;
                    // With the agent gone, its calls are to be refused, not to wait.
                    self.seccomp_listener = None;
                    side = Side::Init;
                }
                _ => {}
            }
            if side == Side::Init {
                let times = self.inheritance.times;
                if let Some(times) = times {
                    times.begin(index);
                }
                self.step(step).map_err(|error| explain(error, step))?;
                if let Some(times) = times {
                    times.end(index);
                }
            }
        }
        Ok(())
    }

    /// Waits for the runtime. When it is gone, so is the container that it was making.
    fn await_turn(&mut self) -> Result<()> {
        match self.inheritance.channel.receive()? {
            Some(Message::Turn) => Ok(()),
            _ => Err(Error::new(
                "the runtime ended before the container was set up",
            )),
        }
    }

    #[allow(
        clippy::too_many_lines,
        reason = "an arm for each action, nothing else"
    )]
    fn step(&mut self, step: &Step<'_>) -> Result<()> {
        match &step.action {
            Action::EnterCgroups(Side::Init) => {
                let entrance = self.inheritance.entrance;
                entrance.map_or(Ok(()), Entrance::enter_v1)
            }
            Action::NewSession => new_session(),
            Action::SessionKeyring(step) => {
                keyring::join(step, self.inheritance.hook_state.id, &mut self.proc)
            }
            Action::Schedule(step) => scheduling::schedule(step),
            Action::JoinNamespace(kind, path) => namespaces::join(*kind, path),
            Action::JoinContainer(flags) => self.join_container(*flags),
            Action::NewNamespaces(kinds) => namespaces::unshare(*kinds),
            Action::NewTimeNamespace(offsets) => {
                namespaces::new_time_namespace(&mut self.proc, offsets)
            }
            Action::BecomeRoot => namespaces::become_root(),
            Action::LoopbackUp => {
                sys::net::bring_loopback_up().call(|| "ioctl(lo, SIOCSIFFLAGS, IFF_UP)")
            }
            Action::Hostname(name) => rustix::system::sethostname(name.as_bytes())
                .call(|| format!("sethostname({name:?})")),
            Action::Domainname(name) => rustix::system::setdomainname(name.as_bytes())
                .call(|| format!("setdomainname({name:?})")),
            Action::Personality(domain) => {
                sys::exec::set_personality(*domain).call(|| format!("personality({domain:#x})"))
            }
            Action::WorkingDirectory(path) => {
                // Where it can't be made, on a read-only rootfs say, entering it tells why.
                if let Ok(directory) = self.root()?.directory(path) {
                    sys::exec::leave_to_exec(directory);
                }
                Ok(())
            }
            Action::HostPropagation(flags) => namespaces::set_host_propagation(*flags),
            Action::OpenRootfs { path, own_mount } => {
                self.root = Some(RootFd::open(path, *own_mount, &mut || {
                    self.ask_runtime(ROOTFS)
                })?);
                Ok(())
            }
            Action::Mount(mount_step) => match mount_step.source {
                MountSource::Cgroups => {
                    let own = self.cgroup_namespace;
                    cgroups::mount(self.root()?, mount_step, self.inheritance.placement, own)
                }
                _ => self.mount(mount_step, step.pointer.index),
            },
            Action::Device(device) => {
                let root = self.root.as_ref().ok_or_else(no_root)?;
                self.devices.make(root, device)
            }
            Action::DeviceLinks => {
                let root = self.root.as_ref().ok_or_else(no_root)?;
                self.devices.link(root)
            }
            Action::Console(console) => {
                let console = match &self.root {
                    Some(root) => Console::in_rootfs(root, console)?,
                    None => Console::inside(console)?,
                };
                self.hand_over(console)
            }
            Action::Hooks(kind, list) => self.hooks(*kind, list),
            Action::PivotRoot { shared } => pivot::pivot(self.root()?, *shared),
            Action::MoveRoot => move_root::move_root(self.root()?),
            Action::ChangeRoot => pivot::change_root(self.root()?),
            Action::Readonly(path) => {
                let root = self.root()?;
                if *path == "/" {
                    return mount::make_readonly(root.as_fd(), false);
                }
                let mount = root
                    .resolve(path)
                    .call(|| format!("openat2(rootfs, {path:?})"))?;
                mount::make_readonly(mount.as_fd(), false)
            }
            Action::RootPropagation(flags) => mount::set_propagation(self.root()?.as_fd(), *flags),
            Action::Sysctl { key, value } => self
                .proc
                .write(&format!("sys/{}", sysctl::path(key)), value),
            Action::Mask { path, label } => {
                let root = self.root.as_ref().ok_or_else(no_root)?;
                self.masker.mask(root, path, *label)
            }
            Action::ReadonlyPath(path) => make_path_readonly(self.root()?, path),
            Action::Environment(environment) => {
                self.env = environment::complete(environment)?;
                Ok(())
            }
            Action::Rlimit(limit) => set_limit(limit, None),
            Action::LabelOnExec(module, label) => self.proc.write_on_exec_label(*module, label),
            Action::CloseDescriptors { preserved } => self.let_go_of_the_host(*preserved),
            Action::Credentials(credentials) => {
                // With other ids nobody may look into us any more (commit_creds() in the kernel).
                self.shown_to_its_user = false;
                credentials::become_user(credentials)
            }
            Action::LocateProgram { args, path } => {
                self.located = Some(program::locate(args, *path)?);
                self.debug(|| self.last_words().to_owned());
                Ok(())
            }
            Action::WaitForStart => self.wait_for_start(),
            Action::Seccomp(program) => self.install_filter(program),
            Action::Execute => self.execute(),
            Action::StartUnit(..)
            | Action::CreateCgroups
            | Action::WriteCgroups(_)
            | Action::DelegateCgroup(_)
            | Action::FilterDevices(_)
            | Action::StartInit { .. }
            | Action::MapIds(_)
            | Action::CompareIdMaps(_)
            | Action::EnterCgroups(Side::Runtime)
            | Action::Resctrl(_)
            | Action::BearOnCpus(_)
            | Action::MoveNetDevice(_)
            | Action::OomScoreAdj(_)
            | Action::RecordCreated
            | Action::SendListener(_) => Ok(()),
        }
    }

    fn root(&self) -> Result<&RootFd> {
        self.root.as_ref().ok_or_else(no_root)
    }

    /// `index` is the step's place in `mounts`.
    fn mount(&self, step: &MountStep<'_>, index: Option<usize>) -> Result<()> {
        mount::mount(self.root()?, step, &mut || {
            let index = index.and_then(|index| u32::try_from(index).ok());
            self.ask_runtime(index.ok_or_else(no_root)?)
        })
    }

    /// What the runtime opens for us, where it has rights that we have not.
    fn ask_runtime(&self, index: u32) -> Result<OwnedFd> {
        if self.inheritance.runtime_may_more {
            return self.inheritance.channel.ask_for_mount(index);
        }
        Err(Error::call("open the path on the host", Errno::ACCESS)
            .hint("the user of this runtime must be able to read it"))
    }

    fn join_container(&mut self, flags: u64) -> Result<()> {
        let container = self
            .inheritance
            .join
            .take()
            .ok_or_else(|| Error::new("no container to join"))?;
        // The host's, for what is still to be written there (AppArmor).
        self.proc.hold()?;
        namespaces::join_all(&container.init, flags)?;
        rustix::process::fchdir(&container.root).call(|| "fchdir(container's root)")?;
        rustix::process::chroot(".").call(|| "chroot(container's root)")?;
        rustix::process::chdir("/").call(|| "chdir(/)")
    }

    /// Sends the terminal's other end away and makes this one ours.
    fn hand_over(&mut self, console: Console) -> Result<()> {
        let socket = self.inheritance.console_socket.take().ok_or_else(|| {
            Error::new("process.terminal is true, but there is no console socket")
        })?;
        if socket.keep_line_feeds {
            console.keep_line_feeds()?;
        }
        let master = console.adopt()?;
        channel::send_descriptor(&socket.socket, "/dev/ptmx", master.as_fd())
            .call(|| "sendmsg(console socket, SCM_RIGHTS)")
    }

    /// Hooks of our side: of the container's namespaces.
    fn hooks(&self, kind: HookKind, list: &[crate::spec::Hook<'_>]) -> Result<()> {
        if kind == HookKind::CreateContainer {
            // In the container's mount namespace, before its root changes, with the rootfs as the
            // working directory: where runc runs them.
            rustix::process::fchdir(self.root()?.as_fd()).call(|| "fchdir(rootfs)")?;
        }
        // As it is seen from here: 1 in a pid namespace of the container's own (runtime.md, "State",
        // pid).
        let state = self
            .inheritance
            .hook_state
            .json("created", std::process::id());
        let env = match kind {
            HookKind::StartContainer => self.env.as_slice(),
            _ => &[],
        };
        hooks::run(kind, list, &state, Surroundings::Container { env })
    }

    /// Closes all that is open but what the app is to have, the channel and the fifo. From here on
    /// paths of the image's choice are followed, `/proc/self/fd/N/..` among them: a directory of the
    /// host must not be behind any N (CVE-2024-21626). Marking them close-on-exec is not enough.
    fn let_go_of_the_host(&mut self, preserved: u32) -> Result<()> {
        // Forgotten, not closed one by one: one call closes all of them below.
        std::mem::forget((
            std::mem::take(&mut self.proc),
            self.root.take(),
            std::mem::take(&mut self.devices),
            std::mem::take(&mut self.masker),
            self.inheritance.console_socket.take(),
            self.inheritance.join.take(),
        ));
        let channel = self.inheritance.channel.as_fd();
        let fifo = self.inheritance.exec_fifo.as_ref().map(AsFd::as_fd);
        let kept: Vec<BorrowedFd<'_>> = channel.into_iter().chain(fifo).collect();
        sys::exec::close_all_but(3 + preserved, &kept).call(|| "close_range()")
    }

    /// A user without `CAP_SYS_PTRACE` on the host is to fetch the listener from us
    /// (`pidfd_getfd(2)`) and to `exec` into a container that waits for its start (`setns(2)` with
    /// our pidfd). Nothing of the host's is open any more.
    fn let_its_user_look_in(&mut self) -> Result<()> {
        if started_as_root() || self.shown_to_its_user {
            return Ok(());
        }
        self.shown_to_its_user = true;
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable)
            .call(|| "prctl(PR_SET_DUMPABLE, 1)")
    }

    /// Installs the filter: what happens from here on is subject to it.
    fn install_filter(&mut self, program: &Program) -> Result<()> {
        self.let_its_user_look_in()?;
        self.seccomp_listener = sys::seccomp::install(program)?;
        match &self.seccomp_listener {
            Some(listener) => {
                let number = Message::SeccompListener(listener.as_raw_fd());
                self.inheritance.channel.send(&number)
            }
            None => Ok(()),
        }
    }

    /// Waits for the byte that `start` writes. The channel is closed: `create` has ended.
    fn wait_for_start(&mut self) -> Result<()> {
        self.let_its_user_look_in()?;
        let fifo = self
            .inheritance
            .exec_fifo
            .as_ref()
            .ok_or_else(|| Error::new("no exec fifo to wait on"))?;
        sys::signal::unblock_all();
        self.inheritance.channel.close();
        self.started = true;
        let mut byte = [0_u8; 1];
        loop {
            match rustix::io::read(fifo, &mut byte) {
                Err(Errno::INTR) => {}
                result => return result.map(drop).call(|| "read(exec.fifo)"),
            }
        }
    }

    /// What runc says at this point, before a container's first process and before others.
    fn last_words(&self) -> &'static str {
        if self.joined {
            "setns_init: about to exec"
        } else {
            "init: closing the pipe to signal completion"
        }
    }

    fn execute(&mut self) -> Result<()> {
        let located = self
            .located
            .take()
            .ok_or_else(|| Error::new("the plan executes a program that it has not located"))?;
        sys::signal::unblock_all();
        self.executing = true;
        let errno = sys::exec::execve(&located.path, &located.argv, &self.env);
        Err(located.error(errno))
    }

    /// Tells whoever is waiting: the runtime, or `start` at the other end of the fifo.
    fn report(&mut self, error: &Error) {
        let why = error.to_string();
        if let (Some(fifo), true) = (&self.inheritance.exec_fifo, self.started) {
            let _ = rustix::io::write(fifo, why.as_bytes());
            return;
        }
        let _ = self.inheritance.channel.send(&if self.executing {
            Message::NotExecuted(why)
        } else {
            Message::Failure(why)
        });
    }
}

/// Says where the failing step comes from. What the program itself is refused for needs no such
/// words: engines show those lines to their users as they are.
fn explain(error: Error, step: &Step<'_>) -> Error {
    match step.action {
        Action::LocateProgram { .. } | Action::Execute => error,
        _ => error
            .at(step.pointer.to_string())
            .context("error during container init"),
    }
}

/// Whoever can trace us could take what we still hold of the host.
pub(crate) fn hide_from_tracers() -> Result<()> {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .call(|| "prctl(PR_SET_DUMPABLE, 0)")
}

fn new_session() -> Result<()> {
    hide_from_tracers()?;
    rustix::process::setsid().map(drop).call(|| "setsid()")
}

fn no_root() -> Error {
    Error::new("the plan uses the rootfs before it has opened it")
}

/// Sets a limit of a process, by default of this one.
///
/// # Errors
/// prlimit(2)'s, in runc's words.
pub(crate) fn set_limit(step: &RlimitStep, process: Option<Pid>) -> Result<()> {
    let (resource, name) = (step.resource, step.name);
    prlimit(process, resource, step.limits)
        .map(drop)
        .map_err(|errno| {
            // The number is how runc words it, and what its users search for.
            Error::new(format!(
                "error setting rlimit type {}: {}",
                resource as u32,
                kernel_words(errno)
            ))
            .hint(format!(
                "{name} above the caller's own hard limit takes CAP_SYS_RESOURCE"
            ))
        })
}
