//! `wait`: how a container ended, or will.

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Args;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use super::exit_status;
use crate::attach::protocol::{MAX_PAYLOAD, Reply, Request, connect_in, receive, send};
use crate::record::Record;

/// Wait for a container to end; print its exit status and return it
///
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
        let status = match ask_supervisor(&record)? {
            Some(status) => status,
            None => match record.state()?.exit_status {
                Some(status) => status,
                None => return Err(super::unsupervised(&self.id)),
            },
        };
        println!("{status}");
        Ok(exit_status(status))
    }
}

/// The supervisor's answer; none if there is no supervisor (any more).
fn ask_supervisor(record: &Record) -> Result<Option<i32>> {
    let Some(socket) = connect_in(record.directory())? else {
        return Ok(None);
    };
    let (kind, payload) = Request::Wait.encode();
    match send(&socket, kind, [&payload, &[]]) {
        // It may be saying good-bye already.
        Ok(()) | Err(Errno::PIPE | Errno::CONNRESET) => {}
        Err(errno) => return Err(errno).context("sending to the supervisor"),
    }
    let mut buffer = vec![0; 5 + MAX_PAYLOAD];
    loop {
        match poll(&mut [PollFd::new(&socket, PollFlags::IN)], None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).context("poll"),
        }
        match receive(&socket, &mut buffer) {
            Ok(0) => return Ok(None),
            Ok(length) => match Reply::decode(&buffer[..length]) {
                Some(Reply::Exited(status, _)) => return Ok(Some(status)),
                _ => bail!("the supervisor sent what is not understood; is it another version?"),
            },
            Err(Errno::AGAIN) => {}
            Err(errno) => return Err(errno).context("receiving from the supervisor"),
        }
    }
}
