//! `restore`: makes a container's cgroups, and has CRIU bring its processes back from images.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::conduct::RuntimeSide;
use super::create::{self, Created, Ground, Groundwork, Setup};
use super::directory::Store;
use super::external;
use super::journal::Record;
use super::process::ProcessIdentity;
use super::restore_mounts::{self, PrivateMounts};
use crate::criu::{
    Flag, Kind, Notice, Options, Prepared, Service, Settings, Streams, Word, check_version,
};
use crate::error::{CallContext, Error, ErrorContext, Result};
use crate::init::channel::send_descriptor;
use crate::plan::{Action, HookKind, NamespaceKind};
use crate::report::Listener;
use crate::spec::{ConfigText, Spec};
use crate::sys;

/// CRIU's log in the work directory, with runc's name.
const LOG: &str = "restore.log";
/// Where the root file system is mounted for CRIU, in the container's directory.
const ROOT: &str = "criu-root";
/// The first of the descriptors that CRIU is given: 3 is the socket.
const FIRST_DESCRIPTOR: i32 = 4;

/// What `restore` is asked, besides what `run` is.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What it has in common with `checkpoint`.
    pub settings: Settings<'a>,
    /// `--lsm-profile`: `TYPE:NAME`.
    pub lsm_profile: Option<&'a str>,
    /// `--lsm-mount-context`.
    pub lsm_mount_context: Option<&'a str>,
}

/// Restores a container. On failure nothing is left of it.
///
/// # Errors
/// When there is no CRIU, with the place in config.json, and with what CRIU says.
pub fn restore(
    store: &Store,
    config: &ConfigText,
    spec: &Spec<'_>,
    request: create::Request<'_>,
    asked: &Request<'_>,
    listener: &dyn Listener,
) -> Result<Created> {
    let groundwork = Groundwork::lay(store, spec, &request)?;
    check_version()?;
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
    let setup = Setup::begin(store, ground, placed, request)?;
    let mut restoration = Restoration { setup, pidfd: None };
    match restoration.carry_out(asked) {
        Ok(()) => restoration.finish(),
        Err(error) => {
            restoration.setup.clean_up();
            Err(error)
        }
    }
}

struct Restoration<'s, 'a> {
    setup: Setup<'s, 'a>,
    /// The restored init's, once it is there.
    pidfd: Option<OwnedFd>,
}

impl Restoration<'_, '_> {
    fn carry_out(&mut self, asked: &Request<'_>) -> Result<()> {
        self.setup.record(Record::Restoring)?;
        let (service, mut prepared) = self.start_criu(asked)?;
        self.enter_groups(service.pid(), &mut prepared.options)?;
        let mut refused = false;
        let restored = service.carry_out(Kind::Restore, &prepared.options, &mut |notice| {
            let reached = self.reached(&notice);
            refused = reached.is_err();
            reached
        });
        let _ = rustix::fs::rmdir(self.setup.directory.file(ROOT));
        // What we have refused ourselves, a hook say, CRIU can't explain.
        restored.map_err(|error| {
            if refused {
                error
            } else {
                prepared.explain(error)
            }
        })
    }

    fn finish(self) -> Result<Created> {
        let setup = self.setup;
        let (Some(pidfd), Some(init), Some(lock)) = (self.pidfd, setup.identity, setup.lock) else {
            return Err(Error::new("criu has restored no process"));
        };
        Ok(Created {
            directory: setup.directory,
            init,
            pidfd,
            records: setup.records,
            notifier: None,
            lock,
        })
    }

    /// Opens the namespaces that are there already, for CRIU to put the processes into.
    fn shared_namespaces(&self, options: &mut Options) -> Result<Vec<OwnedFd>> {
        let mut held = Vec::new();
        for (kind, path, index) in external::namespaces(self.setup.spec) {
            let pointer = || format!("/linux/namespaces/{index}/path");
            match (external::namespace_key(kind), kind) {
                (Some(key), _) => {
                    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
                    let namespace = open(path, flags, Mode::empty())
                        .call(|| format!("open {path}"))
                        .context(|| format!("Requested {kind} namespace {path} does not exist"))
                        .at(pointer)?;
                    let number = i32::try_from(held.len()).unwrap_or(0) + FIRST_DESCRIPTOR;
                    options.inherit_fd(key, number);
                    held.push(namespace);
                }
                (None, NamespaceKind::Cgroup) => {
                    return Err(Error::config(
                        pointer(),
                        "criu can't restore into an existing cgroup namespace",
                    ));
                }
                (None, kind) => options.join_namespace(kind.proc_name(), path),
            }
        }
        Ok(held)
    }

    /// Starts CRIU where the root file system is mounted for it.
    fn start_criu(&self, asked: &Request<'_>) -> Result<(Service, Prepared)> {
        let place = self.setup.directory.file(ROOT);
        rustix::fs::mkdir(&place, Mode::from_raw_mode(0o755))
            .call(|| format!("mkdir({})", place.display()))?;
        // CRIU compares it with what the kernel says.
        let place = std::fs::canonicalize(&place).call(|| format!("{}", place.display()))?;
        let shown = place
            .to_str()
            .ok_or_else(|| Error::new("the state directory's path is not UTF-8"))?;
        let own = PrivateMounts::enter()?;
        let started = self.start_criu_at(shown, asked);
        own.leave()?;
        started
    }

    /// All that CRIU gets a descriptor of is opened here: it mounts in the work directory, which
    /// has to be in its own mount namespace.
    fn start_criu_at(&self, place: &str, asked: &Request<'_>) -> Result<(Service, Prepared)> {
        let config_file = external::config_file(self.setup.spec);
        let mut prepared = asked.settings.prepare(LOG, config_file)?;
        inherit_streams(&mut prepared)?;
        let options = &mut prepared.options;
        options.flag(Flag::EvasiveDevices, true);
        options.flag(Flag::RstSibling, true);
        if let Some(profile) = asked.lsm_profile {
            options.word(Word::LsmProfile, profile);
        }
        if let Some(context) = asked.lsm_mount_context {
            options.word(Word::LsmMountContext, context);
        }
        let namespaces = self.shared_namespaces(options)?;
        let plan = self.setup.plan;
        let rootfs = restore_mounts::prepare(plan, &self.setup.rootfs(), place.as_ref())?;
        options.word(Word::Root, place);
        for mount in external::mounts(plan, &self.setup.placement, &rootfs.root) {
            // CRIU follows no symbolic link at a path's end, as mount(2) does.
            let source = std::fs::canonicalize(&mount.source);
            let source = source.as_deref().unwrap_or(mount.source.as_ref());
            options.external_mount(&mount.destination, &source.to_string_lossy());
        }
        rootfs.clear()?;
        options.external_mount("/dev/null", "/dev/null");
        let passed: Vec<_> = namespaces.iter().map(AsFd::as_fd).collect();
        Ok((Service::start(Streams::Ours, &passed)?, prepared))
    }

    /// Makes the cgroups, and a group of resctrl, as for a new container, and puts CRIU into them: what
    /// it makes is where it is itself.
    fn enter_groups(&mut self, pid: i32, options: &mut Options) -> Result<()> {
        self.setup.stand_in = Pid::from_raw(pid);
        let plan = self.setup.plan;
        for step in &plan.steps {
            if is_of_groups(&step.action) {
                let done = self.setup.step(&step.action);
                done.at(|| step.pointer.to_string())?;
            }
        }
        let path = format!("/proc/{pid}/cgroup");
        let places = std::fs::read_to_string(&path).call(|| format!("read {path}"))?;
        for line in places.lines() {
            // cgroups(7): ID:CONTROLLERS:PATH
            let mut fields = line.splitn(3, ':').skip(1);
            if let (Some(controllers), Some(path)) = (fields.next(), fields.next()) {
                for controller in controllers.split(',') {
                    options.cgroup_root(controller, path);
                }
            }
        }
        Ok(())
    }

    /// CRIU has come to a point (criu.org, "Action scripts").
    fn reached(&mut self, notice: &Notice) -> Result<()> {
        let pid = notice.point.pid;
        match notice.point.script.as_str() {
            "setup-namespaces" => self.finish_namespaces(pid),
            "post-restore" => self.record_restored(pid),
            "orphan-pts-master" => self.hand_terminal_over(notice),
            _ => Ok(()),
        }
    }

    /// The namespaces are there, and nothing runs in them yet: it is the time of the hooks of the
    /// host. CRIU leaves a network namespace empty.
    fn finish_namespaces(&mut self, pid: i32) -> Result<()> {
        let spec = self.setup.spec;
        let makes_network = self
            .setup
            .plan
            .steps
            .iter()
            .any(|step| matches!(step.action, Action::LoopbackUp));
        if makes_network {
            bring_loopback_up_in(pid)?;
        }
        self.setup.identity = Some(ProcessIdentity::of(pid)?);
        self.setup
            .run_hooks(HookKind::Prestart, &spec.hooks.prestart)?;
        self.setup
            .run_hooks(HookKind::CreateRuntime, &spec.hooks.create_runtime)
    }

    /// The processes are there, and don't run yet.
    fn record_restored(&mut self, pid: i32) -> Result<()> {
        let process = Pid::from_raw(pid).ok_or_else(|| Error::new("criu has restored no init"))?;
        let pidfd = pidfd_open(process, PidfdFlags::empty()).call(|| "pidfd_open(init)")?;
        let identity = ProcessIdentity::of(pid)?;
        self.pidfd = Some(pidfd);
        self.setup.identity = Some(identity);
        let own_pids = self.setup.own_pids();
        self.setup.record(Record::Init {
            pid,
            start_time: identity.start_time,
            own_pids,
        })?;
        self.setup.record_created()
    }

    /// The terminal whose other end was outside of the container.
    fn hand_terminal_over(&mut self, notice: &Notice) -> Result<()> {
        let master = notice
            .descriptor
            .as_ref()
            .ok_or_else(|| Error::new("criu has sent no terminal"))?;
        let socket = self.setup.request.console_socket.take().ok_or_else(|| {
            Error::new("the container has a terminal, but there is no console socket")
                .hint("is process.terminal true, as it was in the checkpointed container?")
        })?;
        send_descriptor(&socket.socket, "orphan-pts-master", master.as_fd())
            .call(|| "sendmsg(console socket, SCM_RIGHTS)")
    }
}

/// What is made on the host before CRIU starts. The container's network devices are not of it: CRIU has
/// them in its images.
fn is_of_groups(action: &Action<'_>) -> bool {
    matches!(
        action,
        Action::CreateCgroups
            | Action::StartUnit(..)
            | Action::WriteCgroups(_)
            | Action::DelegateCgroup(_)
            | Action::FilterDevices(_)
            | Action::EnterCgroups(_)
            | Action::Resctrl(_)
    )
}

/// What the standard streams were outside becomes what ours are.
fn inherit_streams(prepared: &mut Prepared) -> Result<()> {
    let path = prepared.image(external::DESCRIPTORS);
    let text = std::fs::read(&path).call(|| {
        format!(
            "read {} of the images: are they of a checkpoint?",
            external::DESCRIPTORS
        )
    })?;
    let names: Vec<String> = serde_json::from_slice(&text)
        .map_err(|error| Error::new(format!("{}: {error}", external::DESCRIPTORS)))?;
    for (number, name) in (0..3).zip(&names) {
        if name.starts_with("pipe:") || name.starts_with("file[") {
            prepared.options.inherit_fd(name, number);
        }
    }
    Ok(())
}

fn bring_loopback_up_in(pid: i32) -> Result<()> {
    let hold = |path: &str| {
        open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).call(|| format!("open({path})"))
    };
    let enter = |namespace: &OwnedFd| {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .call(|| format!("setns({}, network)", namespace.as_raw_fd()))
    };
    let own = hold("/proc/self/ns/net")?;
    enter(&hold(&format!("/proc/{pid}/ns/net"))?)?;
    let up = sys::net::bring_loopback_up().call(|| "ioctl(lo, SIOCSIFFLAGS, IFF_UP)");
    enter(&own)?;
    up
}
