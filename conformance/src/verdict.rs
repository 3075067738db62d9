//! How a case ends.

use std::fmt::{Debug, Display};

/// Why a case ended before its last line.
#[derive(Debug)]
pub enum Stop {
    /// The runtime doesn't do what the clause says.
    Failed(String),
    /// The case means nothing on this host.
    Skipped(String),
    /// The harness itself could not go on: says nothing of the runtime.
    Broken(String),
}

/// Any error of the harness's own system calls means that the harness is broken, not the runtime.
impl<E: std::error::Error> From<E> for Stop {
    fn from(error: E) -> Self {
        Stop::Broken(error.to_string())
    }
}

/// What a case returns.
pub type Verdict = Result<(), Stop>;

/// Fails with `complaint` unless `holds`.
pub fn check(holds: bool, complaint: impl Display) -> Verdict {
    if holds {
        Ok(())
    } else {
        Err(Stop::Failed(complaint.to_string()))
    }
}

/// Fails unless what the container saw is what was asked for.
pub fn equal<T: PartialEq + Debug>(what: &str, seen: T, wanted: T) -> Verdict {
    check(
        seen == wanted,
        format_args!("{what}: wanted {wanted:?}, saw {seen:?}"),
    )
}

/// A failure of the runtime.
pub fn fail<T>(complaint: impl Display) -> Result<T, Stop> {
    Err(Stop::Failed(complaint.to_string()))
}
