//! The attach socket, as podman and CRI-O speak it: `SOCK_SEQPACKET`; what a client sends is the
//! container's input as it is; what it gets is the container's output in packets whose first byte
//! names the stream. A client that ends its sending ends the container's input with that, unless
//! `--leave-stdin-open` says otherwise, and still gets output.
//!
//! Clients get every byte that the container writes while they are attached: one that is slow holds
//! the container back, as a slow terminal would. One that has gone holds nothing back.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::net::{
    RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags, SocketType, accept_with,
    listen, recv, sendmsg, shutdown,
};

use super::sockets::{self, AttachDirectory};
use crate::supervise::{Event, Interest, Poller, Source, Token};

/// How much output one packet holds, in bytes: clients read with a buffer of this size and one byte
/// more (`STDIO_BUF_SIZE` of conmon, which podman has copied), and lose what exceeds it.
const PACKET: usize = 8192;
/// How many packets of one client are taken before others get their turn.
const PACKETS_PER_TURN: usize = 16;
/// How many clients there may be; who comes then waits until one goes.
const MOST_CLIENTS: usize = 256;
/// How long nobody is accepted after that has failed.
const REST: Duration = Duration::from_millis(200);

/// The socket in the bundle and everyone who has connected.
#[derive(Debug)]
pub struct AttachSocket {
    /// None once there are to be no more clients.
    listener: Option<OwnedFd>,
    listener_token: Token,
    listener_watched: bool,
    /// When others are listened to again, after there was no descriptor for one more.
    listens_at: Option<Instant>,
    directory: AttachDirectory,
    clients: Vec<Client>,
    next_token: Token,
    /// Why clients were dropped.
    troubles: Vec<String>,
}

/// Where clients' input goes.
pub trait Input {
    /// Takes what can be taken without waiting, and says how many bytes that were.
    fn write(&mut self, bytes: &[u8]) -> Result<usize>;
    /// A client has ended its sending.
    fn end(&mut self) -> Result<()>;
}

#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    token: Token,
    /// Packets that the socket had no room for.
    queue: VecDeque<Vec<u8>>,
    /// Input that the container has not taken yet, from `input_at` on.
    input: Vec<u8>,
    input_at: usize,
    /// It may still send.
    speaks: bool,
    /// It still wants output.
    hears: bool,
    watched: Option<Interest>,
}

impl AttachSocket {
    /// Listens at `directory/attach`. Clients are known to the poller by `clients` and the numbers
    /// that follow it.
    pub fn listen(directory: AttachDirectory, listener: Token, clients: Token) -> Result<Self> {
        let socket = sockets::bind_in(directory.path(), "attach", SocketType::SEQPACKET, 0o700)?;
        listen(&socket, 64).with_context(|| {
            format!(
                "Failed to listen on attach socket: {}/attach",
                directory.path().display()
            )
        })?;
        Ok(AttachSocket {
            listener: Some(socket),
            listener_token: listener,
            listener_watched: false,
            listens_at: None,
            directory,
            clients: Vec::new(),
            next_token: clients,
            troubles: Vec::new(),
        })
    }

    /// Begins to wait for clients.
    pub fn register(&mut self, poller: &Poller) {
        self.watch_listener(poller);
    }

    /// Takes in everyone who has connected.
    pub fn accept(&mut self, poller: &Poller) {
        while self.clients.len() < MOST_CLIENTS {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let Some(listener) = &self.listener else {
                return;
            };
            match accept_with(listener, flags) {
                Ok(socket) => {
                    let mut client = Client::new(socket, self.next_token);
                    self.next_token.0 += 1;
                    client.watch(poller, &mut self.troubles);
                    if !client.is_gone() {
                        self.clients.push(client);
                    }
                }
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(Errno::AGAIN) => return,
                // No descriptors or no memory for one more (EMFILE, ENFILE): it waits.
                Err(_) => {
                    self.listens_at = Some(Instant::now() + REST);
                    break;
                }
            }
        }
        if let Some(listener) = self.listener.as_ref().filter(|_| self.listener_watched) {
            // It fails for one only that isn't watched (ENOENT).
            let _ = poller.remove(listener);
            self.listener_watched = false;
        }
    }

    /// When [`AttachSocket::alarm`] has something to do.
    pub fn next_alarm(&self) -> Option<Instant> {
        self.listens_at
    }

    /// Listens again after a rest.
    pub fn alarm(&mut self, poller: &Poller) {
        let is_due = |due: &mut Instant| *due <= Instant::now();
        if self.listens_at.take_if(is_due).is_some() {
            self.watch_listener(poller);
        }
    }

    /// Something has happened at the client with this event's token.
    pub fn ready(&mut self, event: Event, poller: &Poller, input: &mut impl Input) {
        let found = |client: &&mut Client| client.token == event.token;
        let Some(client) = self.clients.iter_mut().find(found) else {
            return;
        };
        if event.ready.contains(Interest::OUT) {
            client.flush();
        }
        if event.ready.intersects(Interest::HUP | Interest::ERR) {
            client.hears = false;
            client.queue = VecDeque::new();
        }
        client.listen(input, &mut self.troubles);
        client.watch(poller, &mut self.troubles);
        self.forget_the_gone(poller);
    }

    /// The container takes input again.
    pub fn pass_input_on(&mut self, poller: &Poller, input: &mut impl Input) {
        for client in &mut self.clients {
            client.listen(input, &mut self.troubles);
            client.watch(poller, &mut self.troubles);
        }
        self.forget_the_gone(poller);
    }

    /// Sends output to all clients, those included who have just connected.
    pub fn send(&mut self, source: Source, bytes: &[u8], poller: &Poller) {
        // Who connected before the container wrote this must get it, whatever event came first.
        if self.listener_watched {
            self.accept(poller);
        }
        let stream = match source {
            Source::Stdout => 2,
            Source::Stderr => 3,
        };
        for client in &mut self.clients {
            for piece in bytes.chunks(PACKET) {
                client.tell(stream, piece);
            }
            client.watch(poller, &mut self.troubles);
        }
        self.forget_the_gone(poller);
    }

    /// Someone is behind with what has been sent already.
    pub fn is_behind(&self) -> bool {
        self.clients.iter().any(|client| !client.queue.is_empty())
    }

    /// No new clients from now on: takes the socket's file away, and the link to its directory.
    pub fn close(&mut self) -> Result<()> {
        if let Some(listener) = self.listener.take() {
            dismiss(&listener);
        }
        let path = self.directory.path().join("attach");
        let removed = sockets::remove(&path);
        self.directory.remove();
        removed.with_context(|| format!("removing {}", path.display()))
    }

    /// Why clients were dropped, since it was asked last.
    pub fn take_troubles(&mut self) -> Vec<String> {
        std::mem::take(&mut self.troubles)
    }

    /// Of the clients only those who haven't been sent everything; they are watched by a poller of
    /// their own.
    pub fn keep_only_those_behind(&mut self, poller: &Poller) {
        self.clients.retain(|client| !client.queue.is_empty());
        for client in &mut self.clients {
            client.watched = None;
            client.watch(poller, &mut self.troubles);
        }
        self.clients.retain(|client| !client.is_gone());
    }

    fn forget_the_gone(&mut self, poller: &Poller) {
        let before = self.clients.len();
        for client in self.clients.iter_mut().filter(|client| client.is_gone()) {
            client.unwatch(poller);
        }
        self.clients.retain(|client| !client.is_gone());
        if self.clients.len() < before {
            self.watch_listener(poller);
        }
    }

    fn watch_listener(&mut self, poller: &Poller) {
        if let Some(listener) = self.listener.as_ref().filter(|_| !self.listener_watched) {
            let added = poller.add(listener, self.listener_token, Interest::IN);
            self.listener_watched = added.is_ok();
            // ENOSPC, ENOMEM: whoever wants to connect has to wait.
            self.listens_at = added.err().map(|_| Instant::now() + REST);
        }
    }
}

impl Client {
    fn new(socket: OwnedFd, token: Token) -> Self {
        Client {
            socket,
            token,
            queue: VecDeque::new(),
            input: Vec::new(),
            input_at: 0,
            speaks: true,
            hears: true,
            watched: None,
        }
    }

    fn is_gone(&self) -> bool {
        !self.speaks && !self.hears
    }

    fn tell(&mut self, stream: u8, piece: &[u8]) {
        if !self.hears {
            return;
        }
        if self.queue.is_empty() {
            match send(&self.socket, stream, piece) {
                Ok(()) => return,
                Err(errno) if is_full(errno) => {}
                Err(_) => {
                    self.hears = false;
                    return;
                }
            }
        }
        self.queue.push_back([&[stream], piece].concat());
    }

    fn flush(&mut self) {
        while let Some(packet) = self.queue.front() {
            match send(&self.socket, packet[0], &packet[1..]) {
                Ok(()) => drop(self.queue.pop_front()),
                Err(errno) if is_full(errno) => return,
                Err(_) => {
                    self.hears = false;
                    break;
                }
            }
        }
        self.queue = VecDeque::new();
    }

    /// Passes on what the client has sent, as far as it is taken. One whose input can't be is dropped.
    fn listen(&mut self, input: &mut impl Input, troubles: &mut Vec<String>) {
        if let Err(error) = self.try_to_listen(input) {
            self.drop_for(&error, troubles);
        }
    }

    fn try_to_listen(&mut self, input: &mut impl Input) -> Result<()> {
        for _ in 0..PACKETS_PER_TURN {
            if !self.pass_on(input)? || !self.speaks {
                return Ok(());
            }
            match receive(&self.socket) {
                Ok(packet) if packet.is_empty() => {
                    self.speaks = false;
                    input.end()?;
                }
                Ok(packet) => self.input = packet,
                Err(Errno::AGAIN) => return Ok(()),
                // The client has gone without reading all that we sent; what it sent is still there.
                Err(Errno::CONNRESET) => self.hears = false,
                Err(_) => {
                    self.speaks = false;
                    self.hears = false;
                    input.end()?;
                }
            }
        }
        // What is left here has to be waiting for the container, or nobody would come back for it.
        self.pass_on(input).map(|_| ())
    }

    /// Whether all of the last packet has been taken.
    fn pass_on(&mut self, input: &mut impl Input) -> Result<bool> {
        while self.input_at < self.input.len() {
            let taken = input.write(&self.input[self.input_at..])?;
            if taken == 0 {
                return Ok(false);
            }
            self.input_at += taken;
        }
        self.input = Vec::new();
        self.input_at = 0;
        Ok(true)
    }

    /// One that can't be watched is dropped: that is no reason to leave the container alone.
    fn watch(&mut self, poller: &Poller, troubles: &mut Vec<String>) {
        if let Err(error) = self.try_to_watch(poller) {
            self.drop_for(&error, troubles);
        }
    }

    fn drop_for(&mut self, error: &anyhow::Error, troubles: &mut Vec<String>) {
        troubles.push(format!("dropping an attached client: {error:#}"));
        self.speaks = false;
        self.hears = false;
        self.queue = VecDeque::new();
        self.input = Vec::new();
        self.input_at = 0;
    }

    fn try_to_watch(&mut self, poller: &Poller) -> Result<()> {
        let mut interest = Interest::empty();
        if self.speaks && self.input.is_empty() {
            interest |= Interest::IN;
        }
        if !self.queue.is_empty() {
            interest |= Interest::OUT;
        }
        // A client that has gone would report that again and again while its input waits.
        let wanted = Some(interest).filter(|_| self.hears || self.input.is_empty());
        match (self.watched, wanted) {
            (None, Some(interest)) => poller.add(&self.socket, self.token, interest)?,
            (Some(old), Some(new)) if old != new => {
                poller.modify(&self.socket, self.token, new)?;
            }
            (Some(_), None) => poller.remove(&self.socket)?,
            _ => {}
        }
        self.watched = wanted;
        Ok(())
    }

    fn unwatch(&mut self, poller: &Poller) {
        if self.watched.take().is_some() {
            // Closing it, which comes next, takes it out as well.
            let _ = poller.remove(&self.socket);
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        hear_out(&self.socket);
    }
}

/// Reads what a client still had to say: a unix socket that is closed with unread packets resets the
/// connection, and the client would not get the last of the output.
fn hear_out(socket: &OwnedFd) {
    let _ = shutdown(socket, Shutdown::Read);
    while receive(socket).is_ok_and(|packet| !packet.is_empty()) {}
}

/// Takes in those who have connected and lets them go: whoever is still in the queue of a listener
/// that is closed reads ECONNRESET (`unix_release_sock` in net/unix/af_unix.c), not the end of file.
fn dismiss(listener: &OwnedFd) {
    // connect(2) is refused from here on, so that the queue has an end.
    let _ = shutdown(listener, Shutdown::Read);
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    loop {
        match accept_with(listener, flags) {
            Ok(socket) => hear_out(&socket),
            Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

fn is_full(errno: Errno) -> bool {
    matches!(errno, Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM)
}

fn send(socket: &OwnedFd, stream: u8, bytes: &[u8]) -> rustix::io::Result<()> {
    let stream = [stream];
    let parts = [IoSlice::new(&stream), IoSlice::new(bytes)];
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    rustix::io::retry_on_intr(|| {
        sendmsg(socket, &parts, &mut SendAncillaryBuffer::default(), flags).map(|_| ())
    })
}

/// The next packet, whole; an empty one when the client has ended its sending.
fn receive(socket: &OwnedFd) -> rustix::io::Result<Vec<u8>> {
    let look = RecvFlags::DONTWAIT | RecvFlags::PEEK | RecvFlags::TRUNC;
    let (_, length) = rustix::io::retry_on_intr(|| recv(socket, &mut [0u8; 0][..], look))?;
    if length == 0 {
        return Ok(Vec::new());
    }
    let mut packet = vec![0; length];
    let (_, length) =
        rustix::io::retry_on_intr(|| recv(socket, &mut packet[..], RecvFlags::DONTWAIT))?;
    packet.truncate(length);
    Ok(packet)
}

#[cfg(test)]
mod tests {
    use rustix::net::{AddressFamily, SocketAddrUnix, connect, socket_with};

    use super::*;

    struct Nowhere;

    impl Input for Nowhere {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            Ok(bytes.len())
        }

        fn end(&mut self) -> Result<()> {
            Ok(())
        }
    }

    /// A socket in a bundle of its own, and where clients find it.
    fn listening() -> (tempfile::TempDir, AttachSocket, SocketAddrUnix) {
        let bundle = tempfile::tempdir().unwrap();
        let directory = AttachDirectory::bundle(bundle.path());
        let [listener, clients] = [2, 16].map(Token::of_front);
        let attach = AttachSocket::listen(directory, listener, clients).unwrap();
        let address = SocketAddrUnix::new(bundle.path().join("attach")).unwrap();
        (bundle, attach, address)
    }

    fn client(address: &SocketAddrUnix) -> OwnedFd {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let family = AddressFamily::UNIX;
        let socket = socket_with(family, SocketType::SEQPACKET, flags, None).unwrap();
        connect(&socket, address).unwrap();
        socket
    }

    #[test]
    fn who_connects_just_before_the_end_reads_the_end_of_file() {
        let (_bundle, mut attach, address) = listening();
        let [silent, speaking] = [0, 1].map(|_| client(&address));
        rustix::net::send(&speaking, b"input", SendFlags::NOSIGNAL).unwrap();
        attach.close().unwrap();
        assert_eq!(receive(&silent), Ok(Vec::new()));
        assert_eq!(receive(&speaking), Ok(Vec::new()));
    }

    #[test]
    fn a_client_that_cannot_be_watched_is_dropped_alone() {
        let (_bundle, mut attach, address) = listening();
        let poller = Poller::new().unwrap();
        attach.register(&poller);
        let [first, second] = [0, 1].map(|_| {
            let socket = client(&address);
            attach.accept(&poller);
            socket
        });
        // Now its watch can't be changed: epoll_ctl fails with ENOENT.
        poller.remove(&attach.clients[0].socket).unwrap();
        // Until nobody has room for more.
        while !attach.is_behind() {
            attach.send(Source::Stdout, &[b'x'; PACKET], &poller);
        }
        let troubles = attach.take_troubles();
        assert_eq!(troubles.len(), 1, "{troubles:?}");
        assert!(
            troubles[0].contains("epoll_ctl(EPOLL_CTL_MOD"),
            "{troubles:?}"
        );
        assert!(attach.take_troubles().is_empty());
        assert_eq!(attach.clients.len(), 1);
        // The other one gets all, and goes as it likes.
        while receive(&second).is_ok_and(|packet| packet.len() == PACKET + 1) {}
        let event = Event {
            token: attach.clients[0].token,
            ready: Interest::OUT,
        };
        attach.ready(event, &poller, &mut Nowhere);
        assert!(!attach.is_behind());
        assert_eq!(receive(&second).unwrap().len(), PACKET + 1);
        drop((first, second));
    }
}
