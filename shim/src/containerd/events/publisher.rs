//! The way of events to containerd: one after the other to its ttrpc socket, each until it has been
//! taken. While containerd is away they are kept, and sent in their order when it is back.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use prost::Message;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv,
    send, socket_with,
};

use super::Event as TaskEvent;
use crate::containerd::log::Log;
use crate::containerd::messages::events::{Envelope, ForwardRequest};
use crate::containerd::messages::ttrpc::{KeyValue, Request, Response};
use crate::containerd::ttrpc::frame::{self, HEADER_LENGTH, Header, Kind, MESSAGE_LIMIT};
use crate::supervise::{Event, Interest, Poller, Token};

const SERVICE: &str = "containerd.services.events.ttrpc.v1.Events";
/// How many events are kept. Beyond that the oldest that tell of no end go first: while containerd
/// is away, nobody asks for anything, and what happens then is that processes end.
const KEPT: usize = 2048;
/// How long containerd may take to take an event; the stock shim's.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often an event is sent that containerd refuses; the stock shim's.
const TRIES: u32 = 5;
/// gRPC's codes of what is not the event's fault: cancelled, deadline exceeded, resource exhausted,
/// unavailable.
const PASSING: [i32; 4] = [1, 4, 8, 14];
/// How long it is waited before containerd is tried again: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Sends events, and keeps those that have not been taken.
#[derive(Debug)]
pub struct Publisher {
    address: PathBuf,
    namespace: String,
    token: Token,
    log: Log,
    /// In the order in which they happened.
    waiting: VecDeque<Waiting>,
    link: Option<Link>,
    /// Nothing is tried before that.
    not_before: Option<Instant>,
    pause: Duration,
}

/// An event that has not been taken.
#[derive(Debug)]
struct Waiting {
    event: TaskEvent,
    at: SystemTime,
    refused: u32,
}

/// A connection to containerd.
#[derive(Debug)]
struct Link {
    socket: OwnedFd,
    interest: Interest,
    /// What the socket has not taken yet.
    output: Vec<u8>,
    /// What has come but is no whole answer yet.
    input: Vec<u8>,
    /// The number of the last call.
    stream: u32,
    /// When that call's answer must be there, if it isn't yet.
    deadline: Option<Instant>,
}

/// The connection is of no use any more.
struct Broken;

impl Publisher {
    /// Sends events of containers in `namespace` to the socket `address`, which may have
    /// `unix://` in front. `token` is the connection's.
    pub fn new(address: &str, namespace: String, token: Token, log: Log) -> Self {
        Publisher {
            address: PathBuf::from(address.strip_prefix("unix://").unwrap_or(address)),
            namespace,
            token,
            log,
            waiting: VecDeque::new(),
            link: None,
            not_before: None,
            pause: FIRST_PAUSE,
        }
    }

    /// Whether containerd has taken all events.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Tells containerd of `event`, which has just happened: now, or as soon as it is there.
    pub fn publish(&mut self, event: &TaskEvent, poller: &Poller) -> Result<()> {
        // One that nobody has heard of yet says it all.
        let is_known = matches!(event, TaskEvent::Oom(_))
            && self
                .waiting
                .iter()
                .skip(1)
                .any(|waiting| waiting.event == *event);
        if !is_known {
            self.waiting.push_back(Waiting {
                event: event.clone(),
                at: SystemTime::now(),
                refused: 0,
            });
        }
        if self.waiting.len() > KEPT {
            // The first may be on its way.
            let mut kept = self.waiting.iter().enumerate().skip(1);
            let least = kept.find(|(_, waiting)| !waiting.event.is_an_end());
            let index = least.map_or(1, |(index, _)| index);
            self.forget(index, "containerd is away, and too many others wait");
        }
        self.go_on(poller)
    }

    /// There will soon be something to tell: connects beforehand, if containerd is there.
    pub fn look_ahead(&mut self, poller: &Poller) {
        if self.not_before.is_none()
            && self.link.is_none()
            && let Ok(link) = Link::open(&self.address)
            && poller.add(&link.socket, self.token, link.interest).is_ok()
        {
            self.link = Some(link);
        }
    }

    /// The connection is ready.
    pub fn ready(&mut self, _event: Event, poller: &Poller) -> Result<()> {
        if let Some(link) = &mut self.link {
            let received = link.receive();
            match received {
                Ok(Some(response)) => self.note(&response),
                Ok(None) => {}
                Err(Broken) => self.hang_up(poller)?,
            }
        }
        self.go_on(poller)
    }

    /// When [`Publisher::alarm`] is to be called.
    pub fn next_alarm(&self) -> Option<Instant> {
        let deadline = self.link.as_ref().and_then(|link| link.deadline);
        deadline.into_iter().chain(self.not_before).min()
    }

    /// It is `now`.
    pub fn alarm(&mut self, now: Instant, poller: &Poller) -> Result<()> {
        let late = |link: &Link| link.deadline.is_some_and(|deadline| deadline <= now);
        if self.link.as_ref().is_some_and(late) {
            self.hang_up(poller)?;
        }
        self.not_before.take_if(|until| *until <= now);
        self.go_on(poller)
    }

    /// Does what can be done now: connects, sends the next event, and what is left of it.
    fn go_on(&mut self, poller: &Poller) -> Result<()> {
        if self.not_before.is_none() && !self.waiting.is_empty() && self.link.is_none() {
            self.connect(poller)?;
        }
        let Some(link) = &mut self.link else {
            return Ok(());
        };
        if self.not_before.is_none()
            && link.deadline.is_none()
            && let Some(next) = self.waiting.front()
        {
            link.call(&request(next, &self.namespace));
        }
        if link.send().is_err() {
            return self.hang_up(poller);
        }
        let mut wanted = Interest::IN;
        wanted.set(Interest::OUT, !link.output.is_empty());
        if wanted != link.interest {
            poller.modify(&link.socket, self.token, wanted)?;
            link.interest = wanted;
        }
        Ok(())
    }

    fn connect(&mut self, poller: &Poller) -> Result<()> {
        match Link::open(&self.address) {
            Ok(link) => {
                poller.add(&link.socket, self.token, link.interest)?;
                self.link = Some(link);
            }
            // Whatever is the matter, it may be better later.
            Err(_) => self.wait_a_while(),
        }
        Ok(())
    }

    fn wait_a_while(&mut self) {
        self.not_before = Some(Instant::now() + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    fn hang_up(&mut self, poller: &Poller) -> Result<()> {
        if let Some(link) = self.link.take() {
            poller.remove(&link.socket)?;
        }
        if !self.waiting.is_empty() {
            self.wait_a_while();
        }
        Ok(())
    }

    /// What containerd said to the first of the events.
    fn note(&mut self, response: &Response) {
        let refusal = response.status.as_ref().filter(|status| status.code != 0);
        let Some(refusal) = refusal else {
            self.waiting.pop_front();
            self.pause = FIRST_PAUSE;
            return;
        };
        let Some(first) = self.waiting.front_mut() else {
            return;
        };
        if !PASSING.contains(&refusal.code) {
            first.refused += 1;
        }
        if first.refused < TRIES {
            self.wait_a_while();
        } else {
            self.forget(0, &format!("containerd refuses it: {}", refusal.message));
        }
    }

    fn forget(&mut self, index: usize, why: &str) {
        if let Some(lost) = self.waiting.remove(index) {
            let topic = lost.event.topic();
            self.log.warn(&format!("the event {topic} is lost: {why}"));
        }
    }
}

/// The call that takes an event to containerd.
fn request(waiting: &Waiting, namespace: &str) -> Request {
    let envelope = Envelope {
        timestamp: Some(waiting.at.into()),
        namespace: namespace.to_owned(),
        topic: waiting.event.topic().to_owned(),
        event: Some(waiting.event.packed()),
    };
    let forward = ForwardRequest {
        envelope: Some(envelope),
    };
    Request {
        service: SERVICE.to_owned(),
        method: "Forward".to_owned(),
        payload: forward.encode_to_vec(),
        timeout_nano: i64::try_from(PATIENCE.as_nanos()).unwrap_or_default(),
        metadata: vec![KeyValue {
            key: "containerd-namespace-ttrpc".to_owned(),
            value: namespace.to_owned(),
        }],
    }
}

impl Link {
    /// A unix socket is connected at once, or not at all.
    fn open(address: &Path) -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(&socket, &SocketAddrUnix::new(address)?)?;
        Ok(Link {
            socket,
            interest: Interest::IN,
            output: Vec::new(),
            input: Vec::new(),
            stream: 0,
            deadline: None,
        })
    }

    fn call(&mut self, request: &Request) {
        // A client's numbers are odd.
        self.stream = if self.stream == 0 { 1 } else { self.stream + 2 };
        let message = request.encode_to_vec();
        frame::append(&mut self.output, self.stream, Kind::Request, &message);
        // A little longer than containerd is told, so that its own answer comes first.
        self.deadline = Some(Instant::now() + PATIENCE + Duration::from_secs(1));
    }

    fn send(&mut self) -> Result<(), Broken> {
        while !self.output.is_empty() {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match send(&self.socket, &self.output, flags) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(_) => return Err(Broken),
            }
        }
        self.output = Vec::new();
        Ok(())
    }

    /// The answer to the last call, if it is there.
    fn receive(&mut self) -> Result<Option<Response>, Broken> {
        let mut portion = [0; 1024];
        loop {
            match recv(&self.socket, &mut portion, RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return Err(Broken),
                Ok((_, count)) => self.input.extend_from_slice(&portion[..count]),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => return Err(Broken),
            }
            if let Some(response) = self.answer()? {
                return Ok(Some(response));
            }
        }
        Ok(None)
    }

    fn answer(&mut self) -> Result<Option<Response>, Broken> {
        while let Some(header) = Header::parse(&self.input) {
            if header.length > MESSAGE_LIMIT {
                return Err(Broken);
            }
            let end = HEADER_LENGTH + header.length;
            if self.input.len() < end {
                break;
            }
            let awaited = self.deadline.is_some()
                && header.kind == Kind::Response
                && header.stream == self.stream;
            let response = Response::decode(&self.input[HEADER_LENGTH..end]);
            self.input.drain(..end);
            if awaited {
                self.deadline = None;
                self.input.shrink_to_fit();
                return response.map(Some).map_err(|_| Broken);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;
    use crate::containerd::messages::events::{TaskExecAdded, TaskExit, TaskOom};
    use crate::containerd::messages::ttrpc::Status;
    use crate::containerd::messages::unpack;

    fn exit(id: &str) -> TaskEvent {
        TaskEvent::Exit(TaskExit {
            container_id: id.to_owned(),
            ..TaskExit::default()
        })
    }

    fn oom(id: &str) -> TaskEvent {
        TaskEvent::Oom(TaskOom {
            container_id: id.to_owned(),
        })
    }

    fn other(id: &str) -> TaskEvent {
        TaskEvent::ExecAdded(TaskExecAdded {
            container_id: id.to_owned(),
            exec_id: String::new(),
        })
    }

    /// A publisher on a poller, and a containerd that comes and goes.
    struct Stage {
        directory: tempfile::TempDir,
        poller: Poller,
        publisher: Publisher,
    }

    impl Stage {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let address = format!("unix://{}", directory.path().join("socket").display());
            let log = Log::open(directory.path(), "test".to_owned(), false).unwrap();
            let namespace = "the-namespace".to_owned();
            Stage {
                publisher: Publisher::new(&address, namespace, Token::of_front(7), log),
                poller: Poller::new().unwrap(),
                directory,
            }
        }

        fn publish(&mut self, events: &[TaskEvent]) {
            for event in events {
                self.publisher.publish(event, &self.poller).unwrap();
            }
        }

        fn listen(&self) -> UnixListener {
            let path = self.directory.path().join("socket");
            let _ = fs::remove_file(&path);
            let listener = UnixListener::bind(path).unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        }

        /// Turns the publisher's loop until `done` has something to say.
        fn turn<T>(&mut self, mut done: impl FnMut() -> Option<T>) -> T {
            let deadline = Instant::now() + Duration::from_secs(10);
            loop {
                if let Some(done) = done() {
                    return done;
                }
                assert!(Instant::now() < deadline, "nothing happened");
                let mut events = Vec::new();
                self.poller
                    .wait(Some(Duration::from_millis(2)), &mut events)
                    .unwrap();
                for event in events {
                    assert_eq!(event.token, Token::of_front(7));
                    self.publisher.ready(event, &self.poller).unwrap();
                }
                if self
                    .publisher
                    .next_alarm()
                    .is_some_and(|at| at <= Instant::now())
                {
                    self.publisher.alarm(Instant::now(), &self.poller).unwrap();
                }
            }
        }

        fn accept(&mut self, listener: &UnixListener) -> UnixStream {
            let stream = self.turn(|| listener.accept().ok()).0;
            stream.set_nonblocking(true).unwrap();
            stream
        }

        /// The next call.
        fn take(&mut self, stream: &mut UnixStream) -> (u32, Envelope) {
            let mut bytes = Vec::new();
            let mut portion = [0; 4096];
            let (header, request) = self.turn(|| {
                if let Ok(count) = stream.read(&mut portion) {
                    assert!(count > 0, "it hung up");
                    bytes.extend_from_slice(&portion[..count]);
                }
                let header = Header::parse(&bytes)?;
                let message = bytes.get(HEADER_LENGTH..)?;
                (message.len() >= header.length)
                    .then(|| (header, Request::decode(message).unwrap()))
            });
            assert_eq!(header.kind, Kind::Request);
            assert_eq!(
                (request.service.as_str(), request.method.as_str()),
                (SERVICE, "Forward")
            );
            assert_eq!(request.metadata[0].value, "the-namespace");
            let forward = ForwardRequest::decode(request.payload.as_slice()).unwrap();
            let envelope = forward.envelope.unwrap();
            assert_eq!(envelope.namespace, "the-namespace");
            assert!(envelope.timestamp.as_ref().unwrap().seconds > 0);
            (header.stream, envelope)
        }

        /// Takes and answers `count` calls; says whose exits they told of.
        fn serve(&mut self, stream: &mut UnixStream, count: usize) -> Vec<String> {
            (0..count)
                .map(|_| {
                    let (number, envelope) = self.take(stream);
                    answer(stream, number, 0);
                    if envelope.topic == "/tasks/exit" {
                        let event: Option<TaskExit> = unpack(&envelope.event.unwrap()).unwrap();
                        return event.unwrap().container_id;
                    }
                    envelope.topic
                })
                .collect()
        }
    }

    fn answer(stream: &mut UnixStream, number: u32, code: i32) {
        let status = (code != 0).then(|| Status {
            code,
            message: "no".to_owned(),
            details: Vec::new(),
        });
        let response = Response {
            status,
            payload: Vec::new(),
        };
        let mut bytes = Vec::new();
        frame::append(
            &mut bytes,
            number,
            Kind::Response,
            &response.encode_to_vec(),
        );
        // In two pieces, as it may come.
        for piece in bytes.chunks(7) {
            stream.write_all(piece).unwrap();
        }
    }

    #[test]
    fn events_outlast_containerd_and_keep_their_order() {
        let mut stage = Stage::new();
        stage.publish(&[exit("1"), exit("2")]);
        assert!(!stage.publisher.is_empty() && stage.publisher.next_alarm().is_some());
        let listener = stage.listen();
        let mut stream = stage.accept(&listener);
        assert_eq!(stage.serve(&mut stream, 1), ["1"]);
        // It takes the second, and dies before it has said so.
        stage.take(&mut stream);
        drop((stream, listener));
        stage.publish(&[exit("3"), exit("4")]);
        let listener = stage.listen();
        let mut stream = stage.accept(&listener);
        assert_eq!(stage.serve(&mut stream, 3), ["2", "3", "4"]);
        stage.publish(&[exit("5")]);
        assert_eq!(
            stage.serve(&mut stream, 1),
            ["5"],
            "over the same connection"
        );
    }

    #[test]
    fn all_is_taken_in_the_end_and_then_nothing_is_waited_for() {
        let mut stage = Stage::new();
        let listener = stage.listen();
        stage.publish(&[exit("1")]);
        let mut stream = stage.accept(&listener);
        stage.serve(&mut stream, 1);
        let began = Instant::now();
        while !stage.publisher.is_empty() {
            assert!(began.elapsed() < Duration::from_secs(5));
            let mut turned = false;
            stage.turn(|| std::mem::replace(&mut turned, true).then_some(()));
        }
        assert_eq!(stage.publisher.next_alarm(), None);
        // Containerd goes away while there is nothing to tell.
        drop((stream, listener));
        let mut turns = 0;
        stage.turn(|| {
            turns += 1;
            (turns > 5).then_some(())
        });
        assert_eq!(stage.publisher.next_alarm(), None);
        assert!(stage.publisher.link.is_none());
    }

    #[test]
    fn what_containerd_refuses_again_and_again_makes_way_for_the_rest() {
        let mut stage = Stage::new();
        let listener = stage.listen();
        stage.publish(&[exit("bad"), exit("good")]);
        let mut stream = stage.accept(&listener);
        let (number, _) = stage.take(&mut stream);
        answer(&mut stream, number, PASSING[3]);
        for _ in 0..TRIES {
            let (number, _) = stage.take(&mut stream);
            answer(&mut stream, number, 3);
        }
        assert_eq!(stage.serve(&mut stream, 1), ["good"]);
    }

    #[test]
    fn a_containerd_that_says_nothing_is_given_up_and_tried_again() {
        let mut stage = Stage::new();
        let listener = stage.listen();
        stage.publish(&[exit("1")]);
        let mut stream = stage.accept(&listener);
        stage.take(&mut stream);
        if let Some(link) = &mut stage.publisher.link {
            link.deadline = Some(Instant::now());
        }
        let mut stream = stage.accept(&listener);
        assert_eq!(stage.serve(&mut stream, 1), ["1"]);
    }

    #[test]
    fn too_many_events_leave_the_ends() {
        let mut stage = Stage::new();
        stage.publish(&[exit("first"), oom("a"), oom("a"), oom("b"), other("c")]);
        assert_eq!(
            stage.publisher.waiting.len(),
            4,
            "one word of each container's memory"
        );
        for number in 0..KEPT {
            stage.publish(&[exit(&number.to_string())]);
        }
        let waiting = &stage.publisher.waiting;
        assert_eq!(waiting.len(), KEPT);
        assert!(waiting.iter().all(|waiting| waiting.event.is_an_end()));
        assert_eq!(waiting[0].event, exit("first"), "it may be on its way");
        assert_eq!(waiting[1].event, exit("1"));
        assert_eq!(waiting[KEPT - 1].event, exit(&(KEPT - 1).to_string()));
    }
}
