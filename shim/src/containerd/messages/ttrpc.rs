//! What a ttrpc frame holds (`request.proto` in containerd's ttrpc repository, and the status of
//! `google/rpc/status.proto`).

use prost::Message;

use super::well_known::Any;

/// A call.
#[derive(Clone, PartialEq, Message)]
pub struct Request {
    /// The service, with its package.
    #[prost(string, tag = "1")]
    pub service: String,
    /// The method of that service.
    #[prost(string, tag = "2")]
    pub method: String,
    /// The message that the method takes.
    #[prost(bytes = "vec", tag = "3")]
    pub payload: Vec<u8>,
    /// After how many nanoseconds the caller stops waiting; 0: never.
    #[prost(int64, tag = "4")]
    pub timeout_nano: i64,
    /// What goes with the call, such as the namespace.
    #[prost(message, repeated, tag = "5")]
    pub metadata: Vec<KeyValue>,
}

/// An answer.
#[derive(Clone, PartialEq, Message)]
pub struct Response {
    /// Why the call failed; none, or one of code 0, where it did not.
    #[prost(message, optional, tag = "1")]
    pub status: Option<Status>,
    /// The message that the method returns.
    #[prost(bytes = "vec", tag = "2")]
    pub payload: Vec<u8>,
}

/// One piece of what goes with a call.
#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// How a call failed (`google.rpc.Status`).
#[derive(Clone, PartialEq, Message)]
pub struct Status {
    /// One of gRPC's status codes.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// What happened, for people.
    #[prost(string, tag = "2")]
    pub message: String,
    /// More of it, for programs.
    #[prost(message, repeated, tag = "3")]
    pub details: Vec<Any>,
}
