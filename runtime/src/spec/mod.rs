//! config.json (runtime-spec 1.3, config.md and config-linux.md): its types, its loading, its
//! checks.
//!
//! The types are our own: they borrow from the one buffer that holds the file, keep what the
//! caller wrote in the order it was written, and leave it to [`check`](fn@check::check) and the plan to refuse
//! values, because only they can say where in config.json and what would mend it
//! (docs/decisions/own-config-types.md).

mod check;
mod go_json;
mod intel_rdt;
mod load;
mod locate;
mod memory_policy;
mod namespaces;
mod net_device;
mod number_list;
pub mod process;
pub mod resources;
mod scheduling;
pub mod seccomp;
pub mod sysctl;
mod text;

use std::collections::BTreeMap;

use serde::Deserialize;

pub use check::{Report, check, check_all, check_process, is_root};
pub use intel_rdt::IntelRdt;
pub use load::{ConfigText, read_config, read_opened_config, read_process_file};
pub use locate::position_of;
pub use memory_policy::MemoryPolicy;
pub use namespaces::{
    IdMapping, Namespace, TimeOffset, TimeOffsets, check_all_of_rootless, check_rootless,
};
pub use net_device::NetDevice;
pub use number_list::NumberList;
pub use process::{Capabilities, ConsoleSize, Process, Rlimit, User};
pub use scheduling::{CpuAffinity, IoPriority, Scheduler};
pub use text::{Text, null_is_default};

use resources::Resources;
use seccomp::Seccomp;

/// The whole of config.json, as far as it concerns Linux (config.md).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec<'a> {
    /// `ociVersion`: a SemVer 2.0.0 string.
    #[serde(borrow)]
    pub oci_version: Text<'a>,
    /// `root`: required on Linux.
    #[serde(borrow)]
    pub root: Option<Root<'a>>,
    /// `process`: may be absent until `start`.
    #[serde(borrow)]
    pub process: Option<Process<'a>>,
    /// `hostname` for a new UTS namespace.
    #[serde(borrow)]
    pub hostname: Option<Text<'a>>,
    /// `domainname` for a new UTS namespace.
    #[serde(borrow)]
    pub domainname: Option<Text<'a>>,
    /// `mounts`, made in the order listed.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub mounts: Vec<Mount<'a>>,
    /// `hooks`, run at the points of the lifecycle.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub hooks: Hooks<'a>,
    /// `annotations`: handed back by `state`.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub annotations: BTreeMap<Text<'a>, Text<'a>>,
    /// `linux`: config-linux.md.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub linux: Linux<'a>,
}

/// `root` (config.md, "Root").
#[derive(Debug, Deserialize)]
pub struct Root<'a> {
    /// The root file system's path, relative to the bundle unless absolute.
    #[serde(borrow)]
    pub path: Text<'a>,
    /// Whether the root is read-only inside the container.
    #[serde(default)]
    pub readonly: bool,
}

/// One entry of `mounts` (config.md, "Mounts").
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mount<'a> {
    /// Where it goes, a path inside the container.
    #[serde(borrow)]
    pub destination: Text<'a>,
    /// The file system's type; absent, `none` or `bind` for bind mounts.
    #[serde(borrow, rename = "type")]
    pub kind: Option<Text<'a>>,
    /// What is mounted: a path for bind mounts.
    #[serde(borrow)]
    pub source: Option<Text<'a>>,
    /// Options in fstab's style.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub options: Vec<Text<'a>>,
    /// `uidMappings` of an idmapped mount.
    #[serde(default, deserialize_with = "null_is_default")]
    pub uid_mappings: Vec<IdMapping>,
    /// `gidMappings` of an idmapped mount.
    #[serde(default, deserialize_with = "null_is_default")]
    pub gid_mappings: Vec<IdMapping>,
}

/// `hooks` (config.md, "POSIX-platform Hooks").
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hooks<'a> {
    /// Deprecated by the spec, and what Docker uses.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub prestart: Vec<Hook<'a>>,
    /// Run in the runtime's namespaces, before `pivot_root`.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub create_runtime: Vec<Hook<'a>>,
    /// Run in the container's namespaces, before `pivot_root`.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub create_container: Vec<Hook<'a>>,
    /// Run inside the container, after `start` was called.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub start_container: Vec<Hook<'a>>,
    /// Run in the runtime's namespaces, after the program was started.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub poststart: Vec<Hook<'a>>,
    /// Run in the runtime's namespaces, after `delete`.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub poststop: Vec<Hook<'a>>,
}

/// One hook.
#[derive(Debug, Deserialize)]
pub struct Hook<'a> {
    /// Absolute path of the program.
    #[serde(borrow)]
    pub path: Text<'a>,
    /// Its argv, argv[0] included.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub args: Vec<Text<'a>>,
    /// Its whole environment.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub env: Vec<Text<'a>>,
    /// Seconds after which it is killed; must be above zero.
    pub timeout: Option<i64>,
}

/// `linux` (config-linux.md).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Linux<'a> {
    /// `namespaces`, new or joined by path.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub namespaces: Vec<Namespace<'a>>,
    /// `uidMappings` of the user namespace.
    #[serde(default, deserialize_with = "null_is_default")]
    pub uid_mappings: Vec<IdMapping>,
    /// `gidMappings` of the user namespace.
    #[serde(default, deserialize_with = "null_is_default")]
    pub gid_mappings: Vec<IdMapping>,
    /// `devices` made in the container.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub devices: Vec<Device<'a>>,
    /// `cgroupsPath`.
    #[serde(borrow)]
    pub cgroups_path: Option<Text<'a>>,
    /// `resources`.
    #[serde(borrow)]
    pub resources: Option<Resources<'a>>,
    /// `sysctl`.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub sysctl: BTreeMap<Text<'a>, Text<'a>>,
    /// `seccomp`.
    #[serde(borrow)]
    pub seccomp: Option<Seccomp<'a>>,
    /// `rootfsPropagation`: shared, slave, private or unbindable.
    #[serde(borrow)]
    pub rootfs_propagation: Option<Text<'a>>,
    /// `maskedPaths`: unreadable inside the container.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub masked_paths: Vec<Text<'a>>,
    /// `readonlyPaths`.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub readonly_paths: Vec<Text<'a>>,
    /// `mountLabel`, a SELinux context.
    #[serde(borrow)]
    pub mount_label: Option<Text<'a>>,
    /// `personality`.
    #[serde(borrow)]
    pub personality: Option<Personality<'a>>,
    /// `intelRdt`.
    #[serde(borrow)]
    pub intel_rdt: Option<IntelRdt<'a>>,
    /// `memoryPolicy`.
    #[serde(borrow)]
    pub memory_policy: Option<MemoryPolicy<'a>>,
    /// `netDevices`: by their names on the host.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub net_devices: BTreeMap<Text<'a>, NetDevice<'a>>,
    /// `timeOffsets` of a new time namespace.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub time_offsets: TimeOffsets<'a>,
}

/// `personality` (config-linux.md, "Personality").
#[derive(Debug, Deserialize)]
pub struct Personality<'a> {
    /// LINUX or LINUX32.
    #[serde(borrow)]
    pub domain: Text<'a>,
    /// None are defined yet.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub flags: Vec<Text<'a>>,
}

/// One device (config-linux.md, "Devices").
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device<'a> {
    /// c, b, u or p.
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// Path inside the container.
    #[serde(borrow)]
    pub path: Text<'a>,
    /// Required unless the type is p.
    #[serde(default)]
    pub major: i64,
    /// Required unless the type is p.
    #[serde(default)]
    pub minor: i64,
    /// Permission bits, 0666 when absent.
    pub file_mode: Option<u32>,
    /// Owner inside the container.
    pub uid: Option<u32>,
    /// Group inside the container.
    pub gid: Option<u32>,
}
