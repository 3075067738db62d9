//! What `-info` reads and prints (`types/introspection.proto`).

use std::collections::BTreeMap;

use prost::Message;

use super::well_known::Any;

/// A version of the shim.
#[derive(Clone, PartialEq, Message)]
pub struct RuntimeVersion {
    /// Its number.
    #[prost(string, tag = "1")]
    pub version: String,
    /// The commit that it was built from, if known.
    #[prost(string, tag = "2")]
    pub revision: String,
}

/// What the shim and its runtime are and can do.
#[derive(Clone, PartialEq, Message)]
pub struct RuntimeInfo {
    /// The runtime's name, as containerd gives it: `io.containerd.NAME.v2`.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The shim's version.
    #[prost(message, optional, tag = "2")]
    pub version: Option<RuntimeVersion>,
    /// The options that this was asked with.
    #[prost(message, optional, tag = "3")]
    pub options: Option<Any>,
    /// The runtime's features (`features.md` of the runtime specification).
    #[prost(message, optional, tag = "4")]
    pub features: Option<Any>,
    /// Of the shim, not of the features.
    #[prost(btree_map = "string, string", tag = "5")]
    pub annotations: BTreeMap<String, String>,
}
