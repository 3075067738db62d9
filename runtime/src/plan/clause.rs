//! The clauses that more than one part of the plan has steps for, as `file#heading` of runtime-spec.

pub(super) const ROOT: &str = "config.md#root";
pub(super) const MOUNTS: &str = "config.md#mounts";
pub(super) const HOOKS: &str = "config.md#posix-platform-hooks";
pub(super) const HOSTNAME: &str = "config.md#hostname";
pub(super) const DOMAINNAME: &str = "config.md#domainname";
pub(super) const PROCESS: &str = "config.md#process";
pub(super) const LINUX_PROCESS: &str = "config.md#linux-process";
pub(super) const NAMESPACES: &str = "config-linux.md#namespaces";
pub(super) const ID_MAPPINGS: &str = "config-linux.md#user-namespace-mappings";
pub(super) const TIME_OFFSETS: &str = "config-linux.md#offset-for-time-namespace";
pub(super) const CGROUPS_PATH: &str = "config-linux.md#cgroups-path";
pub(super) const DEVICES: &str = "config-linux.md#devices";
pub(super) const DEFAULT_DEVICES: &str = "config-linux.md#default-devices";
pub(super) const PROPAGATION: &str = "config-linux.md#rootfs-mount-propagation";
pub(super) const PERSONALITY: &str = "config-linux.md#personality";
pub(super) const INTEL_RDT: &str = "config-linux.md#intelrdt";
pub(super) const SYSCTL: &str = "config-linux.md#sysctl";
pub(super) const MASKED: &str = "config-linux.md#masked-paths";
pub(super) const READONLY: &str = "config-linux.md#readonly-paths";
pub(super) const LIFECYCLE: &str = "runtime.md#lifecycle";
