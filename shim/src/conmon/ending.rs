//! After the container: exit files, the caller's last word, the exit command, and clients that are
//! still reading.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, PidfdFlags, pidfd_open, set_child_subreaper};

use super::FAILED;
use super::attach::{AttachSocket, Input};
use super::exit_file;
use super::options::Options;
use super::parent_pipe::{Inherited, ParentPipe};
use super::report::{Level, Report};
use super::supervision::Outcome;
use crate::supervise::{Interest, Poller, Token};
use crate::sys;

/// What is said of a process that took too long.
const TIMED_OUT: &str = "command timed out";

const EXIT_COMMAND: Token = Token::of_front(1);

/// Tells everyone, and returns our own exit status.
pub fn conclude(
    options: &Options,
    report: &Report,
    outcome: Outcome,
    mut attach: Option<AttachSocket>,
    mut sync: ParentPipe,
    inherited: Inherited,
) -> u8 {
    // What podman has left open keeps ports busy: they are to be free when the exit is known.
    drop(inherited);
    // Who hears of the exit may run the container again: its socket and link must not be removed.
    if let Some(attach) = &mut attach
        && let Err(error) = attach.close()
    {
        report.warn(&format!("{error:#}"));
    }
    let status = match outcome {
        Outcome::NeverRan => FAILED,
        Outcome::Exited(status) => tell(options, report, &mut sync, status, ""),
        Outcome::TimedOut => tell(options, report, &mut sync, -1, TIMED_OUT),
    };
    drop(sync);
    let mut last = LastThings::new(options, report, attach);
    if let Err(error) = last.see_through() {
        report.warn(&format!("{error:#}"));
        last.run_command_alone();
    }
    if last.command_status == 0 {
        status
    } else {
        last.command_status
    }
}

fn tell(
    options: &Options,
    report: &Report,
    sync: &mut ParentPipe,
    status: i32,
    message: &str,
) -> u8 {
    let persistent = options.persist_dir.as_ref();
    let persistent = persistent.map(|directory| Path::new(directory).join("exit"));
    let watched = options.exit_dir.as_ref();
    let watched = watched.map(|directory| Path::new(directory).join(&options.cid));
    let mut own_status = status.to_le_bytes()[0];
    for path in [persistent, watched].into_iter().flatten() {
        if let Err(error) = exit_file::write(&path, &status.to_string()) {
            report.say(Level::Error, &format!("{error:#}"));
            own_status = FAILED;
        }
    }
    if options.exec {
        sync.say(status, message);
    }
    own_status
}

/// What this process still waits for.
struct LastThings<'a> {
    options: &'a Options,
    report: &'a Report,
    /// When the exit command is to begin.
    command_due: Option<Instant>,
    command: Option<Child>,
    /// Tells the command's end.
    command_pidfd: Option<OwnedFd>,
    command_status: u8,
    /// Those who haven't read everything yet.
    attach: Option<AttachSocket>,
}

impl<'a> LastThings<'a> {
    fn new(options: &'a Options, report: &'a Report, attach: Option<AttachSocket>) -> Self {
        let delay = Duration::from_secs(options.exit_delay);
        LastThings {
            options,
            report,
            command_due: options
                .exit_command
                .is_some()
                .then(|| Instant::now() + delay),
            command: None,
            command_pidfd: None,
            command_status: 0,
            attach,
        }
    }

    fn see_through(&mut self) -> Result<()> {
        // The exit command leaves children behind (podman's cleanup does); they aren't ours.
        let _ = set_child_subreaper(None);
        let poller = Poller::new()?;
        self.attended(|attach| attach.keep_only_those_behind(&poller));
        let mut events = Vec::new();
        let mut released = false;
        loop {
            if self.command_due.is_some_and(|due| due <= Instant::now()) {
                self.command_due = None;
                self.start_command();
                self.watch_command(&poller)?;
            }
            let behind = self.attach.as_ref().is_some_and(AttachSocket::is_behind);
            if !behind {
                self.attach = None;
            }
            if !behind && self.command.is_none() && self.command_due.is_none() {
                return Ok(());
            }
            if !std::mem::replace(&mut released, true) {
                sys::release_memory();
            }
            let until = |due: Instant| due.saturating_duration_since(Instant::now());
            poller.wait(self.command_due.map(until), &mut events)?;
            for event in events.drain(..) {
                if event.token == EXIT_COMMAND {
                    self.reap_command(&poller)?;
                } else {
                    self.attended(|attach| attach.ready(event, &poller, &mut NoContainer));
                }
            }
        }
    }

    /// Those who still read are dropped if they can't be served: the exit command comes first.
    fn attended(&mut self, what: impl FnOnce(&mut AttachSocket)) {
        if let Some(attach) = &mut self.attach {
            what(attach);
            for trouble in attach.take_troubles() {
                self.report.warn(&trouble);
            }
        }
    }

    /// What is left to do when nothing can be waited for but a process.
    fn run_command_alone(&mut self) {
        self.attach = None;
        if let Some(due) = self.command_due.take() {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            self.start_command();
        }
        self.await_command();
    }

    fn start_command(&mut self) {
        let Some(program) = &self.options.exit_command else {
            return;
        };
        let mut command = Command::new(program);
        command.args(&self.options.exit_command_args);
        sys::with_clean_settings(&mut command);
        match command.spawn() {
            Ok(child) => self.command = Some(child),
            Err(error) => {
                let said = format!("running the exit command {program}: {error}");
                self.report.say(Level::Error, &said);
                self.command_status = FAILED;
            }
        }
    }

    fn watch_command(&mut self, poller: &Poller) -> Result<()> {
        let Some(child) = &self.command else {
            return Ok(());
        };
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.context("the exit command's process id is out of range")?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).context("pidfd_open(exit command)")?;
        poller.add(pidfd.as_fd(), EXIT_COMMAND, Interest::IN)?;
        self.command_pidfd = Some(pidfd);
        Ok(())
    }

    fn reap_command(&mut self, poller: &Poller) -> Result<()> {
        if let Some(pidfd) = self.command_pidfd.take() {
            poller.remove(&pidfd)?;
        }
        self.await_command();
        Ok(())
    }

    fn await_command(&mut self) {
        let Some(mut child) = self.command.take() else {
            return;
        };
        let status = match child.wait() {
            Ok(status) => status.code(),
            Err(error) => {
                let said = format!("waiting for the exit command: {error}");
                self.report.say(Level::Error, &said);
                None
            }
        };
        self.command_status = status.map_or(FAILED, |code| code.to_le_bytes()[0]);
    }
}

/// There is nobody to hear what clients still send.
struct NoContainer;

impl Input for NoContainer {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        Ok(bytes.len())
    }

    fn end(&mut self) -> Result<()> {
        Ok(())
    }
}
