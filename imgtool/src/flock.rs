//! Waiting for a lock on a file or directory (flock(2)).

use std::os::fd::AsFd;

use anyhow::Result;
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::sys::signal;

/// Takes a lock once nobody else has one that excludes it; with a non-blocking operation now or not
/// at all (`EWOULDBLOCK`). A request to stop ends the waiting.
pub(crate) fn flock(file: impl AsFd, operation: FlockOperation) -> Result<()> {
    loop {
        match rustix::fs::flock(&file, operation) {
            Err(Errno::INTR) => signal::check()?,
            result => return Ok(result?),
        }
    }
}
