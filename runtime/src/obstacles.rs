//! What keeps this host from carrying out a step, as far as that can be told without trying: for
//! `explain`. Nothing is made, mounted or changed, and nothing here takes root's rights.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::net::{AddressFamily, SocketFlags, SocketType, netdevice, socket_with};
use rustix::thread::CapabilitySet;

use crate::cgroup::{self, Hierarchies, Hierarchy, Layout, Version};
use crate::error::Error;
use crate::host::Host;
use crate::plan::{
    Action, Birth, HookKind, IdMaps, MountSource, MountStep, NamespaceKind, RlimitStep,
    ScheduleStep, SecurityModule, Step, namespace_kinds,
};
use crate::resctrl::Resctrl;
use crate::spec::{Hook, IdMapping, Spec, sysctl};
use crate::sys::seccomp::Flags;

/// What the plan could not be made for: a place in config.json, and why.
#[derive(Debug)]
pub struct Lack {
    pointer: String,
    why: String,
}

impl Lack {
    /// The same, for an error of a check.
    pub fn of(error: &Error) -> Option<Self> {
        Some(Lack {
            pointer: error.pointer()?.to_owned(),
            why: error.to_string(),
        })
    }

    /// Whether it is this step that can't be.
    fn concerns(&self, step: &Step<'_>) -> bool {
        if self.pointer.starts_with("/process/user") {
            return matches!(step.action, Action::Credentials(_));
        }
        let below = |inner: &str, outer: &str| {
            let rest = inner.strip_prefix(outer);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let pointer = step.pointer.to_string();
        let whole = matches!(&*pointer, "" | "/process");
        !whole && (below(&self.pointer, &pointer) || below(&pointer, &self.pointer))
    }
}

/// Gives the host what `error`, of planning, says that it lacks, or takes from `spec` what no host
/// like this one has, so that the rest of the plan can be seen. `None` if it is not the host's
/// fault: config.json is wrong.
pub fn imagine(host: &mut Host, spec: &mut Spec<'_>, error: &Error) -> Option<Lack> {
    let lack = Lack::of(error)?;
    let about = |pointer: &str| lack.pointer.starts_with(pointer);
    let imagined = if about("/process/apparmorProfile") {
        !std::mem::replace(&mut host.apparmor, true)
    } else if about("/process/selinuxLabel") {
        !std::mem::replace(&mut host.selinux, true)
    } else if about("/process/user/additionalGids") {
        let process = spec.process.as_mut()?;
        host.rootless && !std::mem::take(&mut process.user.additional_gids).is_empty()
    } else if about("/linux/intelRdt") {
        let whole = Resctrl {
            root: "/sys/fs/resctrl".into(),
            cache: true,
            bandwidth: true,
        };
        match &mut host.resctrl {
            Some(Resctrl {
                cache: true,
                bandwidth: true,
                ..
            }) => false,
            resctrl => {
                *resctrl = Some(whole);
                true
            }
        }
    } else if about("/linux/seccomp") {
        let abilities = host.seccomp.as_mut()?;
        let before = abilities.flags;
        for flag in Flags::names().filter_map(Flags::named) {
            abilities.flags |= flag;
        }
        abilities.flags |= Flags::NEW_LISTENER;
        abilities.flags != before
    } else if about("/linux/netDevices") {
        let before = host.capabilities;
        host.capabilities |= CapabilitySet::NET_ADMIN;
        host.capabilities != before
    } else if about("/linux/resources") {
        imagine_cgroups(&mut host.hierarchies, spec)
    } else {
        false
    };
    imagined.then_some(lack)
}

/// A host with all controllers, of either version, shows whether config.json is in order.
fn imagine_cgroups(hierarchies: &mut Hierarchies, spec: &mut Spec<'_>) -> bool {
    const ALL: [&str; 13] = [
        "cpu", "cpuacct", "cpuset", "memory", "pids", "io", "blkio", "hugetlb", "rdma", "misc",
        "devices", "net_cls", "net_prio",
    ];
    let resources = spec.linux.resources.as_ref();
    let mut controllers: Vec<String> = ALL.map(str::to_owned).into();
    // A file of `unified` is its controller's, one that nobody has heard of too.
    controllers.extend(resources.into_iter().flat_map(|resources| {
        let files = resources.unified.keys();
        files.filter_map(|file| Some(file.split_once('.')?.0.to_owned()))
    }));
    let all = |layout| Hierarchies {
        layout,
        list: vec![Hierarchy {
            version: if layout == Layout::V2 {
                Version::V2
            } else {
                Version::V1
            },
            name: String::new(),
            controllers: controllers.clone(),
            mount_point: "/sys/fs/cgroup".to_owned(),
            own: "/".to_owned(),
        }],
    };
    let fits =
        |layout| resources.is_none_or(|resources| cgroup::writes(resources, &all(layout)).is_ok());
    let same = fits(hierarchies.layout);
    let whole = all(hierarchies.layout);
    if same && *hierarchies != whole {
        *hierarchies = whole;
        return true;
    }
    let other = match hierarchies.layout {
        Layout::V2 => Layout::V1,
        Layout::V1 | Layout::Hybrid => Layout::V2,
    };
    if resources.is_some() && fits(other) {
        // Its limits are in the words of the other version.
        spec.linux.resources = None;
        return true;
    }
    false
}

/// Why this host can't carry out a step; `None` if nothing is known against it. `lacks` is what it
/// was planned in spite of.
pub fn obstacle(step: &Step<'_>, host: &Host, lacks: &[Lack]) -> Option<String> {
    if let Some(lack) = lacks.iter().find(|lack| lack.concerns(step)) {
        return Some(lack.why.clone());
    }
    match &step.action {
        Action::StartUnit(..) => missing("/run/systemd/system")
            .map(|_| "this host was not booted with systemd (sd_booted(3))".to_owned()),
        Action::StartInit { namespaces, birth } => {
            namespaces_lack(*namespaces, host).or_else(|| match birth {
                Birth::InPidNamespace(path) => missing(path),
                Birth::Beyond(list) => list.iter().find_map(|(_, path)| missing(path)),
                Birth::Here | Birth::BeyondContainer(_) => None,
            })
        }
        Action::NewNamespaces(kinds) => kinds_lack(*kinds),
        Action::NewTimeNamespace(_) => kinds_lack(NamespaceKind::Time.clone_flag()),
        Action::JoinNamespace(_, path) => missing(path),
        Action::MapIds(maps) => maps_lack(*maps, host),
        Action::MoveNetDevice(device) => device_lacks(device.name),
        Action::Hooks(kind, list) if *kind != HookKind::StartContainer => hooks_lack(list),
        Action::OpenRootfs { path, .. } => (!Path::new(path).is_dir())
            .then(|| missing(path).unwrap_or_else(|| format!("{path} is no directory"))),
        Action::Mount(mount) => mount_lacks(mount),
        Action::Device(device) => {
            (!device.bind && !host.rootless && !host.capabilities.contains(CapabilitySet::MKNOD))
                .then(|| "mknod(2) takes CAP_MKNOD".to_owned())
        }
        Action::Rlimit(limit) => limit_lacks(limit, host),
        // Those of the network are another namespace's, with other devices.
        Action::Sysctl { key, .. } => {
            let path = format!("/proc/sys/{}", sysctl::path(key));
            (!path.starts_with("/proc/sys/net/"))
                .then(|| missing(&path))
                .flatten()
        }
        Action::Schedule(ScheduleStep::Memory(_)) => missing("/proc/self/numa_maps")
            .map(|_| "this kernel has no memory policies (CONFIG_NUMA)".to_owned()),
        Action::Schedule(ScheduleStep::Policy(policy)) => (policy.policy_name == "SCHED_ISO")
            .then(|| "no Linux has SCHED_ISO (sched_setscheduler(2))".to_owned()),
        Action::LabelOnExec(SecurityModule::AppArmor, profile) => profile_lacks(profile),
        _ => None,
    }
}

/// A path that isn't there. One that we may not look at may be.
fn missing(path: &str) -> Option<String> {
    let found = fs::metadata(path);
    let absent = found.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
    absent.then(|| format!("there is no {path}"))
}

fn namespaces_lack(kinds: u64, host: &Host) -> Option<String> {
    let user = kinds & NamespaceKind::User.clone_flag() != 0;
    let number = |path: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == "0");
    if user && host.rootless && number("/proc/sys/kernel/unprivileged_userns_clone") {
        return Some(
            "user namespaces are root's alone here (kernel.unprivileged_userns_clone)".to_owned(),
        );
    }
    let rights = host.capabilities.contains(CapabilitySet::SYS_ADMIN);
    if kinds != 0 && !user && !host.rootless && !rights {
        return Some("new namespaces take CAP_SYS_ADMIN, or a user namespace".to_owned());
    }
    kinds_lack(kinds)
}

/// Whether the kernel has these kinds, and lets anybody make one (`namespaces(7)`).
fn kinds_lack(kinds: u64) -> Option<String> {
    let wanted = namespace_kinds().into_iter();
    let mut wanted = wanted.filter(|kind| kinds & kind.clone_flag() != 0);
    wanted.find_map(|kind| {
        let name = kind.proc_name();
        if missing(&format!("/proc/self/ns/{name}")).is_some() {
            return Some(format!("this kernel has no {kind} namespaces"));
        }
        let most = fs::read_to_string(format!("/proc/sys/user/max_{name}_namespaces"));
        most.is_ok_and(|most| most.trim() == "0")
            .then(|| format!("user.max_{name}_namespaces is 0"))
    })
}

/// Whoever has no rights may map his own ids, and others by the programs of shadow-utils.
fn maps_lack(maps: IdMaps<'_>, host: &Host) -> Option<String> {
    if !host.rootless {
        return None;
    }
    let own = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    let is_own = |list: &[IdMapping], id: u32| matches!(list, [only] if only.size == 1 && only.host_id == id);
    [
        ("newuidmap", is_own(maps.uids, own.0)),
        ("newgidmap", is_own(maps.gids, own.1)),
    ]
    .into_iter()
    .find(|(program, own)| !own && !is_in_path(program))
    .map(|(program, _)| format!("to map others' ids takes {program}(1), which is not in $PATH"))
}

fn is_in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

fn device_lacks(name: &str) -> Option<String> {
    let family = (AddressFamily::UNIX, SocketType::DGRAM);
    let socket = socket_with(family.0, family.1, SocketFlags::CLOEXEC, None).ok()?;
    let found = netdevice::name_to_index(socket, name);
    (found == Err(rustix::io::Errno::NODEV))
        .then(|| format!("there is no network device {name} here"))
}

fn hooks_lack(list: &[Hook<'_>]) -> Option<String> {
    list.iter().find_map(|hook| {
        missing(&hook.path).or_else(|| {
            let found = fs::metadata(&*hook.path).ok()?;
            let runs = found.is_file() && found.permissions().mode() & 0o111 != 0;
            (!runs).then(|| format!("{} can't be executed", &*hook.path))
        })
    })
}

fn mount_lacks(mount: &MountStep<'_>) -> Option<String> {
    let mapped = mount.idmap.is_some();
    let recursive = mount.recursive.set != 0 || mount.recursive.clear != 0;
    if (mapped || recursive) && release() < (5, 12) {
        return Some("mount_setattr(2) came with Linux 5.12".to_owned());
    }
    match &mount.source {
        MountSource::Filesystem { kind, .. } => {
            (!has_file_system(kind)).then(|| format!("this kernel has no file system {kind}"))
        }
        MountSource::Bind { path, links, .. } if links.source_nofollow || links.copy_symlink => {
            let absent = fs::symlink_metadata(path)
                .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
            absent.then(|| format!("there is no {path}"))
        }
        MountSource::Bind { path, .. } => missing(path),
        MountSource::Cgroups | MountSource::Remount => None,
    }
}

/// Whether the kernel has it, or a module that it would load.
fn has_file_system(kind: &str) -> bool {
    // A type of FUSE has the name of its own after a dot (fuse(8)).
    let kind = kind.split('.').next().unwrap_or(kind);
    let Ok(known) = fs::read_to_string("/proc/filesystems") else {
        return true;
    };
    if known
        .lines()
        .any(|line| line.split('\t').nth(1) == Some(kind))
    {
        return true;
    }
    if missing("/proc/modules").is_some() {
        return false;
    }
    let uname = rustix::system::uname();
    let modules = format!("/lib/modules/{}", uname.release().to_string_lossy());
    let aliases = fs::read_to_string(format!("{modules}/modules.alias"));
    let files = fs::read_to_string(format!("{modules}/modules.dep"));
    match (aliases, files) {
        (Ok(aliases), Ok(files)) => {
            let alias = format!("alias fs-{kind} ");
            let file = format!("/{kind}.ko");
            aliases.lines().any(|line| line.starts_with(&alias)) || files.contains(&file)
        }
        // Whether it could load one can't be told.
        _ => true,
    }
}

/// The kernel's version, as far as features go by it.
fn release() -> (u32, u32) {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy();
    let mut numbers = release
        .split(|character: char| !character.is_ascii_digit())
        .map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn limit_lacks(limit: &RlimitStep, host: &Host) -> Option<String> {
    if host.capabilities.contains(CapabilitySet::SYS_RESOURCE) {
        return None;
    }
    let own = rustix::process::getrlimit(limit.resource).maximum?;
    limit.limits.maximum.is_none_or(|most| most > own).then(|| {
        format!(
            "{} above {own}, our own hard limit, takes CAP_SYS_RESOURCE",
            limit.name
        )
    })
}

/// A profile that is not loaded; only root may see which are.
fn profile_lacks(profile: &str) -> Option<String> {
    let loaded = fs::read_to_string("/sys/kernel/security/apparmor/profiles").ok()?;
    let found = loaded.lines().any(|line| {
        let name = line.rsplit_once(" (").map_or(line, |(name, _)| name);
        name == profile
    });
    // Of another namespace, or a stack: apparmor(7) has more than one list.
    let elsewhere = profile == "unconfined" || profile.contains("//") || profile.starts_with(':');
    (!found && !elsewhere).then(|| format!("the AppArmor profile {profile} is not loaded"))
}
