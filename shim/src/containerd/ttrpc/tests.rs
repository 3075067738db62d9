//! A client on a real socket, in the same thread: what it writes is served by hand.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use prost::Message;

use super::frame::{self, HEADER_LENGTH, Header, Kind, MESSAGE_LIMIT};
use super::{Call, Code, Failure, Server};
use crate::containerd::messages::ttrpc::{Request, Response};
use crate::supervise::{Poller, Token};

struct Place {
    server: Server,
    poller: Poller,
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("s")).unwrap();
        let poller = Poller::new().unwrap();
        Place {
            server: Server::new(listener.into(), Token::of_front(1 << 32), &poller).unwrap(),
            poller,
            directory,
        }
    }

    fn client(&self) -> UnixStream {
        let stream = UnixStream::connect(self.directory.path().join("s")).unwrap();
        let patience = Some(Duration::from_secs(10));
        stream.set_read_timeout(patience).unwrap();
        stream
    }

    /// Serves until nothing is left to do; returns the calls that came.
    fn serve(&mut self) -> Vec<Call> {
        let mut calls = Vec::new();
        loop {
            let mut events = Vec::new();
            let patience = Some(Duration::from_millis(20));
            self.poller.wait(patience, &mut events).unwrap();
            if events.is_empty() {
                return calls;
            }
            for event in events {
                calls.extend(self.server.ready(event, &self.poller).unwrap());
            }
        }
    }

    /// Looks once at what there is to do.
    fn serve_once(&mut self, patience: Option<Duration>) -> Vec<Call> {
        let mut events = Vec::new();
        self.poller.wait(patience, &mut events).unwrap();
        let calls = events
            .into_iter()
            .map(|event| self.server.ready(event, &self.poller));
        calls.flat_map(Result::unwrap).collect()
    }

    fn answer(&mut self, call: &Call, outcome: Result<Vec<u8>, Failure>) {
        self.server.answer(call.id, outcome, &self.poller);
    }
}

fn request(method: &str, timeout: Duration) -> Vec<u8> {
    let request = Request {
        service: "a.Service".to_owned(),
        method: method.to_owned(),
        payload: b"question".to_vec(),
        timeout_nano: timeout.as_nanos().try_into().unwrap(),
        metadata: Vec::new(),
    };
    request.encode_to_vec()
}

fn ask(client: &mut UnixStream, stream: u32, method: &str) {
    let mut bytes = Vec::new();
    frame::append(
        &mut bytes,
        stream,
        Kind::Request,
        &request(method, Duration::ZERO),
    );
    client.write_all(&bytes).unwrap();
}

/// The next answer: its stream, its status code, its payload.
fn hear(client: &mut UnixStream) -> (u32, i32, Vec<u8>) {
    let mut header = [0; HEADER_LENGTH];
    client.read_exact(&mut header).unwrap();
    let header = Header::parse(&header).unwrap();
    assert_eq!(header.kind, Kind::Response);
    let mut message = vec![0; header.length];
    client.read_exact(&mut message).unwrap();
    let response = Response::decode(message.as_slice()).unwrap();
    let code = response.status.map_or(0, |status| status.code);
    (header.stream, code, response.payload)
}

#[test]
fn answers_come_in_any_order_and_to_whom_they_belong() {
    let mut place = Place::new();
    let (mut one, mut two) = (place.client(), place.client());
    ask(&mut one, 1, "Wait");
    ask(&mut one, 3, "State");
    ask(&mut two, 1, "State");
    let calls = place.serve();
    let [wait, state, other] = calls.as_slice() else {
        panic!("{calls:?}")
    };
    assert_eq!(wait.service, "a.Service");
    assert_eq!(wait.payload, b"question");
    place.answer(other, Ok(b"two".to_vec()));
    place.answer(state, Err(Failure::new(Code::NotFound, "none")));
    assert!(place.server.awaits(wait.id));
    place.answer(wait, Ok(b"late".to_vec()));
    assert!(!place.server.awaits(wait.id));
    place.answer(wait, Ok(b"twice".to_vec()));
    assert_eq!(hear(&mut one), (3, 5, Vec::new()));
    assert_eq!(hear(&mut one), (1, 0, b"late".to_vec()));
    assert_eq!(hear(&mut two), (1, 0, b"two".to_vec()));
    assert!(place.server.is_flushed());
}

#[test]
fn a_request_may_come_byte_by_byte_and_one_may_be_as_long_as_is_allowed() {
    let mut place = Place::new();
    let mut client = place.client();
    let mut bytes = Vec::new();
    frame::append(
        &mut bytes,
        1,
        Kind::Request,
        &request("Slow", Duration::ZERO),
    );
    let mut calls = Vec::new();
    for byte in bytes {
        client.write_all(&[byte]).unwrap();
        calls.extend(place.serve_once(Some(Duration::from_secs(5))));
    }
    calls.extend(place.serve());
    assert_eq!(calls.len(), 1);

    let mut long = Request::decode(request("Long", Duration::ZERO).as_slice()).unwrap();
    long.payload = vec![7; MESSAGE_LIMIT - 64];
    let mut bytes = Vec::new();
    frame::append(&mut bytes, 3, Kind::Request, &long.encode_to_vec());
    let writer = std::thread::spawn(move || {
        client.write_all(&bytes).unwrap();
        client
    });
    let mut calls = Vec::new();
    while calls.is_empty() {
        calls = place.serve();
    }
    assert_eq!(calls[0].payload, long.payload);
    // The answer is as long, and nobody reads it yet.
    place.answer(&calls[0], Ok(long.payload.clone()));
    assert!(!place.server.is_flushed());
    let mut client = writer.join().unwrap();
    let reader = std::thread::spawn(move || hear(&mut client));
    while !place.server.is_flushed() {
        place.serve();
    }
    assert_eq!(reader.join().unwrap(), (3, 0, long.payload));
}

#[test]
fn what_breaks_the_protocol_is_refused_and_the_connection_goes_on() {
    let mut place = Place::new();
    let mut client = place.client();
    let good = request("Good", Duration::ZERO);
    let too_long = vec![0; MESSAGE_LIMIT + 1];
    let mut bytes = Vec::new();
    frame::append(&mut bytes, 2, Kind::Request, &good);
    frame::append(&mut bytes, 5, Kind::Data, &good);
    frame::append(&mut bytes, 7, Kind::Request, &[0xff]);
    frame::append(&mut bytes, 7, Kind::Request, &good);
    frame::append(&mut bytes, 9, Kind::Other(9), &good);
    frame::append(&mut bytes, 11, Kind::Request, &too_long);
    frame::append(&mut bytes, 13, Kind::Request, &good);
    let writer = std::thread::spawn(move || {
        client.write_all(&bytes).unwrap();
        client
    });
    let mut calls = Vec::new();
    while calls.is_empty() {
        calls.extend(place.serve());
    }
    assert_eq!(calls.len(), 1);
    place.answer(&calls[0], Ok(Vec::new()));
    let mut client = writer.join().unwrap();
    let answers: Vec<(u32, i32)> = (0..6)
        .map(|_| hear(&mut client))
        .map(|(stream, code, _)| (stream, code))
        .collect();
    assert_eq!(answers, [(2, 3), (5, 3), (7, 3), (7, 3), (11, 8), (13, 0)]);
}

#[test]
fn a_caller_whose_time_is_over_is_told_so_once() {
    let mut place = Place::new();
    let mut client = place.client();
    let mut bytes = Vec::new();
    let timeout = Duration::from_millis(30);
    frame::append(&mut bytes, 1, Kind::Request, &request("Wait", timeout));
    client.write_all(&bytes).unwrap();
    let calls = place.serve();
    let alarm = place.server.next_alarm().unwrap();
    assert!(alarm <= Instant::now() + timeout);
    let late = place.server.alarm(alarm, &place.poller);
    assert_eq!(late, [calls[0].id]);
    assert_eq!(place.server.next_alarm(), None);
    assert!(!place.server.awaits(calls[0].id));
    place.answer(&calls[0], Ok(Vec::new()));
    ask(&mut client, 3, "Next");
    let calls = place.serve();
    place.answer(&calls[0], Ok(Vec::new()));
    assert_eq!(hear(&mut client), (1, 4, Vec::new()));
    assert_eq!(hear(&mut client), (3, 0, Vec::new()));
}

#[test]
fn a_client_that_leaves_is_forgotten_but_what_it_said_last_is_done() {
    let mut place = Place::new();
    let mut client = place.client();
    ask(&mut client, 1, "Kill");
    drop(client);
    let calls = place.serve();
    assert_eq!(calls.len(), 1);
    assert!(!place.server.awaits(calls[0].id));
    place.answer(&calls[0], Ok(Vec::new()));
    // More clients, one after the other, than there may be at a time.
    for _ in 0..300 {
        let mut client = place.client();
        ask(&mut client, 1, "State");
        let mut calls = Vec::new();
        while calls.is_empty() {
            calls = place.serve_once(None);
        }
        place.answer(&calls[0], Ok(Vec::new()));
        hear(&mut client);
    }
}

#[test]
fn clients_beyond_the_limit_wait_in_the_queue() {
    let mut place = Place::new();
    let mut clients: Vec<UnixStream> = Vec::new();
    for _ in 0..140 {
        clients.push(place.client());
        place.serve_once(Some(Duration::ZERO));
    }
    let mut last = clients.pop().unwrap();
    ask(&mut last, 1, "State");
    assert!(place.serve().is_empty());
    assert!(place.server.next_alarm().is_some());
    clients.clear();
    let calls = place.serve();
    assert_eq!(calls.len(), 1);
    place.answer(&calls[0], Ok(Vec::new()));
    assert_eq!(hear(&mut last), (1, 0, Vec::new()));
    assert_eq!(place.server.next_alarm(), None);
}
