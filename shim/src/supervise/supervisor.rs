//! The loop: everything that is supervised, every call of the runtime that is under way, and the
//! one place where all of that is waited for.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{
    Pid, WaitId, WaitIdOptions, WaitOptions, set_child_subreaper, waitid, waitpid,
};
use rustix::termios::Winsize;

use super::birth::{Labour, Progress};
use super::call::Call;
use super::poller::{Event, Interest, Owner, Part, Poller, Token};
use super::process::Process;
use super::{
    Birth, CallKey, ContainerInput, Failure, Front, Log, ProcessKey, Refusal, Runtime, Source,
};
use crate::sys::{self, SignalFd};

/// After how long without an event buffers are given back.
const IDLE: Duration = Duration::from_secs(1);

/// Everything that is supervised.
#[derive(Debug)]
pub struct Supervisor {
    poller: Poller,
    signals: SignalFd,
    processes: BTreeMap<u32, Process>,
    births: BTreeMap<u32, Labour>,
    calls: BTreeMap<u32, Call>,
    /// Births and calls that failed before they began, to be told of by the loop.
    stillborn: Vec<Stillborn>,
    last_key: u32,
    buffer: Vec<u8>,
}

#[derive(Debug)]
enum Stillborn {
    Process(ProcessKey, Refusal),
    Call(CallKey, Failure),
}

impl Supervisor {
    /// Makes this process the reaper of all its descendants (prctl(2), `PR_SET_CHILD_SUBREAPER`).
    /// `signals` are blocked, and told to the front when they come.
    pub fn new(signals: &[i32]) -> Result<Self> {
        set_child_subreaper(Some(rustix::process::getpid()))
            .context("prctl(PR_SET_CHILD_SUBREAPER)")?;
        let poller = Poller::new()?;
        let signals = SignalFd::new(&[signals, &[libc::SIGCHLD]].concat()).context("signalfd")?;
        poller.add(&signals, Token::SIGNALS, Interest::IN)?;
        Ok(Supervisor {
            poller,
            signals,
            processes: BTreeMap::new(),
            births: BTreeMap::new(),
            calls: BTreeMap::new(),
            stillborn: Vec::new(),
            last_key: 0,
            buffer: Vec::new(),
        })
    }

    /// Where the front has its own descriptors watched.
    pub fn poller(&self) -> &Poller {
        &self.poller
    }

    /// Has the runtime make a process; [`Front::born`] is told what came of it.
    pub fn give_birth(&mut self, birth: Birth) -> ProcessKey {
        let key = ProcessKey(self.next_key());
        let outcome =
            Labour::begin(key, birth).and_then(|labour| match labour.register(key, &self.poller) {
                Ok(()) => Ok(labour),
                Err(error) => {
                    labour.call.abandon();
                    Err(Refusal::new(format!("{error:#}")))
                }
            });
        match outcome {
            Ok(labour) => {
                self.births.insert(key.0, labour);
            }
            Err(refusal) => self.stillborn.push(Stillborn::Process(key, refusal)),
        }
        key
    }

    /// Kills a runtime that is making a process; what it leaves is removed, and [`Front::born`]
    /// told of the refusal. Without effect once the process is there.
    pub fn give_up(&mut self, key: ProcessKey, why: &str) {
        if let Some(labour) = self.births.get_mut(&key.0) {
            labour.give_up(why);
        }
    }

    /// Calls the runtime with a verb whose streams are none of the container's; [`Front::called`]
    /// is told what came of it. Its standard output is kept if `wants_output`.
    pub fn call(
        &mut self,
        runtime: &Runtime,
        verb: &str,
        arguments: &[&OsStr],
        wants_output: bool,
        patience: Option<Duration>,
    ) -> CallKey {
        let key = CallKey(self.next_key());
        let outcome = runtime
            .call(verb, arguments, wants_output, patience)
            .and_then(|call| match call.register(key.0, &self.poller) {
                Ok(()) => Ok(call),
                Err(error) => {
                    call.abandon();
                    Err(Failure {
                        message: format!("{error:#}"),
                        killed: true,
                    })
                }
            });
        match outcome {
            Ok(call) => {
                self.calls.insert(key.0, call);
            }
            Err(failure) => self.stillborn.push(Stillborn::Call(key, failure)),
        }
        key
    }

    /// Kills the runtime of a call that is under way.
    pub fn interrupt(&mut self, key: CallKey, why: &str) {
        if let Some(call) = self.calls.get_mut(&key.0) {
            call.interrupt(why);
        }
    }

    /// The process's id, as the host counts.
    pub fn pid(&self, key: ProcessKey) -> Option<Pid> {
        self.processes.get(&key.0).map(|process| process.pid)
    }

    /// How many bytes have come out of the process: stdout, stderr.
    pub fn written(&self, key: ProcessKey) -> [u64; 2] {
        self.processes
            .get(&key.0)
            .map_or([0; 2], |process| process.written)
    }

    /// What may be done to a process, together with the poller.
    pub fn handle(&mut self, key: ProcessKey) -> Option<(&Poller, Handle<'_>)> {
        let process = self.processes.get_mut(&key.0)?;
        let handle = Handle {
            input: &mut process.input,
            pidfd: process.pidfd.as_fd(),
            console: process
                .console
                .as_ref()
                .map(|console| console.master.as_fd()),
        };
        Some((&self.poller, handle))
    }

    /// The process's log, if it has one.
    pub fn log(&mut self, key: ProcessKey) -> Option<&mut Log> {
        self.processes.get_mut(&key.0)?.log.as_mut()
    }

    /// Takes the log away from a process, for the next one.
    pub fn take_log(&mut self, key: ProcessKey) -> Option<Log> {
        self.processes.get_mut(&key.0)?.log.take()
    }

    /// A process that has ended may have left its streams to others, which never end them: after
    /// `patience` what they hold is read a last time and given up. Until this is called it is
    /// waited for.
    pub fn listen_for(&mut self, key: ProcessKey, patience: Duration) {
        if let Some(process) = self.processes.get_mut(&key.0) {
            process.listen_until(Instant::now() + patience);
        }
    }

    /// Closes all that is known of a process.
    pub fn forget(&mut self, key: ProcessKey) -> Result<()> {
        match self.processes.remove(&key.0) {
            Some(process) => process.unregister(&self.poller),
            None => Ok(()),
        }
    }

    fn next_key(&mut self) -> u32 {
        // Never used again, so that what is still on its way for an old one finds nobody.
        self.last_key += 1;
        self.last_key
    }

    /// Supervises until the front is done.
    pub fn run<F: Front>(&mut self, front: &mut F) -> Result<()> {
        let mut events = Vec::new();
        let mut resident = true;
        let mut sleeps = false;
        loop {
            self.tell_of_stillborn(front)?;
            self.settle(front)?;
            if front.is_done() {
                return Ok(());
            }
            if !self.stillborn.is_empty() {
                continue;
            }
            let timeout = self.timeout(front, resident);
            if sleeps {
                // Only here: what is executed after it becomes resident again, 64 kB at each place.
                sys::release_code();
            }
            self.poller.wait(timeout, &mut events)?;
            sleeps = events.is_empty() && resident && timeout == Some(IDLE);
            if sleeps {
                self.release();
                resident = false;
            }
            resident |= !events.is_empty();
            for event in events.drain(..) {
                self.handle_event(event, front)?;
            }
            self.keep_time(front)?;
        }
    }

    fn tell_of_stillborn<F: Front>(&mut self, front: &mut F) -> Result<()> {
        for stillborn in std::mem::take(&mut self.stillborn) {
            match stillborn {
                Stillborn::Process(key, refusal) => front.born(key, Err(refusal), self)?,
                Stillborn::Call(key, failure) => front.called(key, Err(failure), self)?,
            }
        }
        Ok(())
    }

    /// After what has happened: what is watched now, which streams are given up, whose end is known.
    fn settle<F: Front>(&mut self, front: &mut F) -> Result<()> {
        let mut drained = Vec::new();
        for (&key, process) in &mut self.processes {
            let key = ProcessKey(key);
            let behind = front.holds_back(key);
            process.abandon_held_streams(&mut self.buffer, behind, front, &self.poller)?;
            process.watch_outputs(front.holds_back(key), &self.poller)?;
            drained.extend(process.drained().map(|troubles| (key, troubles)));
        }
        for (key, troubles) in drained {
            front.drained(key, troubles, self)?;
        }
        Ok(())
    }

    fn handle_event<F: Front>(&mut self, event: Event, front: &mut F) -> Result<()> {
        match event.token.owner() {
            Owner::Front => front.ready(event, self),
            Owner::Signals => self.take_signals(front),
            Owner::Core(key, Part::Call) => self.listen(key, front),
            Owner::Core(key, Part::Process) => self.reap(key, front),
            Owner::Core(key, Part::Stdout | Part::StdoutSink) => {
                self.read(key, Source::Stdout, front)
            }
            Owner::Core(key, Part::Stderr | Part::StderrSink) => {
                self.read(key, Source::Stderr, front)
            }
            Owner::Core(key, Part::Input | Part::InputSource) => {
                let Some(process) = self.processes.get_mut(&key) else {
                    return Ok(());
                };
                if process.feed(&self.poller) {
                    return Ok(());
                }
                front.input_wanted(ProcessKey(key), self)
            }
        }
    }

    fn read<F: Front>(&mut self, key: u32, source: Source, front: &mut F) -> Result<()> {
        let Some(process) = self.processes.get_mut(&key) else {
            return Ok(());
        };
        process
            .read(source, &mut self.buffer, front, &self.poller)
            .map(|_| ())
    }

    /// The runtime has said something, or has ended.
    fn listen<F: Front>(&mut self, key: u32, front: &mut F) -> Result<()> {
        if let Some(call) = self.calls.get_mut(&key) {
            if call.listen(&self.poller)?
                && let Some(call) = self.calls.remove(&key)
            {
                let outcome = call.conclude(&self.poller)?.outcome;
                front.called(CallKey(key), outcome, self)?;
            }
            return Ok(());
        }
        let Some(labour) = self.births.get_mut(&key) else {
            return Ok(());
        };
        if labour.listen(&self.poller)?
            && let Some(labour) = self.births.remove(&key)
        {
            self.advance(ProcessKey(key), labour, front)?;
            // What ended meanwhile may have been the process that was being born.
            self.reap_orphans(front)?;
        }
        Ok(())
    }

    fn advance<F: Front>(&mut self, key: ProcessKey, labour: Labour, front: &mut F) -> Result<()> {
        match labour.advance(key, &self.poller)? {
            Progress::Goes(labour) => match labour.register(key, &self.poller) {
                Ok(()) => {
                    self.births.insert(key.0, *labour);
                    Ok(())
                }
                Err(error) => {
                    labour.call.abandon();
                    let refusal = Refusal::new(format!("{error:#}"));
                    front.born(key, Err(refusal), self)
                }
            },
            Progress::Refused(refusal) => front.born(key, Err(refusal), self),
            Progress::Done(process, born) => {
                self.processes.insert(key.0, *process);
                front.born(key, Ok(born), self)
            }
        }
    }

    fn take_signals<F: Front>(&mut self, front: &mut F) -> Result<()> {
        while let Some(signal) = self.signals.next() {
            if signal == libc::SIGCHLD {
                self.reap_orphans(front)?;
            } else {
                front.signalled(signal, self)?;
            }
        }
        Ok(())
    }

    fn reap<F: Front>(&mut self, key: u32, front: &mut F) -> Result<()> {
        let Some(process) = self.processes.get_mut(&key) else {
            return Ok(());
        };
        match process.reap(&self.poller)? {
            Some(exit) => front.exited(ProcessKey(key), exit, self),
            None => Ok(()),
        }
    }

    /// As subreaper we inherit whatever a container without a pid namespace of its own, or the
    /// runtime, leaves behind. Those whom we know have their own way to be reaped.
    fn reap_orphans<F: Front>(&mut self, front: &mut F) -> Result<()> {
        while let Some(pid) = sys::ended_child() {
            if self.reap_child(pid, front)? {
                continue;
            }
            // It stands before all others that have ended, until it is taken over.
            for other in ended_children() {
                self.reap_child(other, front)?;
            }
            return Ok(());
        }
        Ok(())
    }

    /// False for one that is being born: its end is not to be lost.
    fn reap_child<F: Front>(&mut self, pid: Pid, front: &mut F) -> Result<bool> {
        let known = self
            .processes
            .iter()
            // One that has ended has given its number back.
            .find(|(_, process)| process.pid == pid && !process.has_ended());
        if let Some((&key, _)) = known {
            self.reap(key, front)?;
        } else if let Some(key) = self.caller(pid) {
            self.listen(key, front)?;
        } else if self.births.values().any(|labour| labour.makes(pid)) {
            return Ok(false);
        } else {
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
        Ok(true)
    }

    fn caller(&self, pid: Pid) -> Option<u32> {
        let calls = self.calls.iter().map(|(key, call)| (*key, call.pid));
        let births = self
            .births
            .iter()
            .map(|(key, labour)| (*key, labour.call.pid));
        calls
            .chain(births)
            .find(|(_, caller)| *caller == pid)
            .map(|(key, _)| key)
    }

    fn timeout<F: Front>(&self, front: &F, resident: bool) -> Option<Duration> {
        let processes = self
            .processes
            .iter()
            .filter_map(|(key, process)| process.due(front.holds_back(ProcessKey(*key))));
        let calls = self.calls.values().filter_map(Call::deadline);
        let births = self
            .births
            .values()
            .filter_map(|labour| labour.call.deadline());
        let due = processes
            .chain(calls)
            .chain(births)
            .chain(front.next_alarm())
            .min();
        let due = due.map(|due| due.saturating_duration_since(Instant::now()));
        due.into_iter().chain(resident.then_some(IDLE)).min()
    }

    fn keep_time<F: Front>(&mut self, front: &mut F) -> Result<()> {
        for process in self.processes.values_mut() {
            process.retry(&mut self.buffer, front, &self.poller)?;
        }
        for call in self.calls.values_mut() {
            call.check_patience();
        }
        for labour in self.births.values_mut() {
            labour.call.check_patience();
        }
        if front.next_alarm().is_some_and(|due| due <= Instant::now()) {
            front.alarm(self)?;
        }
        Ok(())
    }

    fn release(&mut self) {
        self.buffer = Vec::new();
        for process in self.processes.values_mut() {
            process.release();
        }
        sys::release_memory();
        sys::release_stack();
    }
}

/// All children of ours that have ended, where the kernel lists children (`CONFIG_PROC_CHILDREN`).
fn ended_children() -> Vec<Pid> {
    // Those that we inherit are the first thread's.
    let list = format!("/proc/self/task/{}/children", rustix::process::getpid());
    let listed = std::fs::read_to_string(list).unwrap_or_default();
    let pids = listed.split_ascii_whitespace();
    let pids = pids.filter_map(|pid| pid.parse().ok().and_then(Pid::from_raw));
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    pids.filter(|pid| matches!(waitid(WaitId::Pid(*pid), look), Ok(Some(_))))
        .collect()
}

/// What may be done to a process.
#[derive(Debug)]
pub struct Handle<'a> {
    /// Its standard input.
    pub input: &'a mut ContainerInput,
    pidfd: BorrowedFd<'a>,
    console: Option<BorrowedFd<'a>>,
}

impl Handle<'_> {
    /// Sends it a signal; without effect once it has ended.
    pub fn signal(&self, signal: i32) {
        // ESRCH: it has ended; EINVAL: no such signal. Neither is the supervisor's trouble.
        let _ = sys::pidfd_send_signal(self.pidfd, signal);
    }

    /// Sets the size of its terminal, if it has one.
    pub fn resize(&self, size: Winsize) {
        if let Some(console) = self.console {
            let _ = rustix::termios::tcsetwinsize(console, size);
        }
    }
}
