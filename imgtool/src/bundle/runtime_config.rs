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
pub(super) struct RuntimeConfig {
    pub(super) oci_version: String,
    pub(super) process: Process,
    pub(super) root: Value,
    pub(super) hostname: String,
    pub(super) mounts: Vec<Mount>,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) linux: Linux,
}

/// The container's process (runtime-spec config.md, "Process").
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Process {
    pub(super) terminal: bool,
    pub(super) user: ProcessUser,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<String>,
    pub(super) cwd: String,
    pub(super) capabilities: Value,
    pub(super) rlimits: Value,
    pub(super) no_new_privileges: bool,
}

/// Who it runs as (runtime-spec config.md, "POSIX-platform User").
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ProcessUser {
    pub(super) uid: u32,
    pub(super) gid: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) additional_gids: Vec<u32>,
}

/// A mount (runtime-spec config.md, "Mounts").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mount {
    pub(super) destination: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) source: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) options: Vec<String>,
}

impl Mount {
    pub(super) fn new(destination: &str, kind: &str, source: &str, options: &[&str]) -> Self {
        Mount {
            destination: destination.to_owned(),
            kind: kind.to_owned(),
            source: source.to_owned(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        }
    }
}

/// The Linux part (runtime-spec config-linux.md).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Linux {
    #[serde(default, skip_deserializing, skip_serializing_if = "Vec::is_empty")]
    pub(super) uid_mappings: Vec<IdRange>,
    #[serde(default, skip_deserializing, skip_serializing_if = "Vec::is_empty")]
    pub(super) gid_mappings: Vec<IdRange>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) resources: Option<Value>,
    pub(super) namespaces: Vec<Namespace>,
    pub(super) masked_paths: Vec<String>,
    pub(super) readonly_paths: Vec<String>,
}

/// A namespace (runtime-spec config-linux.md, "Namespaces").
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Namespace {
    #[serde(rename = "type")]
    pub(super) kind: String,
}
