//! The listening side: many clients, whose calls are answered whenever their answer is known.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with, sockopt};
use rustix::process::{getegid, geteuid};

use super::connection::Connection;
use super::status::Failure;
use crate::supervise::{Event, Interest, Poller, Token};

/// More clients than this at a time have to wait in the socket's queue.
const CLIENTS: usize = 128;
/// After how long it is tried again to accept clients, where that failed for want of descriptors or
/// memory.
const PAUSE: Duration = Duration::from_secs(1);

/// Which call of which client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId {
    connection: u32,
    stream: u32,
}

/// What a client asks for.
#[derive(Debug)]
pub struct Call {
    /// By which it will be answered.
    pub id: CallId,
    /// `PACKAGE.SERVICE`.
    pub service: String,
    /// The method's name.
    pub method: String,
    /// The method's protobuf message.
    pub payload: Vec<u8>,
}

/// A listening socket and its clients.
#[derive(Debug)]
pub struct Server {
    listener: OwnedFd,
    /// The listener's; a client's is this and its number.
    first: Token,
    /// The last client's number.
    last: u32,
    connections: BTreeMap<u32, Connection>,
    /// Accepting has to wait: for a client to go, or until then.
    paused: Option<Instant>,
}

impl Server {
    /// Serves `listener` (non-blocking). All tokens from `first` to `first + u32::MAX` are the
    /// server's.
    pub fn new(listener: OwnedFd, first: Token, poller: &Poller) -> Result<Self> {
        rustix::io::ioctl_fionbio(&listener, true).context("ioctl(FIONBIO) on the task socket")?;
        poller.add(&listener, first, Interest::IN)?;
        Ok(Server {
            listener,
            first,
            last: 0,
            connections: BTreeMap::new(),
            paused: None,
        })
    }

    /// Does what the event asks for, and returns the calls that have come.
    pub fn ready(&mut self, event: Event, poller: &Poller) -> Result<Vec<Call>> {
        Ok(match self.number(event.token) {
            Some(0) => {
                self.accept(poller)?;
                Vec::new()
            }
            Some(number) => self.converse(number, event.ready, poller),
            None => Vec::new(),
        })
    }

    /// Answers a call with the message that its method returns, or with the reason why not. The
    /// caller may have gone, or have been told already that its time is over: nothing happens then.
    pub fn answer(&mut self, call: CallId, outcome: Result<Vec<u8>, Failure>, poller: &Poller) {
        if let Some(connection) = self.connections.get_mut(&call.connection) {
            connection.answer(call.stream, outcome);
            self.flush(call.connection, poller);
        }
    }

    /// Whether somebody still waits for the answer to this call.
    pub fn awaits(&self, call: CallId) -> bool {
        self.connections
            .get(&call.connection)
            .is_some_and(|connection| connection.awaits(call.stream))
    }

    /// When [`Server::alarm`] wants to be called.
    pub fn next_alarm(&self) -> Option<Instant> {
        let deadlines = self
            .connections
            .values()
            .filter_map(Connection::next_deadline);
        deadlines.chain(self.paused).min()
    }

    /// Ends calls whose callers have given up, and returns them; goes on accepting.
    pub fn alarm(&mut self, now: Instant, poller: &Poller) -> Vec<CallId> {
        let mut ended = Vec::new();
        let late: Vec<u32> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.next_deadline().is_some_and(|at| at <= now))
            .map(|(number, _)| *number)
            .collect();
        for number in late {
            if let Some(connection) = self.connections.get_mut(&number) {
                let streams = connection.expire(now).into_iter();
                ended.extend(streams.map(|stream| CallId {
                    connection: number,
                    stream,
                }));
            }
            self.flush(number, poller);
        }
        if self.paused.is_some_and(|until| until <= now) {
            self.go_on(poller);
        }
        ended
    }

    /// Whether anybody is connected.
    pub fn has_clients(&self) -> bool {
        !self.connections.is_empty()
    }

    /// Nobody waits for anything that was already said.
    pub fn is_flushed(&self) -> bool {
        let mut connections = self.connections.values();
        connections.all(|connection| !connection.wanted().contains(Interest::OUT))
    }

    fn number(&self, token: Token) -> Option<u32> {
        token.0.checked_sub(self.first.0)?.try_into().ok()
    }

    fn token(&self, number: u32) -> Token {
        Token(self.first.0 + u64::from(number))
    }

    fn accept(&mut self, poller: &Poller) -> Result<()> {
        while self.connections.len() < CLIENTS {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let socket = match accept_with(&self.listener, flags) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR | Errno::CONNABORTED) => continue,
                // EMFILE and the like: the client stays in the queue.
                Err(_) => return self.pause(poller),
            };
            // The socket's directory keeps others out; this also keeps out whoever got in by a
            // descriptor, as every shim does.
            let peer = sockopt::socket_peercred(&socket).context("getsockopt(SO_PEERCRED)")?;
            if (peer.uid, peer.gid) != (geteuid(), getegid()) {
                continue;
            }
            self.last = self.last.wrapping_add(1).max(1);
            let connection = Connection::new(socket);
            let watched = poller.add(&connection, self.token(self.last), connection.interest);
            // One that can't be watched is hung up on: that is no reason to leave all others alone.
            if watched.is_ok() {
                self.connections.insert(self.last, connection);
            }
        }
        self.pause(poller)
    }

    fn pause(&mut self, poller: &Poller) -> Result<()> {
        poller.remove(&self.listener)?;
        self.paused = Some(Instant::now() + PAUSE);
        Ok(())
    }

    fn go_on(&mut self, poller: &Poller) {
        let added = poller.add(&self.listener, self.first, Interest::IN);
        // If the kernel can watch no more just now, then later.
        self.paused = added.is_err().then(|| Instant::now() + PAUSE);
    }

    fn converse(&mut self, number: u32, ready: Interest, poller: &Poller) -> Vec<Call> {
        let Some(connection) = self.connections.get_mut(&number) else {
            return Vec::new();
        };
        let mut requests = Vec::new();
        if ready.intersects(Interest::IN | Interest::HUP | Interest::ERR) {
            let Ok(received) = connection.receive() else {
                self.hang_up(number, poller);
                return Vec::new();
            };
            requests = received;
        }
        self.flush(number, poller);
        let calls = requests.into_iter().map(|(stream, request)| Call {
            id: CallId {
                connection: number,
                stream,
            },
            service: request.service,
            method: request.method,
            payload: request.payload,
        });
        calls.collect()
    }

    /// Writes what can be written, and asks the poller for what comes next.
    fn flush(&mut self, number: u32, poller: &Poller) {
        let token = self.token(number);
        let Some(connection) = self.connections.get_mut(&number) else {
            return;
        };
        if connection.send().is_err() {
            return self.hang_up(number, poller);
        }
        let wanted = connection.wanted();
        if wanted != connection.interest {
            if poller.modify(&*connection, token, wanted).is_err() {
                return self.hang_up(number, poller);
            }
            connection.interest = wanted;
        }
    }

    fn hang_up(&mut self, number: u32, poller: &Poller) {
        if let Some(connection) = self.connections.remove(&number) {
            // Closing it, which comes next, takes it out as well.
            let _ = poller.remove(&connection);
        }
        if self.paused.is_some() {
            self.go_on(poller);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::super::frame::{self, Kind};
    use super::*;

    #[test]
    fn a_client_that_cannot_be_watched_is_hung_up_on_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let poller = Poller::new().unwrap();
        let mut server = Server::new(listener.into(), Token::of_front(1 << 32), &poller).unwrap();
        let clients = [(); 2].map(|()| UnixStream::connect(&path).unwrap());
        server.accept(&poller).unwrap();
        assert_eq!(server.connections.len(), 2);
        // Now its watch can't be changed: epoll_ctl fails with ENOENT.
        poller.remove(&server.connections[&1]).unwrap();
        for (mut client, number) in clients.iter().zip(1..) {
            let mut request = Vec::new();
            frame::append(&mut request, 1, Kind::Request, &[]);
            client.write_all(&request).unwrap();
            let calls = server.converse(number, Interest::IN, &poller);
            // More than a socket takes at once.
            server.answer(calls[0].id, Ok(vec![0; 2 << 20]), &poller);
        }
        let left: Vec<u32> = server.connections.keys().copied().collect();
        assert_eq!(left, [2]);
    }
}
