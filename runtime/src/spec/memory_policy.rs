//! `linux.memoryPolicy` (config-linux.md, "Memory policy").

use serde::Deserialize;

use super::{Text, null_is_default};

/// `memoryPolicy`, the arguments of set_mempolicy(2).
#[derive(Debug, Deserialize)]
pub struct MemoryPolicy<'a> {
    /// `MPOL_BIND` and its like.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub mode: Text<'a>,
    /// The memory nodes, in the list format of cpuset(7).
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub nodes: Text<'a>,
    /// `MPOL_F_STATIC_NODES` and its like.
    #[serde(borrow, default, deserialize_with = "null_is_default")]
    pub flags: Vec<Text<'a>>,
}
