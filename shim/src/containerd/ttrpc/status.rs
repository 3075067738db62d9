//! How a call fails: one of gRPC's status codes, by which containerd tells its own kinds of error
//! apart (its `errdefs` package), and a text for people.

use crate::containerd::messages::ttrpc::Status;

/// gRPC's status codes, as far as a shim has use for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Anything else; what a runtime refuses comes under this.
    Unknown = 2,
    /// The request itself is wrong.
    InvalidArgument = 3,
    /// The caller's time is over.
    DeadlineExceeded = 4,
    /// There is no such container or process, or it has ended already.
    NotFound = 5,
    /// There is such a container or process already.
    AlreadyExists = 6,
    /// Too much at once.
    ResourceExhausted = 8,
    /// Not in the state that it would have to be in.
    FailedPrecondition = 9,
    /// No such service or method.
    Unimplemented = 12,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which kind of failure.
    pub code: Code,
    /// What happened, in one line.
    pub message: String,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Failure {
            code,
            message: message.into(),
        }
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        Status {
            code: failure.code as i32,
            message: failure.message,
            details: Vec::new(),
        }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::new(Code::Unknown, format!("{error:#}"))
    }
}
