//! What containerd passes on to the runtime (`types/runc/options/oci.proto`), and what it passes to
//! shims whose options it doesn't know (`types/runtimeoptions/v1/api.proto`).

use prost::{Message, Name};

const PACKAGE: &str = "containerd.runc.v1";

/// How a container is to be made. Kept in its bundle as JSON, in the stock shim's form, so that
/// `delete` knows the runtime after a crash.
#[derive(Clone, PartialEq, Message, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Options {
    /// `chroot` instead of `pivot_root`.
    #[serde(skip_serializing_if = "is_default")]
    #[prost(bool, tag = "1")]
    pub no_pivot_root: bool,
    /// Keep the caller's session keyring.
    #[serde(skip_serializing_if = "is_default")]
    #[prost(bool, tag = "2")]
    pub no_new_keyring: bool,
    /// The cgroup that the shim itself is to be in.
    #[serde(skip_serializing_if = "is_default")]
    #[prost(string, tag = "3")]
    pub shim_cgroup: String,
    /// Who owns the pipes of the container's streams.
    #[serde(skip_serializing_if = "is_default")]
    #[prost(uint32, tag = "4")]
    pub io_uid: u32,
    /// Likewise, the group.
    #[serde(skip_serializing_if = "is_default")]
    #[prost(uint32, tag = "5")]
    pub io_gid: u32,
    /// The runtime's name or path; empty: the shim's default.
    #[serde(skip_serializing_if = "is_default")]
    #[prost(string, tag = "6")]
    pub binary_name: String,
    /// The runtime's `--root`, to which the namespace is added; empty: `/run/containerd/runc`.
    #[serde(skip_serializing_if = "is_default")]
    #[prost(string, tag = "7")]
    pub root: String,
    /// CRIU's program; containerd before 2.0 sends it.
    #[serde(skip_serializing_if = "is_default")]
    #[prost(string, tag = "8")]
    pub criu_path: String,
    /// Have systemd make the cgroup.
    #[serde(skip_serializing_if = "is_default")]
    #[prost(bool, tag = "9")]
    pub systemd_cgroup: bool,
    /// Where CRIU's images are.
    #[serde(skip_serializing_if = "is_default")]
    #[prost(string, tag = "10")]
    pub criu_image_path: String,
    /// Where CRIU works and logs.
    #[serde(skip_serializing_if = "is_default")]
    #[prost(string, tag = "11")]
    pub criu_work_path: String,
}

impl Name for Options {
    const NAME: &str = "Options";
    const PACKAGE: &str = PACKAGE;
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// How a container is to be checkpointed.
#[derive(Clone, PartialEq, Message)]
pub struct CheckpointOptions {
    /// The container ends with it.
    #[prost(bool, tag = "1")]
    pub exit: bool,
    /// Open TCP connections are kept.
    #[prost(bool, tag = "2")]
    pub open_tcp: bool,
    /// Sockets whose other end is outside are kept.
    #[prost(bool, tag = "3")]
    pub external_unix_sockets: bool,
    /// Terminals are kept.
    #[prost(bool, tag = "4")]
    pub terminal: bool,
    /// File locks are kept.
    #[prost(bool, tag = "5")]
    pub file_locks: bool,
    /// Namespaces that are restored empty.
    #[prost(string, repeated, tag = "6")]
    pub empty_namespaces: Vec<String>,
    /// `soft`, `full` or `strict`.
    #[prost(string, tag = "7")]
    pub cgroups_mode: String,
    /// Where the images go; used if the request names no path.
    #[prost(string, tag = "8")]
    pub image_path: String,
    /// Where CRIU works and logs.
    #[prost(string, tag = "9")]
    pub work_path: String,
    /// The checkpoint before this one.
    #[prost(string, tag = "10")]
    pub parent_path: String,
}

impl Name for CheckpointOptions {
    const NAME: &str = "CheckpointOptions";
    const PACKAGE: &str = PACKAGE;
}

/// Which exec a process of a container is.
#[derive(Clone, PartialEq, Message)]
pub struct ProcessDetails {
    /// The exec's id.
    #[prost(string, tag = "1")]
    pub exec_id: String,
}

impl Name for ProcessDetails {
    const NAME: &str = "ProcessDetails";
    const PACKAGE: &str = PACKAGE;
}

/// What the CRI plugin sends to every shim that isn't called `runc`.
#[derive(Clone, PartialEq, Message)]
pub struct RuntimeOptions {
    /// What kind of document the settings are.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// A file with settings.
    #[prost(string, tag = "2")]
    pub config_path: String,
    /// The settings themselves, as TOML.
    #[prost(bytes = "vec", tag = "3")]
    pub config_body: Vec<u8>,
}

impl Name for RuntimeOptions {
    const NAME: &str = "Options";
    const PACKAGE: &str = "runtimeoptions.v1";
}
