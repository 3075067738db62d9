//! The task service: what containerd asks of a shim, answered over the supervisor's core.
//!
//! Nothing here waits. A method is answered at once, or noted together with what it waits for: a
//! call of the runtime, the birth of a process, its end. What changes a container is done one after
//! the other, in the order in which it was asked for.

mod births;
mod checkpoint;
mod container;
mod create;
mod deadlines;
mod delete;
mod exec;
mod exits;
mod oom;
mod operations;
mod questions;
mod roots;
mod runtime_error;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::Result;
use prost::Message;

use self::births::Preparation;
use self::container::{Container, Process};
use self::oom::OomEar;
use self::operations::Undertaking;
use self::roots::Root;
use super::events::{Event as TaskEvent, Publisher};
use super::log::Log;
use super::messages::task::ShutdownRequest;
use super::messages::well_known::Empty;
use super::task_socket::TaskSocket;
use super::ttrpc::{Call, CallId, Code, Failure, Server};
use crate::cgroup::Hierarchies;
use crate::supervise::{
    Born, CallKey, Event, Exit, Failure as CallFailure, Front, Poller, ProcessKey, Refusal, Said,
    Source, Supervisor, Token,
};

/// The task service's names. Version 3 says the same in other words.
const SERVICES: [&str; 2] = ["containerd.task.v2.Task", "containerd.task.v3.Task"];
/// Where the numbers of our descriptors' tokens begin.
const CLIENTS: u64 = 1 << 32;
const EARS: u64 = 2 << 32;
/// The publisher's is one.
pub const PUBLISHER: u64 = 3 << 32;
/// A shim without a container that nobody talks to has been forgotten.
const UNCLAIMED: Duration = Duration::from_secs(60);
/// How long a shim that is to end waits for events to be taken.
const LAST_EVENTS: Duration = Duration::from_secs(5);
/// How long the runtime may take to make or start a process: hooks may download things, but
/// nothing that containerd starts is waited for so long.
const PATIENCE_WITH_BIRTH: Duration = Duration::from_secs(240);

/// What the shim was started with.
#[derive(Debug)]
pub struct Setting {
    /// The name that the shim was called by.
    pub program: String,
    /// Containerd's namespace.
    pub namespace: String,
    /// The socket that is served, if its file is ours to remove.
    pub socket: Option<TaskSocket>,
    /// Where what goes wrong is told.
    pub log: Log,
}

/// The service, and all that it knows.
#[derive(Debug)]
pub struct Service {
    setting: Setting,
    server: Server,
    publisher: Publisher,
    containers: BTreeMap<String, Container>,
    /// Whose process it is: the container and the exec.
    owners: BTreeMap<ProcessKey, (String, String)>,
    /// What the runtime was called for.
    undertakings: BTreeMap<CallKey, Undertaking>,
    /// Births that wait for a logger, by the number of its token.
    preparations: BTreeMap<u64, Preparation>,
    /// Containers whose root is being mounted, likewise.
    roots: BTreeMap<u64, Root>,
    /// Who hears of memory running out, by the number of its token.
    oom_ears: BTreeMap<u64, OomEar>,
    /// Where cgroups are, once there is a container.
    hierarchies: Option<Hierarchies>,
    /// The last number that was given to one of these.
    last_number: u64,
    /// Since when there is no container and nobody who could make one.
    unclaimed: Option<Instant>,
    /// The shim is to end, with events that are not taken by then.
    ending: Option<Instant>,
}

/// What comes of a method: an answer, or later one.
type Outcome = Result<Reply, Failure>;

/// An answer, or the promise of one.
#[derive(Debug)]
enum Reply {
    Now(Vec<u8>),
    Later,
}

impl Reply {
    fn with(message: &impl Message) -> Self {
        Reply::Now(message.encode_to_vec())
    }

    fn done() -> Self {
        Reply::with(&Empty {})
    }
}

impl Service {
    /// Serves `listener`; `publisher` is where events go.
    pub fn new(
        setting: Setting,
        listener: OwnedFd,
        publisher: Publisher,
        core: &Supervisor,
    ) -> Result<Self> {
        Ok(Service {
            setting,
            server: Server::new(listener, Token::of_front(CLIENTS), core.poller())?,
            publisher,
            containers: BTreeMap::new(),
            owners: BTreeMap::new(),
            undertakings: BTreeMap::new(),
            preparations: BTreeMap::new(),
            roots: BTreeMap::new(),
            oom_ears: BTreeMap::new(),
            hierarchies: None,
            last_number: 0,
            unclaimed: Some(Instant::now()),
            ending: None,
        })
    }

    fn serve(&mut self, call: Call, core: &mut Supervisor) {
        let outcome = if SERVICES.contains(&call.service.as_str()) {
            self.dispatch(&call, core)
        } else {
            let message = format!("service {}", call.service);
            Err(Failure::new(Code::Unimplemented, message))
        };
        match outcome {
            Ok(Reply::Later) => {}
            Ok(Reply::Now(payload)) => self.answer(call.id, Ok(payload), core),
            Err(failure) => self.answer(call.id, Err(failure), core),
        }
    }

    fn dispatch(&mut self, call: &Call, core: &mut Supervisor) -> Outcome {
        let (id, payload) = (call.id, call.payload.as_slice());
        match call.method.as_str() {
            "State" => self.state(&decode(payload)?),
            "Create" => self.create(id, decode(payload)?, core),
            "Start" => self.start(id, decode(payload)?, core),
            "Delete" => self.delete(id, decode(payload)?, core),
            "Pids" => self.pids(id, &decode(payload)?, core),
            "Pause" => self.pause(id, decode(payload)?, core),
            "Resume" => self.resume(id, decode(payload)?, core),
            "Checkpoint" => self.checkpoint(id, decode(payload)?, core),
            "Kill" => self.kill(id, &decode(payload)?, core),
            "Exec" => self.exec(decode(payload)?, core),
            "ResizePty" => self.resize(&decode(payload)?, core),
            "CloseIO" => self.close_io(&decode(payload)?),
            "Update" => self.update(id, decode(payload)?, core),
            "Wait" => self.wait(id, &decode(payload)?),
            "Stats" => self.stats(&decode(payload)?),
            "Connect" => Ok(self.connect(&decode(payload)?)),
            "Shutdown" => self.shutdown(&decode(payload)?, core),
            method => Err(Failure::new(
                Code::Unimplemented,
                format!("method {method}"),
            )),
        }
    }

    /// A container that containerd knows of.
    fn container(&self, id: &str) -> Result<&Container, Failure> {
        let container = self
            .containers
            .get(id)
            .filter(|container| container.is_created);
        container.ok_or_else(no_such_container)
    }

    fn container_mut(&mut self, id: &str) -> Result<&mut Container, Failure> {
        let container = self
            .containers
            .get_mut(id)
            .filter(|container| container.is_created);
        container.ok_or_else(no_such_container)
    }

    /// Any process, also of a container that containerd doesn't know of yet.
    fn process_mut(&mut self, id: &str, exec: &str) -> Option<&mut Process> {
        self.containers.get_mut(id)?.process_mut(exec).ok()
    }

    fn answer(&mut self, call: CallId, outcome: Result<Vec<u8>, Failure>, core: &Supervisor) {
        self.server.answer(call, outcome, core.poller());
    }

    fn publish(&mut self, event: &TaskEvent, core: &Supervisor) -> Result<()> {
        self.publisher.publish(event, core.poller())
    }

    /// Containers that are left are served on, and those that are being made: containerd asks this
    /// after each that it deletes, and after one that it could not create.
    fn shutdown(&mut self, request: &ShutdownRequest, core: &mut Supervisor) -> Outcome {
        let is_given_up =
            |container: &Container| !container.is_created && container.id == request.id;
        if self.containers.values().all(is_given_up) {
            self.end(core)?;
        }
        Ok(Reply::done())
    }

    /// Lets the shim end. Its socket goes first, so that no further container is sent to it.
    fn end(&mut self, core: &mut Supervisor) -> Result<()> {
        const WHY: &str = "the shim is to end";
        if self.ending.is_some() {
            return Ok(());
        }
        self.ending = Some(Instant::now() + LAST_EVENTS);
        // Without the lock: as long as we listen nobody puts another in its place.
        if let Some(socket) = &self.setting.socket
            && let Err(error) = socket.remove()
        {
            self.setting.log.warn(&format!("{error:#}"));
        }
        let containers = self.containers.values();
        let unmade = containers.filter(|container| !container.is_created);
        let unmade: Vec<String> = unmade.map(|container| container.id.clone()).collect();
        for id in unmade {
            self.give_birth_up(&id, "", WHY, core)?;
        }
        Ok(())
    }

    /// The number of a token for something new.
    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        EARS + self.last_number
    }

    /// Notes whether the shim has anybody to be there for.
    fn look_for_claims(&mut self) {
        let claimed = !self.containers.is_empty() || self.server.has_clients();
        self.unclaimed = match self.unclaimed {
            _ if claimed => None,
            None => Some(Instant::now()),
            since => since,
        };
    }
}

impl Front for Service {
    fn ready(&mut self, event: Event, core: &mut Supervisor) -> Result<()> {
        let number = event.token.number();
        if number >= PUBLISHER {
            return self.publisher.ready(event, core.poller());
        }
        if number >= EARS {
            if let Some(root) = self.roots.remove(&number) {
                return self.hear_of_root(root, core);
            }
            return match self.preparations.remove(&number) {
                Some(preparation) => self.hear_of_logger(preparation, core),
                None => self.hear_of_oom(number, core),
            };
        }
        for call in self.server.ready(event, core.poller())? {
            self.serve(call, core);
        }
        self.look_for_claims();
        Ok(())
    }

    fn born(
        &mut self,
        key: ProcessKey,
        outcome: Result<Born, Refusal>,
        core: &mut Supervisor,
    ) -> Result<()> {
        let Some((id, exec)) = self.owners.get(&key).cloned() else {
            return Ok(());
        };
        match exec.as_str() {
            "" => self.container_born(&id, outcome, core),
            exec => self.exec_born(&id, exec, outcome, core),
        }
    }

    fn called(
        &mut self,
        key: CallKey,
        outcome: Result<Said, CallFailure>,
        core: &mut Supervisor,
    ) -> Result<()> {
        match self.undertakings.remove(&key) {
            Some(undertaking) => self.conclude(undertaking, outcome, core),
            None => Ok(()),
        }
    }

    fn output(&mut self, _: ProcessKey, _: Source, _: &[u8], _: &Poller) -> Result<()> {
        // All output goes into descriptors.
        Ok(())
    }

    fn holds_back(&self, _: ProcessKey) -> bool {
        false
    }

    fn input_wanted(&mut self, _: ProcessKey, _: &mut Supervisor) -> Result<()> {
        // All input comes from descriptors.
        Ok(())
    }

    fn exited(&mut self, key: ProcessKey, exit: Exit, core: &mut Supervisor) -> Result<()> {
        self.note_exit(key, exit, core)
    }

    fn drained(
        &mut self,
        key: ProcessKey,
        troubles: Vec<String>,
        core: &mut Supervisor,
    ) -> Result<()> {
        self.note_drained(key, &troubles, core)
    }

    fn signalled(&mut self, signal: i32, core: &mut Supervisor) -> Result<()> {
        self.setting
            .log
            .debug(&format!("ending because of signal {signal}"));
        self.end(core)
    }

    fn next_alarm(&self) -> Option<Instant> {
        let containers = self.containers.values();
        let processes = containers.flat_map(Container::processes);
        let processes = processes.filter_map(|(_, process)| process.alarm());
        let unclaimed = self.unclaimed.filter(|_| self.ending.is_none());
        [
            self.server.next_alarm(),
            self.publisher.next_alarm(),
            unclaimed.map(|since| since + UNCLAIMED),
            self.ending,
        ]
        .into_iter()
        .flatten()
        .chain(processes)
        .min()
    }

    fn alarm(&mut self, core: &mut Supervisor) -> Result<()> {
        let now = Instant::now();
        let late = self.server.alarm(now, core.poller());
        self.give_up(&late, core)?;
        self.publisher.alarm(now, core.poller())?;
        self.look_at_processes(now, core)?;
        self.look_for_claims();
        if self.unclaimed.is_some_and(|since| since + UNCLAIMED <= now) {
            self.end(core)?;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        let Some(until) = self.ending else {
            return false;
        };
        let told = self.server.is_flushed() && self.publisher.is_empty();
        let undone = self
            .containers
            .values()
            .any(|container| !container.is_created);
        until <= Instant::now() || told && !undone
    }
}

fn decode<M: Message + Default>(payload: &[u8]) -> Result<M, Failure> {
    M::decode(payload).map_err(|error| {
        let message = format!("ttrpc: error unmarshalling payload: {error}");
        Failure::new(Code::InvalidArgument, message)
    })
}

fn no_such_container() -> Failure {
    Failure::new(Code::NotFound, "container not created")
}

fn wrong_state(message: impl Into<String>) -> Failure {
    Failure::new(Code::FailedPrecondition, message)
}
