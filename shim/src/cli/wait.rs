//! `wait`: how a container ended, or will.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::exit_status;
use crate::attach::protocol::{MAX_PAYLOAD, Reply, Request, connect_in, receive, send};
use crate::record::Record;

/// Wait for a container to end; print its exit status and return it
///
/// The end of a container that is restarted is the one after which it isn't started again.
/// When this returns, the log is complete and the runtime has deleted the container (unless it
/// was run with --keep). Also works after the end, until windlass-shim rm.
#[derive(Debug, Args)]
pub struct Wait {
    /// The container's id
    id: String,
}

impl Wait {
    pub fn carry_out(self, root: &Path) -> Result<u8> {
        let record = Record::open(root, &self.id)?;
        let answer = match Waiter::new(&record, Request::Wait)? {
            Some(waiter) => waiter.wait(None)?,
            None => None,
        };
        let status = match answer {
            Some(status) => status,
            None => match record.state()?.exit_status {
                Some(status) => status,
                None => return Err(super::unsupervised(&record)),
            },
        };
        println!("{status}");
        Ok(exit_status(status))
    }
}

/// Who asks the supervisor and waits for its answer.
pub(super) struct Waiter {
    socket: OwnedFd,
}

impl Waiter {
    /// Asks the container's supervisor; none if there is no supervisor (any more).
    pub(super) fn new(record: &Record, request: Request<'_>) -> Result<Option<Self>> {
        let Some(socket) = connect_in(record.directory())? else {
            return Ok(None);
        };
        let (kind, payload) = request.encode();
        match send(&socket, kind, [&payload, &[]]) {
            // It may be saying good-bye already.
            Ok(()) | Err(Errno::PIPE | Errno::CONNRESET) => {}
            Err(errno) => return Err(errno).context("sending to the supervisor"),
        }
        Ok(Some(Waiter { socket }))
    }

    /// How the container ended; none if the supervisor is gone, or has not said so in time.
    pub(super) fn wait(&self, patience: Option<Duration>) -> Result<Option<i32>> {
        self.answer(patience, |reply| match reply {
            Reply::Exited(status, _) => Some(status),
            _ => None,
        })
    }

    /// The supervisor's report; none if the container has just ended.
    pub(super) fn report(&self) -> Result<Option<String>> {
        self.answer(None, |reply| match reply {
            Reply::Report(json) => Some(Some(json.to_owned())),
            Reply::Exited(..) => Some(None),
            _ => None,
        })
        .map(Option::flatten)
    }

    fn answer<T>(
        &self,
        patience: Option<Duration>,
        understand: impl Fn(Reply<'_>) -> Option<T>,
    ) -> Result<Option<T>> {
        let deadline = patience.and_then(|patience| Instant::now().checked_add(patience));
        let mut buffer = vec![0; 5 + MAX_PAYLOAD];
        loop {
            let left = deadline.map(|deadline| {
                let left = deadline.saturating_duration_since(Instant::now());
                Timespec {
                    tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                    tv_nsec: i64::from(left.subsec_nanos()),
                }
            });
            match poll(
                &mut [PollFd::new(&self.socket, PollFlags::IN)],
                left.as_ref(),
            ) {
                Ok(0) => return Ok(None),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).context("poll"),
            }
            match receive(&self.socket, &mut buffer) {
                Ok(0) => return Ok(None),
                Ok(length) => match Reply::decode(&buffer[..length]).and_then(&understand) {
                    Some(answer) => return Ok(Some(answer)),
                    None => {
                        bail!("the supervisor sent what is not understood; is it another version?")
                    }
                },
                Err(Errno::AGAIN) => {}
                Err(errno) => return Err(errno).context("receiving from the supervisor"),
            }
        }
    }
}
