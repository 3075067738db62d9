//! What can go wrong with a request, and whether it may pass.

use std::io;
use std::time::Duration;

/// A request that failed.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No answer, or only a part of one: no connection, cut off, too slow.
    #[error("{call}: {problem}")]
    Connection {
        /// The method and the address.
        call: String,
        /// What happened.
        problem: String,
        /// Whether another try may do better.
        may_pass: bool,
    },
    /// The server answered, but not what was hoped for.
    #[error("{call}: the server answered {status}{detail}")]
    Status {
        /// The method and the address.
        call: String,
        /// The HTTP status.
        status: u16,
        /// What it said besides, made fit for a line.
        detail: String,
        /// How long it wants us to wait (`Retry-After`).
        wait: Option<Duration>,
    },
    /// The answer breaks a rule or a limit.
    #[error("{call}: {problem}")]
    Answer {
        /// The method and the address.
        call: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl RequestError {
    /// Whether another try may do better: connections that break, and the statuses that mean
    /// "later" (RFC 9110, section 15; RFC 6585, section 4).
    pub fn may_pass(&self) -> bool {
        match self {
            RequestError::Connection { may_pass, .. } => *may_pass,
            RequestError::Status { status, .. } => {
                matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
            }
            RequestError::Answer { .. } => false,
        }
    }

    /// How long the server wants us to wait before another try.
    pub fn wait(&self) -> Option<Duration> {
        match self {
            RequestError::Status { wait, .. } => *wait,
            _ => None,
        }
    }

    /// Finds the failed request that an error tells of, also below a reader's `io::Error`.
    pub fn find(error: &anyhow::Error) -> Option<&RequestError> {
        error.chain().find_map(|cause| {
            cause.downcast_ref::<RequestError>().or_else(|| {
                cause
                    .downcast_ref::<io::Error>()
                    .and_then(io::Error::get_ref)
                    .and_then(|inner| inner.downcast_ref::<RequestError>())
            })
        })
    }

    /// The status that the server answered, if an error tells of one.
    pub fn status_of(error: &anyhow::Error) -> Option<u16> {
        match RequestError::find(error) {
            Some(RequestError::Status { status, .. }) => Some(*status),
            _ => None,
        }
    }
}
