//! The supervisor's process: what `run` leaves behind.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{Mode, OFlags};
use rustix::process::{chdir, setsid};
use rustix::termios::Winsize;

use super::container::{Container, Outcome, Streams};
use crate::attach::server::{AttachServer, Starter};
use crate::health::Plan;
use crate::record::{Entry, Record, State};
use crate::supervise::Supervisor;
use crate::supervise::log::{Log, LogOptions};
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
/// All that the supervisor needs to know.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) record: Record,
    /// Held by being open.
    pub(super) lock: File,
    pub(super) state: State,
    pub(super) log: Option<Log>,
    /// How it can be opened again.
    pub(super) log_options: Option<LogOptions>,
    pub(super) terminal: Option<Winsize>,
    pub(super) stdin: bool,
    pub(super) keep: bool,
    pub(super) health: Option<Plan>,
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
        log_options,
        terminal,
        stdin,
        keep,
        health,
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
    let server = AttachServer::new(starter, Entry { record, state });
    let streams = Streams {
        terminal,
        stdin,
        log,
        log_options,
    };
    let mut container = Container::new(server, streams, keep, health);
    let outcome = settle(blocked)
        .and_then(|()| Supervisor::new(&PASSED_ON))
        .and_then(|mut core| {
            container.begin(&mut core)?;
            core.run(&mut container)
        });
    let (mut server, outcome) = container.conclude(outcome);
    match outcome {
        Outcome::Ended(exit, troubles) => {
            server.entry.conclude(troubles, remove);
            server.finish(exit.status);
            drop(lock);
            0
        }
        Outcome::NeverRan(mut why) => {
            if let Err(error) = forget(&server.entry.record, &created_logs) {
                why = format!("{why}; and then {error:#}");
            }
            server.refused(&why);
            i32::from(super::FAILED)
        }
        // The container lives; rm --force ends it.
        Outcome::Abandoned(why) => {
            server.entry.conclude(vec![why], false);
            i32::from(super::FAILED)
        }
    }
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

/// Leaves nothing of a container that never ran.
fn forget(record: &Record, created_logs: &[PathBuf]) -> Result<()> {
    let is_empty = |log: &&PathBuf| log.metadata().is_ok_and(|log| log.len() == 0);
    for log in created_logs.iter().filter(is_empty) {
        std::fs::remove_file(log).with_context(|| format!("removing {}", log.display()))?;
    }
    record.remove()
}
