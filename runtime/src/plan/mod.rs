//! The plan: config.json and the host's abilities, through pure functions, into one ordered list
//! of steps. Nothing here touches the system; [`crate::container`] and [`crate::init`] carry the
//! list out, each the steps of its own side.

mod build;
pub mod capabilities;
mod cgroups;
mod clause;
mod delegation;
mod devices;
mod filter;
mod intel_rdt;
mod memory_policy;
mod mounts;
mod namespaces;
mod net_devices;
mod process;
mod rootfs;
mod scheduling;
mod show;
pub mod update;

use std::ffi::CString;
use std::fmt;

use rustix::thread::CapabilitySet;

use crate::cgroup;
use crate::seccomp::Program;
use crate::spec::{Hook, IdMapping, NumberList, Text, TimeOffset};
use crate::sys::mount::Attributes;

pub use build::{ContainerRequest, ExecRequest, for_container, for_exec};
pub use capabilities::NAMES as CAPABILITY_NAMES;
pub use intel_rdt::{ResctrlStep, group as resctrl_group};
pub use memory_policy::{
    MemoryPolicyStep, flag_names as memory_policy_flags, mode_names as memory_policy_modes,
};
pub use mounts::{EMULATED_PROC_FILES, OPTION_NAMES as MOUNT_OPTIONS, Places, step as mount_step};
pub use namespaces::{NamespaceKind, kinds as namespace_kinds};
pub use net_devices::NetDeviceStep;
pub use scheduling::{IoPriorityStep, ScheduleStep, SchedulerStep};

/// What has to be done to set a container up, or to run one more process in it, in order.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The steps. Where the list passes from one [`Side`] to the other, the side that is done
    /// tells the other one to go on: the list is the protocol between the two.
    pub steps: Vec<Step<'a>>,
    /// What the caller asked for and will not get, where the spec wants a warning, not an error.
    pub warnings: Vec<String>,
}

impl Plan<'_> {
    /// Whether the container has a cgroup namespace other than the runtime's.
    pub fn has_cgroup_namespace(&self) -> bool {
        let cgroup = NamespaceKind::Cgroup;
        self.steps.iter().any(|step| match &step.action {
            Action::NewNamespaces(flags) => flags & cgroup.clone_flag() != 0,
            Action::JoinNamespace(kind, _) => *kind == cgroup,
            Action::StartInit {
                birth: Birth::Beyond(joined),
                ..
            } => joined.iter().any(|(kind, _)| *kind == cgroup),
            _ => false,
        })
    }
}

/// One step.
#[derive(Debug)]
pub struct Step<'a> {
    /// What is done.
    pub action: Action<'a>,
    /// Where config.json asks for it.
    pub pointer: Pointer<'a>,
    /// The clause of runtime-spec that asks for it: `file#heading`.
    pub clause: &'static str,
}

/// Which process carries a step out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The runtime itself, on the host.
    Runtime,
    /// The container's first process (or an exec'd one) before it becomes the app.
    Init,
}

/// A JSON pointer into config.json, cheap to make; printed only when something goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pointer<'a> {
    /// The fixed front: `/mounts`.
    pub base: &'static str,
    /// The index of an array's element.
    pub index: Option<usize>,
    /// The key of an object's member.
    pub key: Option<&'a str>,
}

impl<'a> Pointer<'a> {
    /// A pointer to a fixed place.
    pub const fn to(base: &'static str) -> Self {
        Pointer {
            base,
            index: None,
            key: None,
        }
    }

    /// A pointer to an element of an array.
    pub const fn element(base: &'static str, index: usize) -> Self {
        Pointer {
            base,
            index: Some(index),
            key: None,
        }
    }

    /// A pointer to a member of an object.
    pub const fn member(base: &'static str, key: &'a str) -> Self {
        Pointer {
            base,
            index: None,
            key: Some(key),
        }
    }
}

impl fmt::Display for Pointer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base)?;
        if let Some(index) = self.index {
            write!(f, "/{index}")?;
        }
        if let Some(key) = self.key {
            write!(f, "/{}", key.replace('~', "~0").replace('/', "~1"))?;
        }
        Ok(())
    }
}

/// What a step does.
#[derive(Debug)]
pub enum Action<'a> {
    /// Have systemd make a scope around init.
    StartUnit(&'a cgroup::systemd::Unit, Vec<cgroup::systemd::Property>),
    /// Make the container's cgroup in every hierarchy where it isn't yet.
    CreateCgroups,
    /// Write the limits, and on cgroup v1 the device rules, into them.
    WriteCgroups(Vec<cgroup::Write<'a>>),
    /// Give the cgroup of version 2 to this user of the host.
    DelegateCgroup(u32),
    /// Load the device filter of cgroup v2.
    FilterDevices(cgroup::device_filter::Program),
    /// clone3: the container's first process, in these new namespaces (`CLONE_NEW*`).
    StartInit {
        /// Namespaces that the clone makes.
        namespaces: u64,
        /// Who makes it, and from where.
        birth: Birth<'a>,
    },
    /// Say which ids init's new user namespace has.
    MapIds(IdMaps<'a>),
    /// Refuse a joined user namespace that has other ids than config.json says.
    CompareIdMaps(IdMaps<'a>),
    /// Put init into the cgroups: the runtime does it, or init itself.
    EnterCgroups(Side),
    /// The container's resctrl group.
    Resctrl(ResctrlStep<'a>),
    /// Run on these CPUs while the process is born.
    BearOnCpus(NumberList),
    /// Move a network device into the container's network namespace.
    MoveNetDevice(NetDeviceStep<'a>),
    /// Run hooks of this kind, in order.
    Hooks(HookKind, &'a [Hook<'a>]),

    /// Join an existing namespace.
    JoinNamespace(NamespaceKind, &'a str),
    /// Join the namespaces of a running container's init (`CLONE_NEW*`), all at once.
    JoinContainer(u64),
    /// A new session.
    NewSession,
    /// The session keyring with the container's name, which the first process makes.
    SessionKeyring(KeyringStep<'a>),
    /// Where and when the process runs.
    Schedule(ScheduleStep),
    /// unshare(CLONE_NEWTIME), with the clocks moved, and enter it.
    NewTimeNamespace(Vec<(&'a str, TimeOffset)>),
    /// Take on the uid and the gid 0 of the user namespace.
    BecomeRoot,
    /// unshare(2) of these (`CLONE_NEW*`): those that init may make only now, in its cgroups and as
    /// root of its user namespace.
    NewNamespaces(u64),
    /// Bring `lo` up in the new network namespace.
    LoopbackUp,
    /// sethostname(2).
    Hostname(&'a str),
    /// setdomainname(2).
    Domainname(&'a str),
    /// /proc/self/oom_score_adj.
    OomScoreAdj(i32),
    /// prlimit(2) of init.
    Rlimit(RlimitStep),
    /// The execution domain (personality(2)).
    Personality(u32),
    /// Make the working directory, as far as it is missing.
    WorkingDirectory(&'a str),
    /// The propagation of the host's mounts as copied into the new mount namespace, `MS_*`.
    HostPropagation(u64),
    /// Take the rootfs and hold its descriptor.
    OpenRootfs {
        /// Its path on the host.
        path: String,
        /// How it becomes a mount of its own.
        own_mount: OwnMount,
    },
    /// Mount one entry of `mounts`.
    Mount(MountStep<'a>),
    /// Make one device node.
    Device(DeviceStep<'a>),
    /// Make the symbolic links of /dev that config-linux.md asks for.
    DeviceLinks,
    /// Make a pseudo-terminal, hand its other end over, and make it the controlling terminal.
    Console(ConsoleStep),
    /// Make the rootfs `/`, and the old root unreachable.
    PivotRoot {
        /// Whether the host's mounts would see what happens to the copies of them here.
        shared: bool,
    },
    /// The same for a root that can't be pivoted (`--no-pivot`): the rootfs is moved onto it.
    MoveRoot,
    /// The same without a mount namespace.
    ChangeRoot,
    /// Make a mount read-only now that everything has been made in it.
    Readonly(&'a str),
    /// The propagation of the container's root, `MS_*`.
    RootPropagation(u64),
    /// Write a kernel parameter.
    Sysctl {
        /// Its name, with dots or slashes.
        key: &'a str,
        /// Its value.
        value: &'a str,
    },
    /// Make a path unreadable.
    Mask {
        /// The path inside the container.
        path: &'a str,
        /// The SELinux context of the empty directory that hides one.
        label: Option<&'a str>,
    },
    /// Make a path read-only.
    ReadonlyPath(&'a str),
    /// Complete the environment from the container's own files.
    Environment(EnvironmentStep),
    /// Close all that is open but what the app is to have, and what is still needed here.
    CloseDescriptors {
        /// How many descriptors from 3 on the app inherits.
        preserved: u32,
    },
    /// Set user, groups, capabilities and umask for good.
    Credentials(CredentialsStep),
    /// Find the file to execute, with the rights that the app has.
    LocateProgram {
        /// argv.
        args: &'a [Text<'a>],
        /// PATH, for args[0] without a slash.
        path: Option<&'a str>,
    },
    /// Record that the container is created: state.json, pid file.
    RecordCreated,
    /// Install the filter.
    Seccomp(Program),
    /// Hand the filter's listener to the seccomp agent.
    SendListener(SeccompAgent<'a>),
    /// Write the label that execve will change to.
    LabelOnExec(SecurityModule, &'a str),
    /// Wait until `start` is called.
    WaitForStart,
    /// Become the app.
    Execute,
}

impl Action<'_> {
    /// Which process carries it out.
    pub fn side(&self) -> Side {
        match self {
            Action::Rlimit(limit) => limit.side,
            Action::EnterCgroups(side) => *side,
            Action::StartUnit(..)
            | Action::CreateCgroups
            | Action::WriteCgroups(_)
            | Action::DelegateCgroup(_)
            | Action::FilterDevices(_)
            | Action::StartInit { .. }
            | Action::MapIds(_)
            | Action::CompareIdMaps(_)
            | Action::Resctrl(_)
            | Action::BearOnCpus(_)
            | Action::MoveNetDevice(_)
            | Action::OomScoreAdj(_)
            | Action::RecordCreated
            | Action::SendListener(_)
            | Action::Hooks(HookKind::Prestart | HookKind::CreateRuntime, _) => Side::Runtime,
            _ => Side::Init,
        }
    }
}

/// Who makes init, and from where.
#[derive(Debug)]
pub enum Birth<'a> {
    /// The runtime.
    Here,
    /// The runtime, which is in this pid namespace meanwhile.
    InPidNamespace(&'a str),
    /// A child of the runtime that joins these namespaces, and ends afterwards: there is no way
    /// back from a user namespace (setns(2)).
    Beyond(Vec<(NamespaceKind, &'a str)>),
    /// The same for those of a running container (`CLONE_NEW*`).
    BeyondContainer(u64),
}

/// The ids of a user namespace (`user_namespaces(7)`).
#[derive(Clone, Copy, Debug)]
pub struct IdMaps<'a> {
    /// uids.
    pub uids: &'a [IdMapping],
    /// gids.
    pub gids: &'a [IdMapping],
}

/// The six kinds of hooks (config.md, "POSIX-platform Hooks").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookKind {
    /// Deprecated; runtime namespaces.
    Prestart,
    /// Runtime namespaces, before `pivot_root`.
    CreateRuntime,
    /// Container namespaces, before `pivot_root`.
    CreateContainer,
    /// Inside the container, before the app.
    StartContainer,
    /// Runtime namespaces, after the app was started.
    Poststart,
    /// Runtime namespaces, after `delete`.
    Poststop,
}

impl HookKind {
    /// The key in config.json.
    pub fn name(self) -> &'static str {
        match self {
            HookKind::Prestart => "prestart",
            HookKind::CreateRuntime => "createRuntime",
            HookKind::CreateContainer => "createContainer",
            HookKind::StartContainer => "startContainer",
            HookKind::Poststart => "poststart",
            HookKind::Poststop => "poststop",
        }
    }

    /// All six, in the order in which they run.
    pub const ALL: [HookKind; 6] = [
        HookKind::Prestart,
        HookKind::CreateRuntime,
        HookKind::CreateContainer,
        HookKind::StartContainer,
        HookKind::Poststart,
        HookKind::Poststop,
    ];
}

/// A security module of the kernel that labels processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecurityModule {
    /// AppArmor.
    AppArmor,
    /// SELinux.
    SeLinux,
}

/// The session keyring.
#[derive(Clone, Copy, Debug)]
pub struct KeyringStep<'a> {
    /// The SELinux label that it gets.
    pub label: Option<&'a str>,
    /// Whether the process is the container's first one, which makes it.
    pub first: bool,
    /// Whether the process is in a user namespace, where its own id is not the keyring's owner's.
    pub in_user_namespace: bool,
}

/// One resource limit.
#[derive(Clone, Copy, Debug)]
pub struct RlimitStep {
    /// Which.
    pub resource: rustix::process::Resource,
    /// Its name, for errors.
    pub name: &'static str,
    /// The values; `None` is infinity.
    pub limits: rustix::process::Rlimit,
    /// Who sets it: only the runtime may raise a hard limit of a process in a user namespace.
    pub side: Side,
}

/// How the rootfs becomes a mount of its own, as pivot_root(2) needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnMount {
    /// It stays a directory.
    None,
    /// It is stacked on itself.
    OnItself,
    /// The same, once the mount that holds it, which may be shared with the host's, is private.
    OnItselfInShared,
}

/// One mount.
#[derive(Debug)]
pub struct MountStep<'a> {
    /// Where, a path inside the container.
    pub destination: &'a str,
    /// What.
    pub source: MountSource<'a>,
    /// Flags of the mount itself.
    pub attributes: Attributes,
    /// `MOUNT_ATTR_*` that options clear by name: a locked flag of a bind mount's source is kept
    /// in a user namespace, unless it is one of these.
    pub cleared_by_name: u64,
    /// Flags of the mount and of all mounts below it (`rro`, …).
    pub recursive: Attributes,
    /// Propagation set after it is in place, `MS_*` with `MS_REC`.
    pub propagation: Vec<u64>,
    /// Copy what the rootfs has there into the new tmpfs.
    pub copy_up: bool,
    /// An option with a value that only the mount of a new file system could heed.
    pub without_effect: Option<&'a str>,
    /// The owners that it shows, where they are not those on disk.
    pub idmap: Option<IdMap>,
    /// The SELinux context of its root, where there is one and its file system takes none as an option.
    pub label: Option<&'a str>,
}

/// The owners of an idmapped mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdMap {
    /// From ids on disk to ids of the host; `None` is the mapping of the container's user
    /// namespace.
    pub mappings: Option<IdMappings>,
    /// For the mounts below as well.
    pub recursive: bool,
}

/// The two maps of a user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMappings {
    /// Of uids.
    pub uids: Vec<IdMapping>,
    /// Of gids.
    pub gids: Vec<IdMapping>,
}

/// How symbolic links at the ends of a bind mount are taken (crun(1)); by default they are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// A link as the source is mounted itself.
    pub source_nofollow: bool,
    /// A link as the destination is mounted over itself; it has to be there.
    pub destination_nofollow: bool,
    /// A link as the source is made anew at the destination, and nothing is mounted.
    pub copy_symlink: bool,
}

/// What is mounted.
#[derive(Debug)]
pub enum MountSource<'a> {
    /// A new file system.
    Filesystem {
        /// Its type.
        kind: &'a str,
        /// Its source.
        source: &'a str,
        /// Its own options; without a value they are flags.
        options: Vec<(&'a str, Option<&'a str>)>,
    },
    /// A tree that the caller has: a path of the host.
    Bind {
        /// Its path, absolute.
        path: String,
        /// With all mounts below it.
        recursive: bool,
        /// What to do with links.
        links: Links,
        /// The destination is /proc itself: only another procfs may be there.
        covers_proc: bool,
    },
    /// The container's view of the cgroups, whatever their version.
    Cgroups,
    /// What is there already (`remount`): only the flags change.
    Remount,
}

/// One device node.
#[derive(Debug)]
pub struct DeviceStep<'a> {
    /// Path inside the container.
    pub path: &'a str,
    /// Its kind and permission bits.
    pub kind: rustix::fs::FileType,
    /// Permission bits.
    pub mode: u32,
    /// Device number.
    pub number: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Whether it is the host's node, bound: mknod(2) is not for user namespaces.
    pub bind: bool,
}

/// The pseudo-terminal.
#[derive(Clone, Copy, Debug)]
pub struct ConsoleStep {
    /// Its size, if config.json says.
    pub size: Option<(u16, u16)>,
    /// Its owner.
    pub uid: u32,
    /// Whether it becomes /dev/console (for the first process only).
    pub device: bool,
}

/// The environment.
#[derive(Debug)]
pub struct EnvironmentStep {
    /// `NAME=VALUE`, the last one of a name only.
    pub env: Vec<CString>,
    /// The uid whose home directory is looked up in the container's /etc/passwd, if HOME is
    /// missing or empty.
    pub home_of: Option<u32>,
}

/// Who the process becomes.
#[derive(Debug)]
pub struct CredentialsStep {
    /// uid.
    pub uid: u32,
    /// gid.
    pub gid: u32,
    /// Supplementary groups; `None` leaves the caller's: without root's rights he may not give
    /// them up (setgroups(2), `user_namespaces(7)`).
    pub groups: Option<Vec<u32>>,
    /// umask.
    pub umask: u32,
    /// The working directory, entered with the rights of either user.
    pub cwd: String,
    /// The five capability sets.
    pub capabilities: CapabilityStep,
    /// `no_new_privs`.
    pub no_new_privileges: bool,
}

/// Who answers for `SCMP_ACT_NOTIFY`.
#[derive(Clone, Copy, Debug)]
pub struct SeccompAgent<'a> {
    /// Its socket, a path of the host; abstract if it begins with `@`.
    pub socket: &'a str,
    /// What it is told of this container, if config.json says so.
    pub metadata: Option<&'a str>,
}

/// The five capability sets.
#[derive(Clone, Copy, Debug)]
pub struct CapabilityStep {
    /// Bounding.
    pub bounding: CapabilitySet,
    /// Effective.
    pub effective: CapabilitySet,
    /// Permitted.
    pub permitted: CapabilitySet,
    /// Inheritable.
    pub inheritable: CapabilitySet,
    /// Ambient.
    pub ambient: CapabilitySet,
}
