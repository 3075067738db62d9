//! Who is at work on a bundle: flock(2) on its directory, shared by those who read what its container
//! wrote, exclusive for who makes, mounts or removes it. It ends with its process.

use std::fs::File;
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::flock::flock;

/// A bundle's lock. Whoever waits for it holds none of its store's yet: `gc` has the store alone while
/// it removes what is unfinished.
#[derive(Debug)]
pub(super) struct BundleLock {
    _directory: File,
}

impl BundleLock {
    /// Takes the lock, once nobody else has one that excludes it.
    pub(super) fn take(directory: impl AsFd, operation: FlockOperation) -> Result<Self> {
        let directory = directory.as_fd().try_clone_to_owned().context("dup")?;
        flock(&directory, operation).context("flock the bundle's directory")?;
        Ok(BundleLock {
            _directory: directory.into(),
        })
    }

    /// Takes the lock to make a bundle; nothing if somebody else has it.
    pub(super) fn try_take(directory: impl AsFd) -> Result<Option<Self>> {
        match BundleLock::take(directory, FlockOperation::NonBlockingLockExclusive) {
            Err(error) if error.downcast_ref() == Some(&Errno::WOULDBLOCK) => Ok(None),
            lock => lock.map(Some),
        }
    }
}
