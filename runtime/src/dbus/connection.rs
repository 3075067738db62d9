//! A connection to a bus: authentication, calls, and the signals that come in between.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use super::address::sockets;
use super::message::{FIXED, Incoming, Method, Signal, read, total_length};
use super::value::Value;
use crate::error::{CallContext as _, Error, Result};
use crate::unix_socket::connect_stream;

/// How long an answer may take: the default of libdbus and sd-bus.
const PATIENCE: Duration = Duration::from_secs(25);

/// The bus itself ("Message Bus Specification").
const BUS: Method<'static> = Method {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
    member: "",
};

/// A connection on which methods can be called.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    /// What was read and not yet understood.
    buffer: Vec<u8>,
    serial: u32,
    signals: VecDeque<Signal>,
}

/// Why a call came to nothing.
#[derive(Debug)]
pub enum Refusal {
    /// The other side refused it.
    Named {
        /// The error's name: `org.freedesktop.systemd1.NoSuchUnit`.
        name: String,
        /// What it says.
        message: String,
    },
    /// The connection failed.
    Broken(Error),
}

impl Refusal {
    /// Whether it is an error of this name.
    pub fn is(&self, wanted: &str) -> bool {
        matches!(self, Refusal::Named { name, .. } if name == wanted)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Named { name, message } => Error::new(format!("{message} ({name})")),
            Refusal::Broken(error) => error,
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::Broken(error)
    }
}

impl Connection {
    /// Connects to a bus.
    ///
    /// # Errors
    /// When nothing answers there, or it doesn't let us in.
    pub fn to_bus(address: &OsStr) -> Result<Self> {
        let mut connection = Connection::to_peer(address)?;
        let hello = Method {
            member: "Hello",
            ..BUS
        };
        // Without it the bus takes nothing else. Its answer, our name, is of no use to us.
        connection.post(&hello, &[])?;
        Ok(connection)
    }

    /// Connects to a program that talks without a bus in between.
    ///
    /// # Errors
    /// As [`Connection::to_bus`].
    pub fn to_peer(address: &OsStr) -> Result<Self> {
        let shown = || address.to_string_lossy().into_owned();
        let mut result = Err(Error::new(format!("{:?} names no unix socket", shown())));
        for socket_address in sockets(address.as_bytes()) {
            result = connect_stream(&socket_address).call(|| format!("connect({:?})", shown()));
            if result.is_ok() {
                break;
            }
        }
        let mut connection = Connection {
            socket: result?,
            buffer: Vec::with_capacity(4096),
            serial: 0,
            signals: VecDeque::new(),
        };
        connection.authenticate()?;
        Ok(connection)
    }

    /// Asks the bus to pass on the signals that match `rule` ("Match Rules").
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn match_signals(&mut self, rule: &str) -> Result<()> {
        let add_match = Method {
            member: "AddMatch",
            ..BUS
        };
        self.post(&add_match, &[rule.into()])
    }

    /// Calls a method without waiting for an answer.
    ///
    /// # Errors
    /// When the connection breaks.
    pub fn notify(&mut self, destination: &str, path: &str, name: (&str, &str)) -> Result<()> {
        let method = Method {
            destination,
            path,
            interface: name.0,
            member: name.1,
        };
        self.post(&method, &[])
    }

    /// Calls the method `name`, an interface and a member of it, and waits for what it returns.
    ///
    /// # Errors
    /// The other side's, or that of the connection.
    pub fn call(
        &mut self,
        destination: &str,
        path: &str,
        name: (&str, &str),
        arguments: &[Value],
    ) -> Result<Vec<Value>, Refusal> {
        let method = Method {
            destination,
            path,
            interface: name.0,
            member: name.1,
        };
        let called = self.send(&method, arguments, true)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.receive(deadline)? {
                Incoming::Return { serial, values } if serial == called => return Ok(values),
                Incoming::Failure {
                    serial,
                    name,
                    message,
                } if serial == called => return Err(Refusal::Named { name, message }),
                Incoming::Signal(signal) => self.signals.push_back(signal),
                _ => {}
            }
        }
    }

    /// The next signal; waits for it until `deadline`.
    ///
    /// # Errors
    /// When the time is over or the connection breaks.
    pub fn signal(&mut self, deadline: Instant) -> Result<Signal> {
        loop {
            if let Some(signal) = self.signals.pop_front() {
                return Ok(signal);
            }
            if let Incoming::Signal(signal) = self.receive(deadline)? {
                return Ok(signal);
            }
        }
    }

    /// Says who we are: whoever the kernel says (SO_PEERCRED). The identity is left to the other
    /// side ("DATA" without data), because in a user namespace we may not know what our uid is for
    /// it.
    fn authenticate(&mut self) -> Result<()> {
        self.write(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                if line.starts_with(b"OK ") {
                    return Ok(());
                }
                if line != b"DATA\r\n" {
                    let line = String::from_utf8_lossy(&line[..end]).into_owned();
                    return Err(Error::new(format!(
                        "authentication by uid on D-Bus: {line:?}"
                    )));
                }
            } else {
                self.fill(deadline)?;
            }
        }
    }

    fn post(&mut self, method: &Method<'_>, arguments: &[Value]) -> Result<()> {
        self.send(method, arguments, false).map(drop)
    }

    fn send(&mut self, method: &Method<'_>, arguments: &[Value], reply: bool) -> Result<u32> {
        self.serial += 1;
        let message = method.call(self.serial, arguments, reply);
        self.write(&message)?;
        Ok(self.serial)
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).call(|| "send(D-Bus socket)"),
            }
        }
        Ok(())
    }

    fn receive(&mut self, deadline: Instant) -> Result<Incoming> {
        loop {
            if let Some(fixed) = self.buffer.first_chunk::<FIXED>() {
                let unreadable = || Error::new("a D-Bus message that can't be read came in");
                let length = total_length(fixed).ok_or_else(unreadable)?;
                if self.buffer.len() >= length {
                    let message: Vec<u8> = self.buffer.drain(..length).collect();
                    return read(&message).ok_or_else(unreadable);
                }
            }
            self.fill(deadline)?;
        }
    }

    /// Reads what there is, or waits for it.
    fn fill(&mut self, deadline: Instant) -> Result<()> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec::try_from(left).ok();
            match poll(
                &mut [PollFd::new(&self.socket, PollFlags::IN)],
                timeout.as_ref(),
            ) {
                Ok(0) => {
                    return Err(Error::new("no answer on D-Bus in time")
                        .hint("is systemd or the bus stopped or overloaded?"));
                }
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).call(|| "poll(D-Bus socket)"),
            }
        }
        self.buffer.reserve(4096);
        let flags = RecvFlags::empty();
        match recv(&self.socket, spare_capacity(&mut self.buffer), flags) {
            Ok((0, _)) => Err(Error::new("the connection to D-Bus was closed")),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno).call(|| "recv(D-Bus socket)"),
        }
    }
}
