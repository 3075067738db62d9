//! The plan in words, for `explain` and for tests.

use std::fmt;

use super::{Action, Birth, IdMaps, MountSource, MountStep, ResctrlStep, SecurityModule, Side};
use crate::cgroup::systemd::{Property, Unit};
use crate::spec::IdMapping;

impl Side {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Side::Runtime => "runtime",
            Side::Init => "init",
        }
    }
}

impl Action<'_> {
    /// What undoes it on the host; what happens inside init's own namespaces ends with init.
    pub fn undo(&self) -> Option<&'static str> {
        match self {
            Action::StartUnit(..) => Some("stop the unit, and forget that it failed"),
            Action::CreateCgroups => Some("end what runs in the cgroups and remove them"),
            Action::Resctrl(ResctrlStep::Make(..)) => {
                Some("remove the directories that were made for it")
            }
            Action::MoveNetDevice(_) => {
                Some("move it back, as long as the container is not created")
            }
            Action::StartInit { .. } => Some("kill init and wait for its end"),
            Action::RecordCreated => Some("remove the container's state directory"),
            _ => None,
        }
    }
}

fn unit_start(unit: &Unit, properties: &[Property], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "have systemd start {} in {}:", unit.name, unit.slice)?;
    properties
        .iter()
        .try_for_each(|property| write!(f, " {}={}", property.name, property.value))
}

impl fmt::Display for Action<'_> {
    #[allow(
        clippy::too_many_lines,
        reason = "an arm for each action, nothing else"
    )]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::StartUnit(unit, properties) => unit_start(unit, properties, f),
            Action::CreateCgroups => f.write_str("make the container's cgroups"),
            Action::WriteCgroups(writes) => {
                f.write_str("write the limits:")?;
                writes
                    .iter()
                    .try_for_each(|write| write!(f, " {}={}", write.file, write.value))
            }
            Action::DelegateCgroup(owner) => write!(f, "give the cgroup to user {owner}"),
            Action::FilterDevices(program) => {
                let length = program.instructions().len();
                write!(f, "attach a device filter of {length} instructions")
            }
            Action::StartInit { namespaces, birth } => {
                f.write_str("start init, in new namespaces:")?;
                write_kinds(f, *namespaces)?;
                write_birth(f, birth)
            }
            Action::MapIds(maps) => {
                f.write_str("map the user namespace's ids")?;
                write_maps(f, maps)
            }
            Action::CompareIdMaps(maps) => {
                f.write_str("check that the user namespace's ids are these")?;
                write_maps(f, maps)
            }
            Action::EnterCgroups(_) => f.write_str("put init into the cgroups"),
            Action::Hooks(kind, list) => {
                write!(f, "run {} hooks:", kind.name())?;
                list.iter()
                    .try_for_each(|hook| write!(f, " {}", &*hook.path))
            }
            Action::JoinNamespace(kind, path) => write!(f, "join the {kind} namespace {path}"),
            Action::JoinContainer(_) => f.write_str("join the container's namespaces"),
            Action::Resctrl(step) => step.fmt(f),
            Action::BearOnCpus(cpus) => write!(f, "start on the CPUs {cpus}"),
            Action::Schedule(step) => step.fmt(f),
            Action::MoveNetDevice(step) => step.fmt(f),
            Action::NewSession => f.write_str("new session"),
            Action::SessionKeyring(_) => f.write_str("join the container's session keyring"),
            Action::NewTimeNamespace(offsets) => {
                f.write_str("new time namespace")?;
                offsets.iter().try_for_each(|(clock, offset)| {
                    write!(
                        f,
                        ", {clock} moved by {} s {} ns",
                        offset.secs, offset.nanosecs
                    )
                })
            }
            Action::BecomeRoot => f.write_str("become root of the user namespace"),
            Action::NewNamespaces(namespaces) => {
                f.write_str("new namespaces:")?;
                write_kinds(f, *namespaces)
            }
            Action::LoopbackUp => f.write_str("bring lo up"),
            Action::Hostname(name) => write!(f, "set hostname {name}"),
            Action::Domainname(name) => write!(f, "set domainname {name}"),
            Action::OomScoreAdj(score) => write!(f, "set oom_score_adj {score}"),
            Action::Rlimit(limit) => write!(
                f,
                "set {} to {:?}, at most {:?}",
                limit.name, limit.limits.current, limit.limits.maximum
            ),
            Action::Personality(domain) => write!(f, "set the personality {domain:#x}"),
            Action::WorkingDirectory(path) => write!(f, "make the working directory {path}"),
            Action::HostPropagation(flags) => {
                write!(f, "cut the host's mounts off: {}", propagation_name(*flags))
            }
            Action::OpenRootfs { path, .. } => write!(f, "open the rootfs {path}"),
            Action::Mount(step) => write_mount(f, step),
            Action::Device(device) if device.bind => {
                write!(f, "bind the host's device {}", device.path)
            }
            Action::Device(device) => {
                write!(f, "make device {} ({:o})", device.path, device.mode)
            }
            Action::DeviceLinks => f.write_str("make the links of /dev"),
            Action::Console(_) => f.write_str("make the pseudo-terminal"),
            Action::PivotRoot { .. } => f.write_str("pivot_root into the rootfs"),
            Action::MoveRoot => f.write_str("move the rootfs onto / and chroot into it"),
            Action::ChangeRoot => f.write_str("chroot into the rootfs"),
            Action::Readonly(path) => write!(f, "make the mount {path} read-only"),
            Action::RootPropagation(flags) => {
                write!(
                    f,
                    "set the root's propagation: {}",
                    propagation_name(*flags)
                )
            }
            Action::Sysctl { key, value } => write!(f, "set sysctl {key}={value}"),
            Action::Mask { path, .. } => write!(f, "mask {path}"),
            Action::ReadonlyPath(path) => write!(f, "make {path} read-only"),
            Action::Environment(_) => f.write_str("complete the environment"),
            Action::Credentials(credentials) => write!(
                f,
                "become uid {} gid {} in {}{}",
                credentials.uid,
                credentials.gid,
                credentials.cwd,
                if credentials.no_new_privileges {
                    ", no new privileges"
                } else {
                    ""
                }
            ),
            Action::LocateProgram { args, .. } => {
                write!(f, "locate {}", args.first().map_or("", |name| &**name))
            }
            Action::RecordCreated => f.write_str("record that the container is created"),
            Action::CloseDescriptors { preserved } => {
                write!(f, "close all descriptors from {} on", 3 + preserved)
            }
            Action::SendListener(agent) => {
                write!(f, "hand the filter's listener to {}", agent.socket)
            }
            Action::Seccomp(program) => {
                write!(
                    f,
                    "install a seccomp filter of {} instructions",
                    program.instructions().len()
                )
            }
            Action::LabelOnExec(SecurityModule::AppArmor, profile) => {
                write!(f, "change to AppArmor profile {profile}")
            }
            Action::LabelOnExec(SecurityModule::SeLinux, label) => {
                write!(f, "change to SELinux label {label}")
            }
            Action::WaitForStart => f.write_str("wait for `start`"),
            Action::Execute => f.write_str("execute the program"),
        }
    }
}

fn write_kinds(f: &mut fmt::Formatter<'_>, flags: u64) -> fmt::Result {
    super::namespace_kinds()
        .iter()
        .filter(|kind| flags & kind.clone_flag() != 0)
        .try_for_each(|kind| write!(f, " {kind}"))
}

fn write_birth(f: &mut fmt::Formatter<'_>, birth: &Birth<'_>) -> fmt::Result {
    match birth {
        Birth::Here => Ok(()),
        Birth::InPidNamespace(path) => write!(f, ", in the pid namespace {path}"),
        Birth::Beyond(list) => {
            f.write_str(", by a process that has joined")?;
            list.iter()
                .try_for_each(|(kind, path)| write!(f, " the {kind} namespace {path}"))
        }
        Birth::BeyondContainer(flags) => {
            f.write_str(", by a process that has joined the container's namespaces:")?;
            write_kinds(f, *flags)
        }
    }
}

fn write_maps(f: &mut fmt::Formatter<'_>, maps: &IdMaps<'_>) -> fmt::Result {
    write_mappings(f, "uids", maps.uids)?;
    write_mappings(f, "gids", maps.gids)
}

fn write_mount(f: &mut fmt::Formatter<'_>, step: &MountStep<'_>) -> fmt::Result {
    match &step.source {
        MountSource::Filesystem { kind, .. } => write!(f, "mount {kind} on {}", step.destination)?,
        MountSource::Bind {
            path, recursive, ..
        } => write!(
            f,
            "{} {path} on {}",
            if *recursive { "bind the tree" } else { "bind" },
            step.destination
        )?,
        MountSource::Cgroups => write!(f, "mount the cgroups on {}", step.destination)?,
        MountSource::Remount => write!(f, "change the mount on {}", step.destination)?,
    }
    match &step.idmap {
        None => Ok(()),
        Some(idmap) => {
            f.write_str(", owners mapped")?;
            if idmap.recursive {
                f.write_str(" recursively")?;
            }
            match &idmap.mappings {
                None => f.write_str(" by the container's user namespace"),
                Some(mappings) => {
                    write_mappings(f, "uids", &mappings.uids)?;
                    write_mappings(f, "gids", &mappings.gids)
                }
            }
        }
    }
}

fn write_mappings(f: &mut fmt::Formatter<'_>, what: &str, list: &[IdMapping]) -> fmt::Result {
    write!(f, ", {what}")?;
    list.iter().try_for_each(|mapping| {
        let (first, host, size) = (mapping.container_id, mapping.host_id, mapping.size);
        write!(f, " {first}->{host} ({size})")
    })
}

fn propagation_name(flags: u64) -> &'static str {
    match flags & !libc::MS_REC {
        libc::MS_SHARED => "shared",
        libc::MS_SLAVE => "slave",
        libc::MS_PRIVATE => "private",
        _ => "unbindable",
    }
}
