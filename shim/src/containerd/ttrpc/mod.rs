//! ttrpc, the protocol of containerd's shims (`PROTOCOL.md` in `github.com/containerd/ttrpc`): frames
//! on a unix socket, each a protobuf message. Only unary calls; the task service has no others.

mod connection;
pub mod frame;
mod server;
mod status;
#[cfg(test)]
mod tests;

pub use self::server::{Call, CallId, Server};
pub use self::status::{Code, Failure};
