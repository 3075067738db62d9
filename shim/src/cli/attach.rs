//! `attach`: joins this terminal to a container that is running.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;

use super::exit_status;
use crate::attach::client::{self, Joining, Parting};
use crate::attach::protocol::{Request, connect_in, send};
use crate::record::Record;
use crate::sys::SignalFd;

/// Join this terminal to a running container
///
/// What the container writes from now on comes to standard output and standard error, standard
/// input goes to the container, and when it ends its status is returned. Several may be attached
/// at once. Whoever falls more than 1 MiB behind is cut off, with status 125: neither the container
/// nor its log waits for an attached terminal.
///
/// With a terminal, ctrl-p ctrl-q leaves the container running, and so does a signal (128 + signal
/// is returned then). Without one, the end of our standard input ends the container's.
#[derive(Debug, Args)]
pub struct Attach {
    /// Only watch: pass no input on
    #[arg(long)]
    no_stdin: bool,
    /// The container's id
    id: String,
}

impl Attach {
    pub fn carry_out(self, root: &Path) -> Result<u8> {
        let record = Record::open(root, &self.id)?;
        let state = record.state()?;
        let Some(socket) = connect_in(record.directory())? else {
            let state = record.state()?;
            return Err(match state.exit_status {
                Some(status) => anyhow!("container {} has ended with status {status}", self.id),
                None => super::unsupervised(&record),
            });
        };
        let signals = SignalFd::new(&client::signals(false)).context("signalfd")?;
        let (kind, payload) = Request::Attach.encode();
        send(&socket, kind, [&payload, &[]]).context("sending to the supervisor")?;
        let joining = Joining {
            terminal: state.terminal,
            stdin: !self.no_stdin,
            proxy_signals: false,
        };
        match client::join(&socket, &signals, joining)? {
            Parting::Exited(status, _) => Ok(exit_status(status)),
            Parting::Detached => Ok(0),
            Parting::Signalled(signal) => Ok(exit_status(128 + signal)),
            Parting::CutOff => bail!(
                "cut off: standard output or standard error was read too slowly; \
                 windlass-shim logs {} has the rest if the container has a log",
                self.id
            ),
            Parting::Abandoned => Err(super::unsupervised(&record)),
        }
    }
}
