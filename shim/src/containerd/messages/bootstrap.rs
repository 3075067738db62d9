//! How containerd from 2.3 on starts a shim: one message on its standard input, one on its standard
//! output (`runtime/bootstrap/v1/bootstrap.proto`).

use std::collections::BTreeMap;

use prost::{Enumeration, Message};

use super::well_known::Any;

/// What containerd says on standard input.
#[derive(Clone, PartialEq, Message)]
pub struct BootstrapParams {
    /// The container's or the sandbox's id.
    #[prost(string, tag = "1")]
    pub instance_id: String,
    /// The namespace that it is in.
    #[prost(string, tag = "2")]
    pub namespace: String,
    /// How much the shim is to log; any number is allowed.
    #[prost(enumeration = "LogLevel", tag = "3")]
    pub log_level: i32,
    /// Who is asking.
    #[prost(string, tag = "4")]
    pub containerd_version: String,
    /// Where events go.
    #[prost(string, tag = "5")]
    pub containerd_ttrpc_address: String,
    /// Containerd's main socket.
    #[prost(string, tag = "6")]
    pub containerd_grpc_address: String,
    /// Containerd's program.
    #[prost(string, tag = "7")]
    pub containerd_binary: String,
    /// Further settings, such as the runtime's options.
    #[prost(message, repeated, tag = "8")]
    pub extensions: Vec<Extension>,
    /// Where the shim's socket is to be.
    #[prost(string, optional, tag = "9")]
    pub socket_dir: Option<String>,
}

/// One further setting.
#[derive(Clone, PartialEq, Message)]
pub struct Extension {
    /// Known by its type.
    #[prost(message, optional, tag = "1")]
    pub value: Option<Any>,
}

/// What the shim answers on standard output.
#[derive(Clone, PartialEq, Message)]
pub struct BootstrapResult {
    /// Of the task service that it speaks: 2 or 3.
    #[prost(int32, tag = "1")]
    pub version: i32,
    /// Where it listens.
    #[prost(string, tag = "2")]
    pub address: String,
    /// `ttrpc` or `grpc`.
    #[prost(string, tag = "3")]
    pub protocol: String,
    /// Whatever else there is to say.
    #[prost(btree_map = "string, string", tag = "5")]
    pub metadata: BTreeMap<String, String>,
}

/// How much the shim is to log: less is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Enumeration)]
#[repr(i32)]
pub enum LogLevel {
    /// What happens seldom and matters; the default.
    Info = 0,
    /// Everything.
    Trace = -8,
    /// What helps to find an error.
    Debug = -4,
    /// What may be wrong.
    Warn = 4,
    /// What is wrong.
    Error = 8,
    /// What ends the program.
    Fatal = 10,
    /// What ends the program at once.
    Panic = 12,
}
