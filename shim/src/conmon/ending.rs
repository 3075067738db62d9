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
    attach: Option<AttachSocket>,
    mut sync: ParentPipe,
    inherited: Inherited,
) -> u8 {
    // What podman has left open keeps ports busy: they are to be free when the exit is known.
    drop(inherited);
    let status = match outcome {
        Outcome::NeverRan => FAILED,
        Outcome::Exited(status) => tell(options, report, &mut sync, status, ""),
        Outcome::TimedOut => tell(options, report, &mut sync, -1, TIMED_OUT),
    };
    drop(sync);
    let mut last = LastThings::new(options, report, attach);
    if let Err(error) = last.see_through() {
        report.say(Level::Error, &format!("{error:#}"));
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
    command: Option<(Child, OwnedFd)>,
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
            command_status: 0,
            attach,
        }
    }

    fn see_through(&mut self) -> Result<()> {
        let poller = Poller::new()?;
        if let Some(attach) = &mut self.attach {
            attach.keep_only_those_behind(&poller)?;
        }
        // The exit command leaves children behind (podman's cleanup does); they aren't ours.
        let _ = set_child_subreaper(None);
        let mut events = Vec::new();
        let mut released = false;
        loop {
            if self.command_due.is_some_and(|due| due <= Instant::now()) {
                self.command_due = None;
                self.start_command(&poller)?;
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
                } else if let Some(attach) = &mut self.attach {
                    attach.ready(event, &poller, &mut NoContainer)?;
                }
            }
        }
    }

    fn start_command(&mut self, poller: &Poller) -> Result<()> {
        let Some(program) = &self.options.exit_command else {
            return Ok(());
        };
        let mut command = Command::new(program);
        command.args(&self.options.exit_command_args);
        sys::with_clean_settings(&mut command);
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                let said = format!("running the exit command {program}: {error}");
                self.report.say(Level::Error, &said);
                self.command_status = FAILED;
                return Ok(());
            }
        };
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.context("the exit command's process id is out of range")?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).context("pidfd_open(exit command)")?;
        poller.add(pidfd.as_fd(), EXIT_COMMAND, Interest::IN)?;
        self.command = Some((child, pidfd));
        Ok(())
    }

    fn reap_command(&mut self, poller: &Poller) -> Result<()> {
        let Some((mut child, pidfd)) = self.command.take() else {
            return Ok(());
        };
        poller.remove(&pidfd)?;
        let status = child.wait().context("waiting for the exit command")?;
        self.command_status = match status.code() {
            Some(code) => code.to_le_bytes()[0],
            None => FAILED,
        };
        Ok(())
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
