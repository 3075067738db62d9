//! One container, as a person sees it: it is created, started, deleted when it has ended, and
//! perhaps started again. Joins the core with the record, the log and the attach socket.

use std::ffi::OsStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::{SignedDuration, Timestamp};
use rustix::process::getpid;
use rustix::termios::Winsize;
use serde::Serialize;

use super::health_checks::Checks;
use crate::attach::server::{AttachServer, STARTER};
use crate::cgroup::Cgroups;
use crate::health::Plan;
use crate::record::{Entry, State, Status};
use crate::restart::{Restarts, is_meant_to_end};
use crate::supervise::log::{Log, LogOptions, LogStatus};
use crate::supervise::oom::{News, OomWatch};
use crate::supervise::{
    Birth, Born, CallKey, Descent, Event, Exit, Failure, Front, Input, Output, PATIENCE, Poller,
    ProcessKey, Refusal, Said, Source, Supervisor,
};

/// How long a stream that someone outside the container holds open is waited for, after the
/// container has ended and been deleted.
const DRAIN: Duration = Duration::from_secs(2);
/// The status of a run that the runtime refused.
const REFUSED: i32 = 125;

/// The container's standard streams, and where they go.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) terminal: Option<Winsize>,
    pub(super) stdin: bool,
    /// While the container runs the core has it.
    pub(super) log: Option<Log>,
    /// How it can be opened again.
    pub(super) log_options: Option<LogOptions>,
}

/// How the supervision ended.
pub(super) enum Outcome {
    /// With the container; and what went wrong after that, a line each.
    Ended(Exit, Vec<String>),
    /// There never was one, for this reason.
    NeverRan(String),
    /// The supervisor itself is in trouble.
    Abandoned(String),
}

/// What is being supervised.
pub(super) struct Container {
    server: AttachServer,
    streams: Streams,
    keep: bool,
    stage: Stage,
    process: Option<ProcessKey>,
    /// What the runtime said although it succeeded.
    warnings: String,
    restarts: Restarts,
    /// Its program has run, perhaps not for the first time.
    has_run: bool,
    /// When this run began.
    began: Instant,
    oom: Option<OomWatch>,
    checks: Option<Checks>,
    /// How the run before this one ended.
    exit_before: Option<Exit>,
    /// How this run ended, and what comes then.
    exit: Option<Exit>,
    drained: bool,
    pause: Option<Duration>,
    troubles: Vec<String>,
    /// How many bytes came out of it in earlier runs.
    written: [u64; 2],
}

#[derive(Debug)]
enum Stage {
    Creating,
    Starting(CallKey),
    Running,
    /// It has ended, and the runtime deletes it.
    Deleting(CallKey),
    /// It has ended, and only its output is waited for.
    Deleted,
    /// It could not be started, for this reason, and what there is of it is being removed.
    Undoing(CallKey, String),
    /// There never was one, for this reason.
    Refused(String),
    /// It will be started again then.
    Pausing(Instant),
}

/// What `inspect` tells beyond the record.
#[derive(Debug, Serialize)]
struct Report {
    /// Bytes that came out of the container, in all of its runs.
    stdout_bytes: u64,
    stderr_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_state: Option<LogStatus>,
    /// Why the log could not be rotated, if it was to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    unrotated: Option<String>,
}

impl Container {
    pub(super) fn new(
        server: AttachServer,
        streams: Streams,
        keep: bool,
        health: Option<Plan>,
    ) -> Self {
        Container {
            restarts: Restarts::new(server.entry.state.restart),
            server,
            streams,
            keep,
            stage: Stage::Creating,
            process: None,
            warnings: String::new(),
            has_run: false,
            began: Instant::now(),
            oom: None,
            checks: health.map(Checks::new),
            exit_before: None,
            exit: None,
            drained: false,
            pause: None,
            troubles: Vec::new(),
            written: [0; 2],
        }
    }

    /// Lets clients come, and begins with the first run.
    pub(super) fn begin(&mut self, core: &mut Supervisor) -> Result<()> {
        let entry = &mut self.server.entry;
        entry.state.supervisor_pid = Some(getpid().as_raw_nonzero().get());
        entry.write()?;
        let directory = entry.record.directory().to_owned();
        self.server.listen_in(&directory)?;
        self.server.watch_starter(core.poller())?;
        self.create(core);
        Ok(())
    }

    /// What became of it, when the loop has ended with `outcome`.
    pub(super) fn conclude(self, outcome: Result<()>) -> (AttachServer, Outcome) {
        let why = match (self.stage, self.exit, outcome) {
            (Stage::Refused(why), ..) => return (self.server, Outcome::NeverRan(why)),
            (_, Some(exit), Ok(())) => {
                return (self.server, Outcome::Ended(exit, self.troubles));
            }
            (_, _, Err(error)) => format!("the supervisor failed: {error:#}"),
            (_, None, Ok(())) => "the container did not start".to_owned(),
        };
        if self.has_run {
            (self.server, Outcome::Abandoned(why))
        } else {
            (self.server, Outcome::NeverRan(why))
        }
    }

    fn create(&mut self, core: &mut Supervisor) {
        let entry = &self.server.entry;
        let directory = entry.record.directory().to_owned();
        let state = &entry.state;
        let birth = Birth {
            runtime: state.runtime.clone(),
            descent: Descent::Create(state.bundle.clone()),
            id: state.id.clone(),
            options: Vec::new(),
            pid_file: directory.join("init.pid"),
            directory,
            terminal: self.streams.terminal,
            stdin: if self.streams.stdin {
                Input::Front
            } else {
                Input::Null
            },
            stdout: Output::Front,
            stderr: Output::Front,
            log: self.streams.log.take(),
            owner: None,
            patience: None,
            listen_pid: false,
        };
        self.stage = Stage::Creating;
        self.process = Some(core.give_birth(birth));
    }

    /// Its starter still waits to hear whether there will be a container.
    fn is_first_attempt(&self) -> bool {
        !self.has_run && self.is_before_start()
    }

    fn is_before_start(&self) -> bool {
        !matches!(
            self.stage,
            Stage::Running | Stage::Deleting(_) | Stage::Deleted
        )
    }

    /// A signal, or a starter that goes away, ends the attempt.
    fn give_up(&mut self, core: &mut Supervisor) {
        let why = "its caller gave up";
        match (&self.stage, self.process) {
            (Stage::Creating, Some(process)) => core.give_up(process, why),
            (Stage::Starting(call), _) => core.interrupt(*call, why),
            _ => {}
        }
    }

    fn call(&self, verb: &str, options: &[&str], core: &mut Supervisor) -> CallKey {
        let State { runtime, id, .. } = &self.server.entry.state;
        let mut arguments: Vec<&OsStr> = options.iter().map(OsStr::new).collect();
        arguments.push(OsStr::new(id));
        let patience = (verb != "start").then_some(PATIENCE);
        core.call(runtime, verb, &arguments, false, patience)
    }

    fn started(&mut self, said: &Said, core: &mut Supervisor) -> Result<()> {
        let pid = self.process.and_then(|process| core.pid(process));
        let pid = pid.map(|pid| pid.as_raw_nonzero().get());
        let state = &mut self.server.entry.state;
        state.status = Status::Running;
        state.pid = pid;
        state.started = Some(Timestamp::now());
        state.next_start = None;
        if let Some(checks) = &mut self.checks {
            checks.begin(state);
        }
        if let Err(error) = self.server.entry.write() {
            // The record can't be kept, which is the worse of two troubles.
            self.undo(format!("{error:#}"), core);
            return Ok(());
        }
        let said = said.messages.trim();
        if !said.is_empty() {
            let separator = if self.warnings.is_empty() { "" } else { "\n" };
            self.warnings = format!("{}{separator}{said}", self.warnings);
        }
        self.stage = Stage::Running;
        let warnings = std::mem::take(&mut self.warnings);
        let was_restarted = std::mem::replace(&mut self.has_run, true);
        if !was_restarted {
            self.server.started(&warnings, core.poller());
        } else if let Some((poller, handle)) = self.process.and_then(|process| core.handle(process))
        {
            self.server.goes_on(poller, handle)?;
        }
        self.began = Instant::now();
        // One that has ended already is in no cgroup of its own any more.
        self.oom = pid
            .filter(|_| self.exit.is_none())
            .and_then(|pid| Cgroups::of(pid).ok())
            .and_then(|cgroups| OomWatch::start(&cgroups).ok().flatten());
        if let Some(exit) = self.exit {
            self.ended(exit, core);
        }
        Ok(())
    }

    fn undo(&mut self, message: String, core: &mut Supervisor) {
        let call = self.call("delete", &["--force"], core);
        self.stage = Stage::Undoing(call, message);
    }

    fn ended(&mut self, exit: Exit, core: &mut Supervisor) {
        if let Some(checks) = &mut self.checks {
            checks.end(core);
        }
        let news = self.oom.take().map(|mut oom| oom.news());
        self.server.entry.state.oom_killed = news == Some(News::OutOfMemory);
        self.note_end(exit);
        if self.keep {
            self.deleted(core);
        } else {
            self.stage = Stage::Deleting(self.call("delete", &[], core));
        }
    }

    /// Decides whether there will be a next run, and writes down how this one ended.
    fn note_end(&mut self, exit: Exit) {
        let ran = if self.has_run {
            self.began.elapsed()
        } else {
            Duration::ZERO
        };
        self.pause = if self.server.wishes.last {
            None
        } else {
            self.restarts.next(exit.status, ran)
        };
        let entry = &mut self.server.entry;
        let Some(pause) = self.pause else {
            return entry.note_exit(exit);
        };
        let state = &mut entry.state;
        state.status = Status::Restarting;
        state.pid = None;
        state.restarts = self.restarts.count();
        state.last_exit_status = Some(exit.status);
        state.last_exited = Some(exit.at);
        state.next_start = SignedDuration::try_from(pause)
            .ok()
            .map(|pause| exit.at + pause);
        self.write();
    }

    fn write(&mut self) {
        if let Err(error) = self.server.entry.write() {
            self.troubles.push(format!("{error:#}"));
        }
    }

    fn is_check(&self, key: ProcessKey) -> bool {
        self.checks.as_ref().is_some_and(|checks| checks.own(key))
    }

    /// The checks of its health have something to do, as `turn` says. What comes of it is written
    /// down, and may be the container's end.
    fn check_health(
        &mut self,
        core: &mut Supervisor,
        turn: impl FnOnce(&mut Checks, &mut Entry, &mut Supervisor) -> Result<bool>,
    ) -> Result<()> {
        let Some(checks) = &mut self.checks else {
            return Ok(());
        };
        let has_news = turn(checks, &mut self.server.entry, core)?;
        let is_condemned = has_news && checks.condemn(&self.server.entry.state);
        if has_news {
            self.write();
        }
        let process = self.process.filter(|_| is_condemned);
        if let Some((_, handle)) = process.and_then(|process| core.handle(process)) {
            handle.signal(libc::SIGKILL);
        }
        Ok(())
    }

    fn deleted(&mut self, core: &mut Supervisor) {
        self.stage = Stage::Deleted;
        if let Some(process) = self.process {
            core.listen_for(process, DRAIN);
        }
    }

    /// When it has been deleted and all of its output is where it belongs: begins the pause before
    /// the next run, if there is to be one.
    fn pause_if_all_is_over(&mut self, core: &mut Supervisor) -> Result<()> {
        if !self.drained || !matches!(self.stage, Stage::Deleted) {
            return Ok(());
        }
        let Some(pause) = self.pause else {
            return Ok(());
        };
        self.leave_process(core)?;
        self.server.entry.state.troubles = std::mem::take(&mut self.troubles);
        self.stage = Stage::Pausing(Instant::now() + pause);
        self.obey_if_last(core);
        Ok(())
    }

    fn leave_process(&mut self, core: &mut Supervisor) -> Result<()> {
        let Some(process) = self.process.take() else {
            return Ok(());
        };
        let written = core.written(process);
        self.written = [0, 1].map(|stream| self.written[stream] + written[stream]);
        self.streams.log = core.take_log(process);
        core.forget(process)
    }

    /// Gives up the next run, if someone has asked for that before it has begun.
    fn obey_if_last(&mut self, core: &mut Supervisor) {
        if !self.server.wishes.last {
            return;
        }
        match (&self.stage, self.exit) {
            (Stage::Pausing(_), Some(exit)) => {
                self.server.entry.note_exit(exit);
                self.stage = Stage::Deleted;
            }
            (Stage::Creating | Stage::Starting(_), _) if self.has_run => self.give_up(core),
            _ => {}
        }
    }

    fn run_again(&mut self, core: &mut Supervisor) {
        if let Some(size) = self.server.wishes.size
            && self.streams.terminal.is_some()
        {
            self.streams.terminal = Some(size);
        }
        let reopened = match (&mut self.streams.log, &self.streams.log_options) {
            (Some(log), _) => {
                log.apply_rate();
                Ok(())
            }
            // It went down with a run that the runtime refused.
            (log, Some(options)) => Log::open(options).map(|opened| *log = Some(opened)),
            (None, None) => Ok(()),
        };
        self.exit_before = self.exit.take();
        self.drained = false;
        match reopened {
            Ok(()) => self.create(core),
            Err(error) => self.failed_to_run(format!("{error:#}")),
        }
    }

    /// There is no container, or not again, for this reason.
    fn refused(&mut self, why: String, core: &mut Supervisor) -> Result<()> {
        if self.has_run {
            self.leave_process(core)?;
            self.failed_to_run(why);
        } else {
            self.stage = Stage::Refused(why);
        }
        Ok(())
    }

    /// Counts as a run that failed at once.
    fn failed_to_run(&mut self, why: String) {
        let now = Exit {
            status: REFUSED,
            at: Timestamp::now(),
        };
        // A run that was given up because someone wants no further run was none.
        let given_up = self.exit_before.filter(|_| self.server.wishes.last);
        let exit = given_up.unwrap_or(now);
        self.exit = Some(exit);
        self.drained = true;
        self.began = Instant::now();
        self.troubles = vec![why];
        self.server.entry.state.troubles = self.troubles.clone();
        self.note_end(exit);
        self.stage = match self.pause {
            Some(pause) => Stage::Pausing(Instant::now() + pause),
            None => Stage::Deleted,
        };
        if self.pause.is_some() {
            self.troubles.clear();
        }
    }

    fn report(&mut self, core: &mut Supervisor) -> Result<()> {
        let wants_rotation = std::mem::take(&mut self.server.wishes.rotate);
        let log = match self.process {
            Some(process) => core.log(process),
            None => self.streams.log.as_mut(),
        };
        // If that fails, the log's state says why.
        let unrotated = log
            .filter(|_| wants_rotation)
            .and_then(|log| log.rotate().err());
        let running = self.process.map_or([0; 2], |process| core.written(process));
        let log_state = match self.process {
            Some(process) => core.log(process).map(|log| log.status()),
            None => self.streams.log.as_ref().map(Log::status),
        };
        let report = Report {
            stdout_bytes: self.written[0] + running[0],
            stderr_bytes: self.written[1] + running[1],
            log_state,
            unrotated: unrotated.map(|error| format!("{error:#}")),
        };
        let json = serde_json::to_string(&report).context("the report")?;
        self.server.report(&json, core.poller());
        Ok(())
    }
}

impl Front for Container {
    fn ready(&mut self, event: Event, core: &mut Supervisor) -> Result<()> {
        if self.is_first_attempt() && event.token == STARTER {
            self.give_up(core);
            // If that comes too late, then what it says is for the container.
            return self.server.leave_starter(core.poller());
        }
        // What comes for one that has ended is for the next.
        let alive = self.process.filter(|_| self.exit.is_none());
        match alive.and_then(|process| core.handle(process)) {
            Some((poller, handle)) => self.server.ready(event, poller, &mut Some(handle))?,
            None => self.server.ready(event, core.poller(), &mut None)?,
        }
        if self.server.wishes.report {
            self.report(core)?;
        }
        self.obey_if_last(core);
        Ok(())
    }

    fn born(
        &mut self,
        key: ProcessKey,
        outcome: Result<Born, Refusal>,
        core: &mut Supervisor,
    ) -> Result<()> {
        if self.is_check(key) {
            return self.check_health(core, |checks, entry, core| {
                Ok(checks.born(outcome, &mut entry.state, core))
            });
        }
        match outcome {
            Ok(born) => {
                self.warnings = born.warnings;
                self.stage = Stage::Starting(self.call("start", &[], core));
                Ok(())
            }
            Err(Refusal { message: why, .. }) => self.refused(why, core),
        }
    }

    fn called(
        &mut self,
        key: CallKey,
        outcome: Result<Said, Failure>,
        core: &mut Supervisor,
    ) -> Result<()> {
        match (std::mem::replace(&mut self.stage, Stage::Running), outcome) {
            (Stage::Starting(call), Ok(said)) if call == key => self.started(&said, core),
            (Stage::Starting(call), Err(failure)) if call == key => {
                self.undo(failure.message, core);
                Ok(())
            }
            (Stage::Undoing(call, message), Ok(_)) if call == key => self.refused(message, core),
            (Stage::Undoing(call, message), Err(failure)) if call == key => {
                self.refused(format!("{message}; and then {}", failure.message), core)
            }
            (Stage::Deleting(call), outcome) if call == key => {
                self.troubles
                    .extend(outcome.err().map(|failure| failure.message));
                self.deleted(core);
                self.pause_if_all_is_over(core)
            }
            (stage, _) => {
                self.stage = stage;
                Ok(())
            }
        }
    }

    fn output(
        &mut self,
        key: ProcessKey,
        source: Source,
        bytes: &[u8],
        poller: &Poller,
    ) -> Result<()> {
        if let Some(checks) = self.checks.as_mut().filter(|checks| checks.own(key)) {
            checks.hear(bytes);
            return Ok(());
        }
        self.server.output(source, bytes, poller);
        Ok(())
    }

    fn holds_back(&self, key: ProcessKey) -> bool {
        !self.is_check(key) && (self.is_before_start() || self.server.holds_back())
    }

    fn input_wanted(&mut self, key: ProcessKey, core: &mut Supervisor) -> Result<()> {
        match core.handle(key) {
            Some((poller, handle)) => self.server.input_wanted(poller, &mut Some(handle)),
            None => Ok(()),
        }
    }

    fn exited(&mut self, key: ProcessKey, exit: Exit, core: &mut Supervisor) -> Result<()> {
        if let Some(checks) = self.checks.as_mut().filter(|checks| checks.own(key)) {
            checks.exited(exit, core);
            return Ok(());
        }
        self.exit = Some(exit);
        // Otherwise the answer of `start` is waited for.
        if matches!(self.stage, Stage::Running) {
            self.ended(exit, core);
        }
        Ok(())
    }

    fn drained(
        &mut self,
        key: ProcessKey,
        troubles: Vec<String>,
        core: &mut Supervisor,
    ) -> Result<()> {
        if self.is_check(key) {
            return self.check_health(core, |checks, entry, core| {
                checks.drained(&mut entry.state, core)
            });
        }
        self.troubles.extend(troubles);
        self.drained = true;
        self.pause_if_all_is_over(core)
    }

    fn signalled(&mut self, signal: i32, core: &mut Supervisor) -> Result<()> {
        if self.is_first_attempt() {
            self.give_up(core);
            return Ok(());
        }
        self.server.wishes.last |= is_meant_to_end(signal);
        if let Some((_, handle)) = self.process.and_then(|process| core.handle(process)) {
            handle.signal(signal);
        }
        self.obey_if_last(core);
        Ok(())
    }

    fn next_alarm(&self) -> Option<Instant> {
        let pause = match self.stage {
            Stage::Pausing(until) => Some(until),
            _ => None,
        };
        let check = self.checks.as_ref().and_then(Checks::next_alarm);
        let server = self.server.next_alarm();
        [pause, check, server].into_iter().flatten().min()
    }

    fn alarm(&mut self, core: &mut Supervisor) -> Result<()> {
        self.server.alarm(core.poller());
        self.check_health(core, |checks, entry, core| Ok(checks.alarm(entry, core)))?;
        if matches!(self.stage, Stage::Pausing(until) if until <= Instant::now()) {
            self.run_again(core);
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        match &self.stage {
            Stage::Refused(_) => true,
            Stage::Deleted => self.drained && self.checks.as_ref().is_none_or(Checks::rest),
            _ => false,
        }
    }
}
