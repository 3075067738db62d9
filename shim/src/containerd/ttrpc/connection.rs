//! One client's connection: bytes in, requests out; answers in, bytes out. Nothing in it waits.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use prost::Message;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::frame::{self, HEADER_LENGTH, Header, Kind, MESSAGE_LIMIT};
use super::status::{Code, Failure};
use crate::containerd::messages::ttrpc::{Request, Response};
use crate::supervise::Interest;

/// A client that doesn't read its answers is not asked for more calls beyond this many bytes.
const BACKLOG_LIMIT: usize = 1 << 20;
/// How much is read at once.
const PORTION: usize = 16 * 1024;

/// The client is gone, or no longer makes sense.
#[derive(Debug)]
pub(super) struct Gone;

#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    /// What has come but is no whole frame yet.
    input: Vec<u8>,
    /// The rest of a message that is too long to be kept, in bytes.
    to_skip: usize,
    /// What the socket has not taken yet.
    output: Vec<u8>,
    /// Calls that are not answered yet, with the time when their caller gives up.
    open: BTreeMap<u32, Option<Instant>>,
    last_stream: u32,
    /// What the poller was last asked for.
    pub(super) interest: Interest,
}

impl Connection {
    /// `socket` must be non-blocking.
    pub(super) fn new(socket: OwnedFd) -> Self {
        Connection {
            socket,
            input: Vec::new(),
            to_skip: 0,
            output: Vec::new(),
            open: BTreeMap::new(),
            last_stream: 0,
            interest: Interest::IN,
        }
    }

    /// What is to be waited for now.
    pub(super) fn wanted(&self) -> Interest {
        let mut wanted = Interest::empty();
        wanted.set(Interest::IN, self.output.len() < BACKLOG_LIMIT);
        wanted.set(Interest::OUT, !self.output.is_empty());
        wanted
    }

    /// Reads what has come, and returns the calls in it.
    pub(super) fn receive(&mut self) -> Result<Vec<(u32, Request)>, Gone> {
        let mut calls = Vec::new();
        let mut portion = [0; PORTION];
        while self.output.len() < BACKLOG_LIMIT {
            match rustix::net::recv(&self.socket, &mut portion, RecvFlags::DONTWAIT) {
                Ok((_, 0)) if calls.is_empty() => return Err(Gone),
                // What it said last is still done; the poller will tell of the end again.
                Ok((_, 0)) | Err(Errno::AGAIN) => break,
                Ok((_, count)) => self.take_in(&portion[..count], &mut calls),
                Err(Errno::INTR) => {}
                Err(_) => return Err(Gone),
            }
        }
        if self.input.is_empty() {
            self.input = Vec::new();
        }
        Ok(calls)
    }

    fn take_in(&mut self, mut bytes: &[u8], calls: &mut Vec<(u32, Request)>) {
        let skipped = self.to_skip.min(bytes.len());
        self.to_skip -= skipped;
        bytes = &bytes[skipped..];
        self.input.extend_from_slice(bytes);
        let mut done = 0;
        while let Some(header) = Header::parse(&self.input[done..]) {
            let rest = self.input.len() - done - HEADER_LENGTH;
            if header.length > MESSAGE_LIMIT {
                let here = rest.min(header.length);
                self.to_skip = header.length - here;
                done += HEADER_LENGTH + here;
                self.too_long(header);
                continue;
            }
            if rest < header.length {
                break;
            }
            let start = done + HEADER_LENGTH;
            done = start + header.length;
            let message = &self.input[start..done];
            let request = match header.kind {
                Kind::Request => Some(Request::decode(message)),
                Kind::Data => None,
                // An answer to nothing, or something that a later version of the protocol brings.
                Kind::Response | Kind::Other(_) => continue,
            };
            match self.open_call(header.stream, request) {
                Ok(request) => calls.push((header.stream, request)),
                Err(failure) => self.refuse(header.stream, failure),
            }
        }
        self.input.drain(..done);
    }

    fn too_long(&mut self, header: Header) {
        let message = format!(
            "message length {} exceeds the maximum message size of {MESSAGE_LIMIT}",
            header.length
        );
        self.refuse(
            header.stream,
            Failure::new(Code::ResourceExhausted, message),
        );
    }

    /// Notes a call that is now to be answered. `request` is none for data of a streaming call.
    fn open_call(
        &mut self,
        stream: u32,
        request: Option<Result<Request, prost::DecodeError>>,
    ) -> Result<Request, Failure> {
        let wrong = |message: &str| Failure::new(Code::InvalidArgument, message);
        if stream.is_multiple_of(2) {
            return Err(wrong("StreamID must be odd for client initiated streams"));
        }
        let Some(request) = request else {
            return Err(wrong("StreamID is no longer active"));
        };
        if stream <= self.last_stream {
            return Err(wrong("StreamID cannot be re-used and must increment"));
        }
        self.last_stream = stream;
        let request =
            request.map_err(|error| wrong(&format!("unmarshal request error: {error}")))?;
        let timeout = u64::try_from(request.timeout_nano).unwrap_or_default();
        let deadline = (timeout > 0)
            .then(|| Instant::now().checked_add(Duration::from_nanos(timeout)))
            .flatten();
        self.open.insert(stream, deadline);
        Ok(request)
    }

    /// Whether somebody still waits for the answer to this call.
    pub(super) fn awaits(&self, stream: u32) -> bool {
        self.open.contains_key(&stream)
    }

    /// When the next caller gives up.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.open.values().copied().flatten().min()
    }

    /// Tells callers whose time is over that it is, and returns which.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<u32> {
        let late: Vec<u32> = self
            .open
            .iter()
            .filter(|(_, deadline)| deadline.is_some_and(|deadline| deadline <= now))
            .map(|(stream, _)| *stream)
            .collect();
        for &stream in &late {
            let failure = Failure::new(Code::DeadlineExceeded, "context deadline exceeded");
            self.answer(stream, Err(failure));
        }
        late
    }

    /// Answers a call, if nobody has yet.
    pub(super) fn answer(&mut self, stream: u32, outcome: Result<Vec<u8>, Failure>) {
        if self.open.remove(&stream).is_none() {
            return;
        }
        match outcome {
            Ok(payload) => self.respond(stream, None, payload),
            Err(failure) => self.refuse(stream, failure),
        }
    }

    fn refuse(&mut self, stream: u32, failure: Failure) {
        self.open.remove(&stream);
        self.respond(stream, Some(failure), Vec::new());
    }

    fn respond(&mut self, stream: u32, failure: Option<Failure>, payload: Vec<u8>) {
        let response = Response {
            status: failure.map(Into::into),
            payload,
        };
        let mut message = response.encode_to_vec();
        if message.len() > MESSAGE_LIMIT {
            let why = format!("the answer is longer than {MESSAGE_LIMIT} bytes");
            let response = Response {
                status: Some(Failure::new(Code::ResourceExhausted, why).into()),
                payload: Vec::new(),
            };
            message = response.encode_to_vec();
        }
        frame::append(&mut self.output, stream, Kind::Response, &message);
    }

    /// Writes as much as the socket takes.
    pub(super) fn send(&mut self) -> Result<(), Gone> {
        let mut sent = 0;
        while sent < self.output.len() {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match rustix::net::send(&self.socket, &self.output[sent..], flags) {
                Ok(count) => sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => return Err(Gone),
            }
        }
        if sent == self.output.len() {
            self.output = Vec::new();
        } else {
            self.output.drain(..sent);
        }
        Ok(())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
