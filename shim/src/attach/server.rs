//! The supervisor's side: clients come and go, and none of them can slow the container or its log
//! down, except the terminal of a foreground `run`, which is where the output is meant to go.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{Shutdown, SocketFlags, accept_with, shutdown};
use rustix::process::geteuid;
use rustix::termios::Winsize;

use super::protocol::{MAX_PAYLOAD, Reply, Request, bind_in, receive, send, winsize};
use crate::record::Entry;
use crate::restart::is_meant_to_end;
use crate::supervise::{Event, Handle, Interest, Poller, Source, Token};

/// How much output waits for a client that reads slowly, in bytes, before it is cut off.
const MAX_QUEUE: usize = 1024 * 1024;
/// How long clients have to take what waits for them when all is over.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// How long nobody is accepted after that has failed.
const REST: Duration = Duration::from_millis(200);

/// All clients of one container.
#[derive(Debug)]
pub struct AttachServer {
    /// What is known of the container; kept up to date.
    pub entry: Entry,
    listener: Option<OwnedFd>,
    clients: Vec<Client>,
    next_token: u64,
    hears_starter: bool,
    /// When others are listened to again, after there was no descriptor for one more.
    listens_at: Option<Instant>,
    /// What clients have asked for that isn't for the container.
    pub wishes: Wishes,
}

/// What clients have asked for that isn't for the container.
#[derive(Debug, Default)]
pub struct Wishes {
    /// It is not to be started again.
    pub last: bool,
    /// Someone waits for [`AttachServer::report`].
    pub report: bool,
    /// The log is to be rotated before that.
    pub rotate: bool,
    /// The terminal's last size.
    pub size: Option<Winsize>,
    /// A foreground's standard input has ended.
    input_ended: bool,
}

/// Who has started the container and waits to hear about it.
#[derive(Debug)]
pub struct Starter {
    /// Its end of the socket.
    pub socket: OwnedFd,
    /// It stays, as the terminal of a foreground `run`.
    pub stays: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Has just connected.
    Unknown,
    /// Gets output.
    Attached,
    /// Gets output, and the container waits for it.
    Foreground,
    /// Gets only how it ends: a waiter, or one that was cut off.
    Deaf,
    /// Waits for the report.
    Inspector,
}

#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    token: Token,
    role: Role,
    /// Packets that the socket had no room for.
    queue: VecDeque<Vec<u8>>,
    queued: usize,
    /// Input that the container has not taken yet, from `input_at` on.
    input: Vec<u8>,
    input_at: usize,
    watched: Interest,
    gone: bool,
}

const LISTENER: Token = Token::of_front(0);
/// The starter's socket.
pub const STARTER: Token = Token::of_front(1);

impl AttachServer {
    /// Knows nobody but the starter yet.
    pub fn new(starter: Starter, entry: Entry) -> Self {
        let role = if starter.stays {
            Role::Foreground
        } else {
            Role::Deaf
        };
        let clients = vec![Client::new(starter.socket, STARTER, role)];
        AttachServer {
            entry,
            listener: None,
            clients,
            next_token: STARTER.number() + 1,
            hears_starter: false,
            listens_at: None,
            wishes: Wishes::default(),
        }
    }

    /// Lets clients connect, at a socket in `directory`.
    pub fn listen_in(&mut self, directory: &Path) -> Result<()> {
        self.listener = Some(bind_in(directory)?);
        Ok(())
    }

    /// Has the starter's socket watched, as [`STARTER`]. Before the container runs, the only thing
    /// that a starter has to say is that it gives up.
    pub fn watch_starter(&mut self, poller: &Poller) -> Result<()> {
        if let Some(starter) = self.clients.first().filter(|_| !self.hears_starter) {
            poller.add(&starter.socket, STARTER, starter.watched)?;
            self.hears_starter = true;
        }
        Ok(())
    }

    /// Leaves what the starter has to say for later: it is listened to again when the container
    /// runs after all.
    pub fn leave_starter(&mut self, poller: &Poller) -> Result<()> {
        if let Some(starter) = self.clients.first().filter(|_| self.hears_starter) {
            poller.remove(&starter.socket)?;
            self.hears_starter = false;
        }
        Ok(())
    }

    /// Tells the starter why there is no container.
    pub fn refused(mut self, message: &str) {
        for client in &mut self.clients {
            client.tell(&Reply::Refused(message));
        }
    }

    /// Tells the starter that the container runs, and lets it go if it doesn't stay. From now on
    /// others are listened to.
    pub fn started(&mut self, warnings: &str, poller: &Poller) {
        for client in &mut self.clients {
            client.tell(&Reply::Started(warnings));
        }
        self.clients
            .retain(|client| client.role == Role::Foreground);
        if self.watch_starter(poller).is_err() {
            self.clients.clear();
        }
        for client in &mut self.clients {
            client.watch_for_room(poller);
        }
        self.forget_the_gone();
        self.listen(poller);
    }

    /// Another container runs in the place of the one that has ended: what came for it goes to it.
    pub fn goes_on(&mut self, poller: &Poller, container: Handle<'_>) -> Result<()> {
        let mut container = Some(container);
        self.input_wanted(poller, &mut container)?;
        if let Some(container) = container.filter(|_| self.wishes.input_ended) {
            container.input.close(poller)?;
        }
        Ok(())
    }

    /// Tells those who have asked how it is.
    pub fn report(&mut self, json: &str, poller: &Poller) {
        self.wishes.report = false;
        for client in &mut self.clients {
            if client.role == Role::Inspector {
                client.role = Role::Deaf;
                client.tell(&Reply::Report(json));
                client.watch_for_room(poller);
            }
        }
        self.forget_the_gone();
    }

    /// Tells everyone how it ended, and waits (within reason) until they know.
    pub fn finish(mut self, status: i32) {
        let troubles = self.entry.state.troubles.join("\n");
        // Who connects from here on is refused, instead of cut off when the socket goes.
        if let Some(listener) = &self.listener {
            let _ = shutdown(listener, Shutdown::Read);
        }
        while let Ok(true) = self.accept_one() {}
        for client in &mut self.clients {
            client.tell(&Reply::Exited(status, &troubles));
        }
        let deadline = Instant::now() + LAST_WORDS;
        loop {
            let late = Instant::now() >= deadline;
            self.clients.retain(|client| {
                !client.gone
                    && !client.queue.is_empty()
                    && (!late || client.role == Role::Foreground)
            });
            if self.clients.is_empty() {
                return;
            }
            let mut fds: Vec<PollFd<'_>> = self
                .clients
                .iter()
                .map(|client| PollFd::new(&client.socket, PollFlags::OUT))
                .collect();
            // What the clients still say is of no interest; that they are gone shows as ERR or HUP.
            let second = Timespec {
                tv_sec: 1,
                tv_nsec: 0,
            };
            let _ = poll(&mut fds, Some(&second));
            drop(fds);
            for client in &mut self.clients {
                client.flush();
            }
        }
    }

    fn accept_one(&mut self) -> Result<bool> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let Some(listener) = &self.listener else {
            return Ok(false);
        };
        let socket = match accept_with(listener, flags) {
            Ok(socket) => socket,
            Err(Errno::AGAIN) => return Ok(false),
            Err(Errno::INTR | Errno::CONNABORTED) => return Ok(true),
            Err(errno) => return Err(errno).context("accept"),
        };
        let peer = socket_peercred(&socket).context("getsockopt(SO_PEERCRED)")?;
        if peer.uid == geteuid() || peer.uid.is_root() {
            self.clients.push(Client::new(
                socket,
                Token::of_front(self.next_token),
                Role::Unknown,
            ));
            self.next_token += 1;
        }
        Ok(true)
    }

    fn accept(&mut self, poller: &Poller) -> Result<()> {
        loop {
            let known = self.clients.len();
            match self.accept_one() {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                // EMFILE and the like: whoever wants to connect has to wait.
                Err(_) => return self.rest(poller),
            }
            for client in &mut self.clients[known..] {
                client.watch(poller);
            }
            self.forget_the_gone();
        }
    }

    fn rest(&mut self, poller: &Poller) -> Result<()> {
        if let Some(listener) = &self.listener {
            poller.remove(listener)?;
            self.listens_at = Some(Instant::now() + REST);
        }
        Ok(())
    }

    /// When [`AttachServer::alarm`] has something to do.
    pub fn next_alarm(&self) -> Option<Instant> {
        self.listens_at
    }

    /// Listens again after a rest.
    pub fn alarm(&mut self, poller: &Poller) {
        let due = self.listens_at.take_if(|due| *due <= Instant::now());
        if due.is_some() {
            self.listen(poller);
        }
    }

    /// As with one descriptor more (see [`AttachServer::accept`]): if the kernel can watch no more
    /// just now, then later.
    fn listen(&mut self, poller: &Poller) {
        if let Some(listener) = &self.listener
            && poller.add(listener, LISTENER, Interest::IN).is_err()
        {
            self.listens_at = Some(Instant::now() + REST);
        }
    }

    fn forget_the_gone(&mut self) {
        // Closing a descriptor takes it out of the epoll set.
        self.clients.retain(|client| !client.gone);
    }

    /// The listener or a client is ready; there may be no container just now.
    pub fn ready(
        &mut self,
        event: Event,
        poller: &Poller,
        container: &mut Option<Handle<'_>>,
    ) -> Result<()> {
        if event.token == LISTENER {
            return self.accept(poller);
        }
        let Some(client) = self
            .clients
            .iter_mut()
            .find(|client| client.token == event.token)
        else {
            return Ok(());
        };
        if event.ready.contains(Interest::OUT) {
            client.flush();
        }
        if event
            .ready
            .intersects(Interest::IN | Interest::HUP | Interest::ERR)
        {
            client.listen(poller, container, &mut self.wishes)?;
        }
        client.watch_for_room(poller);
        self.forget_the_gone();
        Ok(())
    }

    /// The container takes input again.
    pub fn input_wanted(
        &mut self,
        poller: &Poller,
        container: &mut Option<Handle<'_>>,
    ) -> Result<()> {
        for client in &mut self.clients {
            client.pass_input_on(poller, container)?;
            client.watch_for_room(poller);
        }
        self.forget_the_gone();
        Ok(())
    }

    /// Passes output on to everyone who is attached.
    pub fn output(&mut self, source: Source, bytes: &[u8], poller: &Poller) {
        for client in &mut self.clients {
            if !matches!(client.role, Role::Attached | Role::Foreground) {
                continue;
            }
            for piece in bytes.chunks(MAX_PAYLOAD) {
                client.tell(&match source {
                    Source::Stdout => Reply::Stdout(piece),
                    Source::Stderr => Reply::Stderr(piece),
                });
            }
            if client.queued > MAX_QUEUE && client.role == Role::Attached {
                client.cut_off();
            }
            client.watch_for_room(poller);
        }
        self.forget_the_gone();
    }

    /// Whether a foreground `run` has not taken all of the output yet.
    pub fn holds_back(&self) -> bool {
        self.clients
            .iter()
            .any(|client| client.role == Role::Foreground && !client.queue.is_empty())
    }
}

impl Client {
    fn new(socket: OwnedFd, token: Token, role: Role) -> Self {
        Client {
            socket,
            token,
            role,
            queue: VecDeque::new(),
            queued: 0,
            input: Vec::new(),
            input_at: 0,
            watched: Interest::IN,
            gone: false,
        }
    }

    /// One that can't be watched is let go: that is no reason to leave the container alone.
    fn watch(&mut self, poller: &Poller) {
        self.gone |= poller.add(&self.socket, self.token, self.watched).is_err();
    }

    /// Sends a packet, or queues it behind those that wait.
    fn tell(&mut self, reply: &Reply<'_>) {
        if self.gone {
            return;
        }
        let (kind, number, payload) = reply.encode();
        if self.queue.is_empty() {
            match send(&self.socket, kind, [&number, payload]) {
                Ok(()) => return,
                Err(Errno::AGAIN) => {}
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
        }
        let packet = [&[kind][..], &number, payload].concat();
        self.queued += packet.len();
        self.queue.push_back(packet);
    }

    fn flush(&mut self) {
        while let Some(packet) = self.queue.front() {
            match send(&self.socket, packet[0], [&packet[1..], &[]]) {
                Ok(()) => {
                    self.queued -= packet.len();
                    self.queue.pop_front();
                }
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
        }
        self.queue.shrink_to_fit();
    }

    /// The client gets what its socket holds and then learns that it is not all.
    fn cut_off(&mut self) {
        self.queue = VecDeque::new();
        self.queued = 0;
        self.role = Role::Deaf;
        let (kind, number, _) = Reply::CutOff.encode();
        self.queue.push_back([&[kind][..], &number].concat());
        self.queued += self.queue[0].len();
    }

    fn watch_for_room(&mut self, poller: &Poller) {
        let wanted = if self.queue.is_empty() {
            Interest::IN
        } else {
            Interest::IN | Interest::OUT
        };
        if wanted != self.watched && !self.gone {
            self.gone = poller.modify(&self.socket, self.token, wanted).is_err();
            self.watched = wanted;
        }
    }

    fn listen(
        &mut self,
        poller: &Poller,
        container: &mut Option<Handle<'_>>,
        wishes: &mut Wishes,
    ) -> Result<()> {
        // One byte more than is allowed, to notice a packet that is too long. Not on the stack, which
        // would keep the pages for ever.
        let mut buffer = vec![0; MAX_PAYLOAD + 2];
        while !self.gone {
            let length = match receive(&self.socket, &mut buffer) {
                Ok(length) => length,
                Err(Errno::AGAIN) => return Ok(()),
                Err(_) => 0,
            };
            match Request::decode(&buffer[..length]) {
                Some(request) if length <= 1 + MAX_PAYLOAD => {
                    self.obey(request, poller, container, wishes)?;
                }
                // The end of file, or a client that doesn't speak our language.
                _ => self.gone = true,
            }
        }
        Ok(())
    }

    fn obey(
        &mut self,
        request: Request<'_>,
        poller: &Poller,
        container: &mut Option<Handle<'_>>,
        wishes: &mut Wishes,
    ) -> Result<()> {
        match (self.role, request) {
            (Role::Unknown, Request::Attach) => self.role = Role::Attached,
            (Role::Unknown, Request::Wait) => self.role = Role::Deaf,
            (Role::Unknown, Request::Last) => {
                self.role = Role::Deaf;
                wishes.last = true;
            }
            (Role::Unknown, Request::Inspect) => {
                self.role = Role::Inspector;
                wishes.report = true;
            }
            (Role::Unknown, Request::Rotate) => {
                self.role = Role::Inspector;
                wishes.report = true;
                wishes.rotate = true;
            }
            (Role::Attached | Role::Foreground, Request::Input(bytes)) if self.input.is_empty() => {
                self.input = bytes.to_vec();
                self.input_at = 0;
                self.pass_input_on(poller, container)?;
            }
            (Role::Attached | Role::Foreground, Request::EndOfInput) if self.input.is_empty() => {
                wishes.input_ended |= self.role == Role::Foreground;
                if let Some(container) = container {
                    container.input.close(poller)?;
                }
            }
            (Role::Attached | Role::Foreground, Request::Resize(rows, columns)) => {
                let size = winsize(rows, columns);
                wishes.size = Some(size);
                if let Some(container) = container {
                    container.resize(size);
                }
            }
            (Role::Attached | Role::Foreground, Request::Signal(number)) => {
                wishes.last |= is_meant_to_end(number);
                if let Some(container) = container {
                    container.signal(number);
                }
            }
            // What it sent before it could know that it was cut off.
            (Role::Deaf, _) => {}
            _ => self.gone = true,
        }
        Ok(())
    }

    /// Without a container the input waits for the next.
    fn pass_input_on(&mut self, poller: &Poller, container: &mut Option<Handle<'_>>) -> Result<()> {
        let Some(container) = container.as_mut().filter(|_| !self.input.is_empty()) else {
            return Ok(());
        };
        self.input_at += container
            .input
            .write(&self.input[self.input_at..], poller)?;
        if self.input_at == self.input.len() {
            self.input = Vec::new();
            self.tell(&Reply::InputTaken);
        }
        Ok(())
    }
}

impl Drop for Client {
    /// Reads what the client still had to say: a unix socket that is closed with unread packets
    /// resets the connection, and the other side would not get our last words.
    fn drop(&mut self) {
        let _ = shutdown(&self.socket, Shutdown::Read);
        let mut ignored = [0; 16];
        while receive(&self.socket, &mut ignored).is_ok_and(|length| length > 0) {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::protocol::connect_in;
    use super::*;
    use crate::record::Record;
    use rustix::net::{AddressFamily, SocketType, socketpair};

    #[test]
    fn a_client_that_cannot_be_watched_is_let_go_alone() {
        let root = tempfile::tempdir().unwrap();
        let (record, _lock) = Record::create(root.path(), "one").unwrap();
        let state = serde_json::json!({
            "id": "one", "status": "running", "bundle": "/b", "terminal": false,
            "runtime": {"program": "/r"}, "created": "2026-01-01T00:00:00Z",
        });
        let state = serde_json::from_value(state).unwrap();
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (socket, _starter) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        let stays = false;
        let mut server = AttachServer::new(Starter { socket, stays }, Entry { record, state });
        server.listen_in(&root.path().join("one")).unwrap();
        let poller = Poller::new().unwrap();
        server.started("", &poller);
        let connect = || connect_in(&root.path().join("one")).unwrap().unwrap();
        let clients = [connect(), connect()];
        for client in &clients {
            let (kind, payload) = Request::Attach.encode();
            send(client, kind, [&payload, &[]]).unwrap();
        }
        let turn = |server: &mut AttachServer| {
            let mut events = Vec::new();
            poller.wait(Some(Duration::ZERO), &mut events).unwrap();
            for event in events {
                server.ready(event, &poller, &mut None).unwrap();
            }
        };
        turn(&mut server);
        turn(&mut server);
        assert_eq!(server.clients.len(), 2);
        // Now its watch can't be changed: epoll_ctl fails with ENOENT.
        poller.remove(&server.clients[0].socket).unwrap();
        // Until the second has no room for more, either.
        while server.clients.len() == 2 || server.clients[0].queue.is_empty() {
            server.output(Source::Stdout, &vec![b'x'; MAX_PAYLOAD], &poller);
        }
        assert_eq!(server.clients.len(), 1);
        let mut buffer = vec![0; MAX_PAYLOAD + 2];
        while receive(&clients[1], &mut buffer).is_ok() {}
        turn(&mut server);
        assert!(server.clients[0].queue.is_empty());
        assert!(receive(&clients[1], &mut buffer).unwrap() > MAX_PAYLOAD);
    }
}
