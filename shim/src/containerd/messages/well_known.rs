//! The messages that protobuf itself brings (`google.protobuf`).

use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

/// A message of any type, with its name (`google/protobuf/any.proto`).
#[derive(Clone, PartialEq, Message)]
pub struct Any {
    /// What `value` is.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The message, or, where containerd holds OCI documents, JSON.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// An answer that says nothing but that it was done (`google/protobuf/empty.proto`).
#[derive(Clone, PartialEq, Message)]
pub struct Empty {}

/// A point in time (`google/protobuf/timestamp.proto`).
#[derive(Clone, PartialEq, Message)]
pub struct Timestamp {
    /// Seconds since 1970 began in UTC.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds within that second.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        // No clock that this runs by shows a time before 1970.
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp {
            seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(since.subsec_nanos()).unwrap_or_default(),
        }
    }
}
