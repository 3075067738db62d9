//! The supervisor's process: what `run` leaves behind. It joins the core with the record, the log
//! and the attach socket.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};
use rustix::process::{chdir, getpid, setsid};
use rustix::termios::Winsize;

use crate::attach::server::{AttachServer, STARTER, Starter};
use crate::record::{Entry, Record, State, Status};
use crate::supervise::{
    Birth, Born, CallKey, Descent, Event, Exit, Failure, Front, Input, Log, Output, PATIENCE,
    Poller, ProcessKey, Refusal, Said, Source, Supervisor,
};
use crate::sys;

/// Signals that the supervisor passes on to its container.
const PASSED_ON: [i32; 6] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
];
/// How long a stream that someone outside the container holds open is waited for, after the
/// container has ended and been deleted.
const DRAIN: Duration = Duration::from_secs(2);

/// All that the supervisor needs to know.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) record: Record,
    /// Held by being open.
    pub(super) lock: File,
    pub(super) state: State,
    pub(super) log: Option<Log>,
    pub(super) terminal: Option<Winsize>,
    pub(super) stdin: bool,
    pub(super) keep: bool,
    pub(super) remove: bool,
    pub(super) detached: bool,
}

/// Supervises until all is over; returns the status for `exit`. `blocked` are the signals that our
/// parent had blocked.
pub(super) fn supervise(daemon: Daemon, starter: OwnedFd, blocked: &[i32]) -> i32 {
    let Daemon {
        record,
        lock,
        state,
        log,
        terminal,
        stdin,
        keep,
        remove,
        detached,
    } = daemon;
    let created_logs: Vec<PathBuf> = log
        .iter()
        .flat_map(Log::created)
        .map(Path::to_owned)
        .collect();
    let starter = Starter {
        socket: starter,
        stays: !detached,
    };
    let mut container = Container {
        server: AttachServer::new(starter, Entry { record, state }),
        process: None,
        stage: Stage::Creating,
        warnings: String::new(),
        exit: None,
        drained: false,
        keep,
        troubles: Vec::new(),
    };
    let outcome = settle(blocked)
        .and_then(|()| Supervisor::new(&PASSED_ON))
        .and_then(|mut core| {
            container.create(log, terminal, stdin, &mut core)?;
            core.run(&mut container)
        });
    let Container {
        mut server,
        stage,
        exit,
        troubles,
        ..
    } = container;
    let refusal = match (stage, exit, outcome) {
        (Stage::Refused(message), ..) => message,
        (_, Some(exit), Ok(())) => {
            server.entry.conclude(troubles, remove);
            server.finish(exit.status);
            drop(lock);
            return 0;
        }
        (_, _, outcome) if server.entry.state.status == Status::Creating => {
            let why = outcome.err().map(|error| format!("{error:#}"));
            why.unwrap_or_else(|| "the container did not start".to_owned())
        }
        // The supervisor itself is in trouble. The container lives; rm --force ends it.
        _ => return i32::from(super::FAILED),
    };
    let mut message = refusal;
    if let Err(error) = forget(&server.entry.record, &created_logs) {
        message = format!("{message}; and then {error:#}");
    }
    server.refused(&message);
    i32::from(super::FAILED)
}

/// A session of our own, at `/`, with nothing of the caller's open.
fn settle(blocked: &[i32]) -> Result<()> {
    setsid().context("setsid")?;
    chdir("/").context("chdir(/)")?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .context("opening /dev/null")?;
    rustix::stdio::dup2_stdin(&null).context("dup2")?;
    rustix::stdio::dup2_stdout(&null).context("dup2")?;
    rustix::stdio::dup2_stderr(&null).context("dup2")?;
    let unwanted: Vec<i32> = blocked
        .iter()
        .copied()
        .filter(|signal| !PASSED_ON.contains(signal))
        .collect();
    sys::unblock_signals(&unwanted).context("sigprocmask")
}

/// One container, as a person sees it.
struct Container {
    server: AttachServer,
    process: Option<ProcessKey>,
    stage: Stage,
    /// What the runtime said although it succeeded.
    warnings: String,
    exit: Option<Exit>,
    drained: bool,
    keep: bool,
    troubles: Vec<String>,
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
    /// There is none, for this reason.
    Refused(String),
}

impl Container {
    fn create(
        &mut self,
        log: Option<Log>,
        terminal: Option<Winsize>,
        stdin: bool,
        core: &mut Supervisor,
    ) -> Result<()> {
        let entry = &mut self.server.entry;
        entry.state.supervisor_pid = Some(getpid().as_raw_nonzero().get());
        entry.write()?;
        let directory = entry.record.directory().to_owned();
        let state = &entry.state;
        let birth = Birth {
            runtime: state.runtime.clone(),
            descent: Descent::Create(state.bundle.clone()),
            id: state.id.clone(),
            options: Vec::new(),
            pid_file: directory.join("init.pid"),
            directory: directory.clone(),
            terminal,
            stdin: if stdin { Input::Front } else { Input::Null },
            stdout: Output::Front,
            stderr: Output::Front,
            log,
            patience: None,
        };
        self.server.listen_in(&directory)?;
        self.server.watch_starter(core.poller())?;
        self.process = Some(core.give_birth(birth));
        Ok(())
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

    fn is_before_start(&self) -> bool {
        !matches!(
            self.stage,
            Stage::Running | Stage::Deleting(_) | Stage::Deleted
        )
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
        let state = &mut self.server.entry.state;
        state.status = Status::Running;
        state.pid = pid.map(|pid| pid.as_raw_nonzero().get());
        state.started = Some(Timestamp::now());
        if let Err(error) = self.server.entry.write() {
            // The record can't be kept, which is the worse of two troubles.
            self.server.entry.state.status = Status::Creating;
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
        self.server.started(&warnings, core.poller())?;
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
        self.server.exited(exit);
        self.stage = if self.keep {
            self.deleted(core)
        } else {
            Stage::Deleting(self.call("delete", &[], core))
        };
    }

    fn deleted(&mut self, core: &mut Supervisor) -> Stage {
        if let Some(process) = self.process {
            core.listen_for(process, DRAIN);
        }
        Stage::Deleted
    }
}

impl Front for Container {
    fn ready(&mut self, event: Event, core: &mut Supervisor) -> Result<()> {
        if self.is_before_start() && event.token == STARTER {
            self.give_up(core);
            // If that comes too late, then what it says is for the container.
            return self.server.leave_starter(core.poller());
        }
        let Some((poller, mut handle)) = self.process.and_then(|process| core.handle(process))
        else {
            return Ok(());
        };
        self.server.ready(event, poller, &mut handle)
    }

    fn born(
        &mut self,
        _key: ProcessKey,
        outcome: Result<Born, Refusal>,
        core: &mut Supervisor,
    ) -> Result<()> {
        self.stage = match outcome {
            Ok(born) => {
                self.warnings = born.warnings;
                Stage::Starting(self.call("start", &[], core))
            }
            Err(Refusal(why)) => Stage::Refused(why),
        };
        Ok(())
    }

    fn called(
        &mut self,
        key: CallKey,
        outcome: Result<Said, Failure>,
        core: &mut Supervisor,
    ) -> Result<()> {
        match (std::mem::replace(&mut self.stage, Stage::Running), outcome) {
            (Stage::Starting(call), Ok(said)) if call == key => self.started(&said, core)?,
            (Stage::Starting(call), Err(failure)) if call == key => {
                self.undo(failure.message, core);
            }
            (Stage::Undoing(call, message), Ok(_)) if call == key => {
                self.stage = Stage::Refused(message);
            }
            (Stage::Undoing(call, message), Err(failure)) if call == key => {
                self.stage = Stage::Refused(format!("{message}; and then {}", failure.message));
            }
            (Stage::Deleting(call), outcome) if call == key => {
                self.troubles
                    .extend(outcome.err().map(|failure| failure.message));
                self.stage = self.deleted(core);
            }
            (stage, _) => self.stage = stage,
        }
        Ok(())
    }

    fn output(
        &mut self,
        _key: ProcessKey,
        source: Source,
        bytes: &[u8],
        poller: &Poller,
    ) -> Result<()> {
        self.server.output(source, bytes, poller)
    }

    fn holds_back(&self, _key: ProcessKey) -> bool {
        self.is_before_start() || self.server.holds_back()
    }

    fn input_wanted(&mut self, key: ProcessKey, core: &mut Supervisor) -> Result<()> {
        match core.handle(key) {
            Some((poller, mut handle)) => self.server.input_wanted(poller, &mut handle),
            None => Ok(()),
        }
    }

    fn exited(&mut self, _key: ProcessKey, exit: Exit, core: &mut Supervisor) -> Result<()> {
        self.exit = Some(exit);
        // Otherwise the answer of `start` is waited for.
        if matches!(self.stage, Stage::Running) {
            self.ended(exit, core);
        }
        Ok(())
    }

    fn drained(
        &mut self,
        _key: ProcessKey,
        troubles: Vec<String>,
        _core: &mut Supervisor,
    ) -> Result<()> {
        self.troubles.extend(troubles);
        self.drained = true;
        Ok(())
    }

    fn signalled(&mut self, signal: i32, core: &mut Supervisor) -> Result<()> {
        if self.is_before_start() {
            self.give_up(core);
        } else if let Some((_, handle)) = self.process.and_then(|process| core.handle(process)) {
            handle.signal(signal);
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        match &self.stage {
            Stage::Refused(_) => true,
            Stage::Deleted => self.drained,
            _ => false,
        }
    }
}

/// Leaves nothing of a container that never ran.
fn forget(record: &Record, created_logs: &[PathBuf]) -> Result<()> {
    let is_empty = |log: &&PathBuf| log.metadata().is_ok_and(|log| log.len() == 0);
    for log in created_logs.iter().filter(is_empty) {
        std::fs::remove_file(log).with_context(|| format!("removing {}", log.display()))?;
    }
    record.remove()
}
