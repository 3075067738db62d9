//! The host's own logs: the journal (systemd.io, "Native Journal Protocol") and syslog (syslog(3)).

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;

use rustix::net::{SendFlags, send};

use super::log::Level;
use super::own_name;
use crate::error::{CallContext, Result};
use crate::unix_socket::{address, connect_datagram};

const JOURNAL: &str = "/run/systemd/journal/socket";
const SYSLOG: &str = "/dev/log";
/// `LOG_USER` of syslog(3), in its place.
const FACILITY: u8 = 1 << 3;

/// A connection to one of them.
#[derive(Debug)]
pub(super) struct HostLog {
    socket: OwnedFd,
    form: Form,
    /// What the messages are found by.
    name: String,
}

#[derive(Clone, Copy, Debug)]
enum Form {
    Journal,
    Syslog,
}

impl HostLog {
    /// journald; without a `name`, by that of this program.
    ///
    /// # Errors
    /// When nobody listens there.
    pub(super) fn journal(name: &str) -> Result<Self> {
        Self::connect(JOURNAL, Form::Journal, name)
    }

    /// Whoever listens for syslog(3); without a `name`, by that of this program.
    ///
    /// # Errors
    /// When nobody listens there.
    pub(super) fn syslog(name: &str) -> Result<Self> {
        Self::connect(SYSLOG, Form::Syslog, name)
    }

    fn connect(path: &str, form: Form, name: &str) -> Result<Self> {
        let socket = address(OsStr::new(path))
            .and_then(|address| connect_datagram(&address))
            .call(|| format!("connect({path})"))
            .map_err(|error| error.hint("nobody takes logs there: name a file instead"))?;
        let name = if name.is_empty() {
            own_name()
        } else {
            name.to_owned()
        };
        Ok(HostLog { socket, form, name })
    }

    pub(super) fn write(&self, level: Level, message: &str) -> io::Result<()> {
        let datagram = self.form.datagram(&self.name, level, message);
        send(&self.socket, &datagram, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

impl Form {
    fn datagram(self, name: &str, level: Level, message: &str) -> Vec<u8> {
        let severity = match level {
            Level::Error => 3,
            Level::Warning => 4,
            Level::Debug => 7,
        };
        match self {
            Form::Journal => {
                let mut datagram =
                    format!("PRIORITY={severity}\nSYSLOG_IDENTIFIER={name}\nMESSAGE\n")
                        .into_bytes();
                // A value with its length may have lines.
                datagram.extend((message.len() as u64).to_le_bytes());
                datagram.extend(message.as_bytes());
                datagram.push(b'\n');
                datagram
            }
            Form::Syslog => {
                let priority = FACILITY | severity;
                let pid = std::process::id();
                format!("<{priority}>{name}[{pid}]: {message}").into_bytes()
            }
        }
    }
}
