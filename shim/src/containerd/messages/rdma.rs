//! What both versions of containerd's metrics say of the rdma controller, in the same words and numbers
//! (`RdmaStat` and `RdmaEntry` of cgroups' `cgroup1/stats` and `cgroup2/stats`).

use prost::Message;

/// Remote direct memory access (`rdma.*`).
#[derive(Clone, PartialEq, Message)]
pub struct RdmaStat {
    /// `rdma.current`.
    #[prost(message, repeated, tag = "1")]
    pub current: Vec<RdmaEntry>,
    /// `rdma.max`.
    #[prost(message, repeated, tag = "2")]
    pub limit: Vec<RdmaEntry>,
}

/// Handles and objects of one device; 4294967295 stands for any number.
#[derive(Clone, PartialEq, Message)]
pub struct RdmaEntry {
    /// Its name.
    #[prost(string, tag = "1")]
    pub device: String,
    /// `hca_handle`.
    #[prost(uint32, tag = "2")]
    pub hca_handles: u32,
    /// `hca_object`.
    #[prost(uint32, tag = "3")]
    pub hca_objects: u32,
}
