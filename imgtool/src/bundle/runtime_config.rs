//! config.json as we write it: the fields of runtime-spec that a bundle made from an image has.
//!
//! Types of our own: oci-spec's keep capabilities and annotations in hash maps, so that the same
//! image would give other bytes each time.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::layer::ids::IdRange;

/// config.json (runtime-spec config.md).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RuntimeConfig {
    pub(crate) oci_version: String,
    pub(crate) process: Process,
    pub(crate) root: Value,
    pub(crate) hostname: String,
    pub(crate) mounts: Vec<Mount>,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hooks: Option<Value>,
    pub(crate) linux: Linux,
}

/// The container's process (runtime-spec config.md, "Process").
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Process {
    pub(crate) terminal: bool,
    pub(crate) user: ProcessUser,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) cwd: String,
    pub(crate) capabilities: Value,
    pub(crate) rlimits: Value,
    pub(crate) no_new_privileges: bool,
}

/// Who it runs as (runtime-spec config.md, "POSIX-platform User").
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ProcessUser {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) additional_gids: Vec<u32>,
}

/// A mount (runtime-spec config.md, "Mounts").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mount {
    pub(crate) destination: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) source: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) options: Vec<String>,
}

impl Mount {
    pub(crate) fn new(destination: &str, kind: &str, source: &str, options: &[&str]) -> Self {
        Mount {
            destination: destination.to_owned(),
            kind: kind.to_owned(),
            source: source.to_owned(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        }
    }

    /// Whether it shows a file or directory of the host (runtime-spec config.md: by its options).
    pub(crate) fn is_bind(&self) -> bool {
        let binds = |option: &String| matches!(option.as_str(), "bind" | "rbind");
        self.options.iter().any(binds)
    }
}

/// The Linux part (runtime-spec config-linux.md).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Linux {
    #[serde(default, skip_deserializing, skip_serializing_if = "Vec::is_empty")]
    pub(crate) uid_mappings: Vec<IdRange>,
    #[serde(default, skip_deserializing, skip_serializing_if = "Vec::is_empty")]
    pub(crate) gid_mappings: Vec<IdRange>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resources: Option<Value>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) sysctl: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) devices: Vec<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) seccomp: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rootfs_propagation: Option<String>,
    pub(crate) namespaces: Vec<Namespace>,
    pub(crate) masked_paths: Vec<String>,
    pub(crate) readonly_paths: Vec<String>,
}

/// A namespace (runtime-spec config-linux.md, "Namespaces").
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Namespace {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The one to join; a new one without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
}
