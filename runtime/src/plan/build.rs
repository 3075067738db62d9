//! The order of things: the steps of a container, and those of one more process in it.

use rustix::thread::CapabilitySet;

use super::filter::Filter;
use super::namespaces::Namespaces;
use super::{
    Action, Birth, ConsoleStep, HookKind, IdMaps, KeyringStep, NamespaceKind, Plan, Pointer,
    ResctrlStep, SecurityModule, Side, Step, cgroups, clause, intel_rdt, net_devices, process,
    scheduling,
};
use crate::cgroup::Maker;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::spec::{Process, Spec};

/// What the caller of `create` or `run` asks beyond config.json.
#[derive(Clone, Copy, Debug)]
pub struct ContainerRequest<'a> {
    /// The bundle, absolute.
    pub bundle: &'a str,
    /// `--no-pivot`.
    pub no_pivot: bool,
    /// `--no-new-keyring`.
    pub no_new_keyring: bool,
    /// `--preserve-fds` and socket activation: how many from 3 on.
    pub preserve_fds: u32,
    /// What is added to the program's environment (socket activation).
    pub extra_env: &'a [String],
    /// Whether init waits for `start` (`create`), or goes on at once (`run`).
    pub wait_for_start: bool,
    /// Who makes the container's cgroups.
    pub cgroups: &'a Maker,
}

/// What the caller of `exec` asks.
#[derive(Clone, Copy, Debug)]
pub struct ExecRequest {
    /// How many descriptors from 3 on the process inherits.
    pub preserve_fds: u32,
    /// Whether the container kept its caller's keyring (`--no-new-keyring`).
    pub no_new_keyring: bool,
    /// Whether CRIU has restored the container, and has put it into a time namespace.
    pub restored: bool,
}

/// The plan for a container that [`crate::spec::check`] has accepted.
///
/// # Errors
/// For a value that can't be carried out, with its place in config.json.
pub fn for_container<'a>(
    spec: &'a Spec<'a>,
    host: &Host,
    request: &ContainerRequest<'a>,
) -> Result<Plan<'a>> {
    let mut builder = Builder {
        steps: Vec::with_capacity(96),
        ..Builder::default()
    };
    let namespaces = Namespaces::of(spec);
    let process = spec
        .process
        .as_ref()
        .ok_or_else(|| Error::config("/process", "config.json has no process to create"))?;

    builder.mount_label(spec, host);
    let birth = namespaces.birth();
    let cgroups = cgroups::steps(spec, host, request.cgroups, &birth, &mut builder.warnings)?;
    builder.steps.extend(cgroups.before_birth);
    // For `exec` alone; but what can't be honoured then is refused now.
    scheduling::Affinity::of(process)?;
    builder.make_resctrl_group(spec, host)?;
    builder.push(
        Action::StartInit {
            namespaces: namespaces.made_by_clone,
            birth,
        },
        Pointer::to("/linux/namespaces"),
        clause::NAMESPACES,
    );
    builder.id_maps(spec, &namespaces);
    builder.steps.extend(cgroups.after_birth);

    builder.enter_resctrl_group(spec, host)?;
    builder.oom_score(process);

    builder.steps.extend(cgroups.by_init);
    builder.steps.push(scheduling::all_cpus());
    builder.time_namespace(spec, &namespaces);
    builder.become_root(&namespaces);
    builder.push(Action::NewSession, Pointer::to("/process"), clause::PROCESS);
    if !request.no_new_keyring {
        builder.keyring(process, &namespaces, true);
    }
    builder.enter_namespaces(spec, &namespaces);
    builder.personality(spec)?;
    builder.rootfs(spec, &namespaces, process, request)?;
    net_devices::steps(
        &spec.linux.net_devices,
        namespaces.has(NamespaceKind::Network),
        host.capabilities.contains(CapabilitySet::NET_ADMIN),
        &mut builder.steps,
    )?;
    builder.hooks(spec, HookKind::Prestart);
    builder.hooks(spec, HookKind::CreateRuntime);
    builder.hooks(spec, HookKind::CreateContainer);
    // Before the root changes, while the host's /dev/null is still there to mask files with.
    builder.finish_rootfs(spec);
    builder.change_root(spec, &namespaces, request);

    let mut filter = Filter::of(spec, host)?;
    process::prepare(
        process,
        &surroundings(spec, host, request.preserve_fds, request.extra_env),
        &mut filter,
        &mut builder.steps,
        &mut builder.warnings,
    )?;
    builder.push(Action::RecordCreated, Pointer::default(), clause::LIFECYCLE);
    if request.wait_for_start {
        builder.push(Action::WaitForStart, Pointer::default(), clause::LIFECYCLE);
    }
    filter.install(&mut builder.steps);
    builder.hooks(spec, HookKind::StartContainer);
    builder.push(
        Action::Execute,
        Pointer::to("/process/args"),
        clause::PROCESS,
    );
    builder.done(host)
}

/// The plan for one more process in a container whose config.json is `spec`.
///
/// # Errors
/// As [`for_container`].
pub fn for_exec<'a>(
    spec: &'a Spec<'a>,
    process: &'a Process<'a>,
    host: &Host,
    request: &ExecRequest,
) -> Result<Plan<'a>> {
    let mut builder = Builder {
        steps: Vec::with_capacity(24),
        ..Builder::default()
    };
    let namespaces = Namespaces::of(spec);
    let mut affinity = scheduling::Affinity::of(process)?;
    builder.steps.extend(affinity.initial());
    // Without rights here, the user namespace is entered first: it gives them.
    let (before, after) = if host.may_join_namespaces() || !namespaces.has(NamespaceKind::User) {
        (0, namespaces.all())
    } else {
        let first = NamespaceKind::User.clone_flag() | NamespaceKind::Pid.clone_flag();
        (namespaces.all() & first, namespaces.all() & !first)
    };
    builder.push(
        Action::StartInit {
            namespaces: 0,
            birth: match before {
                0 => Birth::Here,
                before => Birth::BeyondContainer(before),
            },
        },
        Pointer::to("/linux/namespaces"),
        clause::NAMESPACES,
    );
    let cgroups = Pointer::to("/linux/cgroupsPath");
    builder.push(
        Action::EnterCgroups(Side::Runtime),
        cgroups,
        clause::CGROUPS_PATH,
    );
    builder.enter_resctrl_group(spec, host)?;
    builder.oom_score(process);
    if before == 0 {
        builder.push(
            Action::EnterCgroups(Side::Init),
            cgroups,
            clause::CGROUPS_PATH,
        );
    }
    builder.steps.extend(affinity.later());
    builder.push(Action::NewSession, Pointer::to("/process"), clause::PROCESS);
    builder.personality(spec)?;
    let time = if request.restored {
        NamespaceKind::Time.clone_flag()
    } else {
        0
    };
    builder.push(
        Action::JoinContainer(after | time),
        Pointer::to("/linux/namespaces"),
        clause::NAMESPACES,
    );
    builder.become_root(&namespaces);
    if !request.no_new_keyring {
        // In the container's user namespace, which has names of keyrings of its own.
        builder.keyring(process, &namespaces, false);
    }
    builder.console(process, false);
    let mut filter = Filter::of(spec, host)?;
    process::prepare(
        process,
        &surroundings(spec, host, request.preserve_fds, &[]),
        &mut filter,
        &mut builder.steps,
        &mut builder.warnings,
    )?;
    filter.install(&mut builder.steps);
    builder.push(
        Action::Execute,
        Pointer::to("/process/args"),
        clause::PROCESS,
    );
    builder.done(host)
}

fn surroundings<'a>(
    spec: &'a Spec<'a>,
    host: &Host,
    preserve_fds: u32,
    extra_env: &'a [String],
) -> process::Surroundings<'a> {
    let cpus = spec
        .linux
        .resources
        .as_ref()
        .and_then(|resources| resources.cpu.as_ref())
        .map(|cpu| &*cpu.cpus);
    process::Surroundings {
        rights: process::Rights::of(host, Namespaces::of(spec).has(NamespaceKind::User)),
        preserve_fds,
        extra_env,
        memory_policy: spec.linux.memory_policy.as_ref(),
        on_some_cpus: cpus.is_some_and(|cpus| !cpus.is_empty()),
    }
}

/// A plan as far as it has come.
#[derive(Default)]
pub(super) struct Builder<'a> {
    pub(super) steps: Vec<Step<'a>>,
    pub(super) warnings: Vec<String>,
    /// Mounts that become read-only at the end, and their places in `/mounts`.
    pub(super) readonly_later: Vec<(&'a str, usize)>,
    /// The SELinux context of what is mounted anew.
    pub(super) label: Option<&'a str>,
}

impl<'a> Builder<'a> {
    pub(super) fn push(&mut self, action: Action<'a>, pointer: Pointer<'a>, clause: &'static str) {
        self.steps.push(Step {
            action,
            pointer,
            clause,
        });
    }

    /// Without SELinux no file has a context, so there is nothing for the label to say.
    fn mount_label(&mut self, spec: &'a Spec<'a>, host: &Host) {
        self.label = spec
            .linux
            .mount_label
            .as_deref()
            .filter(|it| !it.is_empty());
        if self.label.is_some() && !host.selinux {
            self.label = None;
            self.warnings
                .push("/linux/mountLabel: ignored, as this host has no SELinux".to_owned());
        }
    }

    fn done(self, host: &Host) -> Result<Plan<'a>> {
        for step in &self.steps {
            let (there, problem, hint) = match step.action {
                Action::LabelOnExec(SecurityModule::AppArmor, _) => (
                    host.apparmor,
                    "apparmor: config provided but apparmor not supported",
                    "leave apparmorProfile out, or enable AppArmor on this host",
                ),
                Action::LabelOnExec(SecurityModule::SeLinux, _) => (
                    host.selinux,
                    "selinux label is specified in config, but selinux is disabled or not supported",
                    "leave selinuxLabel out, or enable SELinux on this host",
                ),
                _ => continue,
            };
            if !there {
                return Err(Error::config(step.pointer.to_string(), problem).hint(hint));
            }
        }
        Ok(Plan {
            steps: self.steps,
            warnings: self.warnings,
        })
    }

    /// The ids of the user namespace: written from outside, since only there they are known.
    fn id_maps(&mut self, spec: &'a Spec<'a>, namespaces: &Namespaces<'a>) {
        let maps = IdMaps {
            uids: &spec.linux.uid_mappings,
            gids: &spec.linux.gid_mappings,
        };
        if namespaces.makes(NamespaceKind::User) {
            self.push(
                Action::MapIds(maps),
                Pointer::to("/linux/uidMappings"),
                clause::ID_MAPPINGS,
            );
        } else if namespaces.has(NamespaceKind::User)
            && !(maps.uids.is_empty() && maps.gids.is_empty())
        {
            self.warnings.push(
                "config.json has both a user namespace to join and mappings; as long as they are \
                 that namespace's, they do no harm"
                    .to_owned(),
            );
            self.push(
                Action::CompareIdMaps(maps),
                Pointer::to("/linux/uidMappings"),
                clause::ID_MAPPINGS,
            );
        }
    }

    /// The first of init's steps: the file with the offsets is not for one that nobody may look
    /// into (`PR_SET_DUMPABLE`), nor for the mapped root.
    fn time_namespace(&mut self, spec: &'a Spec<'a>, namespaces: &Namespaces<'a>) {
        if namespaces.makes(NamespaceKind::Time) {
            let offsets = &spec.linux.time_offsets;
            self.push(
                Action::NewTimeNamespace(
                    offsets
                        .iter()
                        .map(|(clock, offset)| (&**clock, *offset))
                        .collect(),
                ),
                Pointer::to("/linux/timeOffsets"),
                clause::TIME_OFFSETS,
            );
        }
    }

    fn become_root(&mut self, namespaces: &Namespaces<'a>) {
        if namespaces.has(NamespaceKind::User) {
            self.push(
                Action::BecomeRoot,
                Pointer::to("/linux/uidMappings"),
                clause::ID_MAPPINGS,
            );
        }
    }

    fn enter_namespaces(&mut self, spec: &'a Spec<'a>, namespaces: &Namespaces<'a>) {
        if !namespaces.has(NamespaceKind::User) {
            for (kind, path, index) in &namespaces.joined {
                if *kind == NamespaceKind::Pid {
                    continue; // joined before the clone: it holds for children only (setns(2))
                }
                self.push(
                    Action::JoinNamespace(*kind, path),
                    Pointer::element("/linux/namespaces", *index),
                    clause::NAMESPACES,
                );
            }
        }
        if namespaces.made_by_init != 0 {
            self.push(
                Action::NewNamespaces(namespaces.made_by_init),
                Pointer::to("/linux/namespaces"),
                clause::NAMESPACES,
            );
        }
        if namespaces.makes(NamespaceKind::Network) {
            self.push(
                Action::LoopbackUp,
                Pointer::to("/linux/namespaces"),
                clause::NAMESPACES,
            );
        }
        if let Some(name) = spec.hostname.as_deref().filter(|name| !name.is_empty()) {
            self.push(
                Action::Hostname(name),
                Pointer::to("/hostname"),
                clause::HOSTNAME,
            );
        }
        if let Some(name) = spec.domainname.as_deref().filter(|name| !name.is_empty()) {
            self.push(
                Action::Domainname(name),
                Pointer::to("/domainname"),
                clause::DOMAINNAME,
            );
        }
    }

    fn make_resctrl_group(&mut self, spec: &'a Spec<'a>, host: &Host) -> Result<()> {
        if let Some(wanted) = &spec.linux.intel_rdt {
            let (group, schemata) = intel_rdt::group(wanted, host.resctrl.as_ref())?;
            self.push(
                Action::Resctrl(ResctrlStep::Make(group, schemata)),
                Pointer::to("/linux/intelRdt"),
                clause::INTEL_RDT,
            );
        }
        Ok(())
    }

    fn enter_resctrl_group(&mut self, spec: &'a Spec<'a>, host: &Host) -> Result<()> {
        if let Some(wanted) = &spec.linux.intel_rdt {
            let (group, _) = intel_rdt::group(wanted, host.resctrl.as_ref())?;
            self.push(
                Action::Resctrl(ResctrlStep::Enter(group)),
                Pointer::to("/linux/intelRdt"),
                clause::INTEL_RDT,
            );
        }
        Ok(())
    }

    fn keyring(&mut self, process: &'a Process<'a>, namespaces: &Namespaces<'_>, first: bool) {
        let label = process.selinux_label.as_deref();
        self.push(
            Action::SessionKeyring(KeyringStep {
                label: label.filter(|label| !label.is_empty()),
                first,
                in_user_namespace: namespaces.has(NamespaceKind::User),
            }),
            Pointer::to("/process"),
            clause::PROCESS,
        );
    }

    /// Before the filter, which may refuse the call. The numbers are of
    /// include/uapi/linux/personality.h.
    fn personality(&mut self, spec: &Spec<'_>) -> Result<()> {
        const PER_LINUX: u32 = 0;
        const PER_LINUX32: u32 = 8;
        let Some(personality) = &spec.linux.personality else {
            return Ok(());
        };
        let domain = match &*personality.domain {
            "LINUX" => PER_LINUX,
            "LINUX32" => PER_LINUX32,
            other => {
                return Err(Error::config(
                    "/linux/personality/domain",
                    format!("unknown personality domain {other:?}"),
                )
                .hint("LINUX or LINUX32"));
            }
        };
        if !personality.flags.is_empty() {
            return Err(Error::config(
                "/linux/personality/flags",
                "additional flags for personality are not supported at this time",
            ));
        }
        self.push(
            Action::Personality(domain),
            Pointer::to("/linux/personality"),
            clause::PERSONALITY,
        );
        Ok(())
    }

    fn oom_score(&mut self, process: &Process<'_>) {
        if let Some(score) = process.oom_score_adj {
            self.push(
                Action::OomScoreAdj(score),
                Pointer::to("/process/oomScoreAdj"),
                clause::LINUX_PROCESS,
            );
        }
    }

    pub(super) fn console(&mut self, process: &Process<'_>, device: bool) {
        if process.terminal {
            self.push(
                Action::Console(ConsoleStep {
                    size: process.console_size.map(|size| (size.height, size.width)),
                    uid: process.user.uid,
                    device,
                }),
                Pointer::to("/process/terminal"),
                clause::PROCESS,
            );
        }
    }

    fn hooks(&mut self, spec: &'a Spec<'a>, kind: HookKind) {
        let (hooks, base) = hooks_of(spec, kind);
        if !hooks.is_empty() {
            self.push(Action::Hooks(kind, hooks), Pointer::to(base), clause::HOOKS);
        }
    }
}

/// The hooks of a kind and where they stand.
fn hooks_of<'a>(spec: &'a Spec<'a>, kind: HookKind) -> (&'a [crate::spec::Hook<'a>], &'static str) {
    let hooks = &spec.hooks;
    match kind {
        HookKind::Prestart => (&hooks.prestart, "/hooks/prestart"),
        HookKind::CreateRuntime => (&hooks.create_runtime, "/hooks/createRuntime"),
        HookKind::CreateContainer => (&hooks.create_container, "/hooks/createContainer"),
        HookKind::StartContainer => (&hooks.start_container, "/hooks/startContainer"),
        HookKind::Poststart => (&hooks.poststart, "/hooks/poststart"),
        HookKind::Poststop => (&hooks.poststop, "/hooks/poststop"),
    }
}
