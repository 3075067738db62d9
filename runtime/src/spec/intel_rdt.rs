//! `linux.intelRdt` (config-linux.md, "IntelRdt").

use serde::Deserialize;

use super::{Text, null_is_default};

/// `intelRdt`: the container's group in the resctrl file system
/// (Documentation/filesystems/resctrl.rst).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IntelRdt<'a> {
    /// The group; absent or empty: one of the container's own.
    #[serde(
        borrow,
        rename = "closID",
        default,
        deserialize_with = "null_is_default"
    )]
    pub clos_id: Text<'a>,
    /// Lines for the group's `schemata`.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub schemata: Vec<Text<'a>>,
    /// The line of the L3 cache.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub l3_cache_schema: Text<'a>,
    /// The line of the memory bandwidth.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub mem_bw_schema: Text<'a>,
    /// Whether the container gets a monitoring group of its own.
    #[serde(default, deserialize_with = "null_is_default")]
    pub enable_monitoring: bool,
}
