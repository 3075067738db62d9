//! The supervisor's process: what `run` leaves behind. It joins the core with the record, the log
//! and the attach socket.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use jiff::Timestamp;
use rustix::fs::{Mode, OFlags};
use rustix::process::{chdir, getpid, setsid};
use rustix::termios::Winsize;

use crate::attach::server::{AttachServer, Starter};
use crate::record::{Entry, Record, State, Status};
use crate::supervise::{self, Created, Ending, LogFile, Order, Refusal};
use crate::sys::{self, SignalFd};

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
    pub(super) log: Option<LogFile>,
    pub(super) log_is_new: bool,
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
        log_is_new,
        terminal,
        stdin,
        keep,
        remove,
        detached,
    } = daemon;
    let created_log = state.log.clone().filter(|_| log_is_new);
    let runtime = state.runtime.clone();
    let (id, bundle) = (state.id.clone(), state.bundle.clone());
    let directory = record.directory().to_owned();
    let order = Order {
        runtime: &runtime,
        id: &id,
        bundle: &bundle,
        directory: &directory,
        terminal,
        stdin,
        keep,
    };
    let starter = Starter {
        socket: starter,
        stays: !detached,
    };
    let mut server = AttachServer::new(starter, Entry { record, state });
    let outcome = settle(blocked).and_then(|signals| bring_up(&order, &mut server, &signals));
    let container = match outcome {
        Ok(container) => container,
        Err(error) => {
            let mut message = format!("{error:#}");
            if let Err(error) = forget(&server.entry.record, created_log) {
                message = format!("{message}; and then {error:#}");
            }
            server.refused(&message);
            return i32::from(super::FAILED);
        }
    };
    let outcome = see_through(&order, container, log, &mut server);
    let (status, troubles) = match outcome {
        Ok(Ending { exit, troubles }) => (exit.status, troubles),
        // The supervisor itself is in trouble. The container lives; rm --force ends it.
        Err(_) => return i32::from(super::FAILED),
    };
    server.entry.conclude(troubles, remove);
    server.finish(status);
    drop(lock);
    0
}

/// A session of our own, at `/`, with nothing of the caller's open.
fn settle(blocked: &[i32]) -> Result<SignalFd> {
    setsid().context("setsid")?;
    chdir("/").context("chdir(/)")?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .context("opening /dev/null")?;
    rustix::stdio::dup2_stdin(&null).context("dup2")?;
    rustix::stdio::dup2_stdout(&null).context("dup2")?;
    rustix::stdio::dup2_stderr(&null).context("dup2")?;
    let signals = SignalFd::new(&PASSED_ON).context("signalfd")?;
    let unwanted: Vec<i32> = blocked
        .iter()
        .copied()
        .filter(|signal| !PASSED_ON.contains(signal))
        .collect();
    sys::unblock_signals(&unwanted).context("sigprocmask")?;
    Ok(signals)
}

/// Creates and starts the container. A signal, or a starter that goes away, ends the attempt.
fn bring_up(order: &Order<'_>, server: &mut AttachServer, signals: &SignalFd) -> Result<Created> {
    server.entry.state.supervisor_pid = Some(getpid().as_raw_nonzero().get());
    server.entry.write()?;
    server.listen_in(order.directory)?;
    let mut cancel = vec![signals.as_fd()];
    cancel.extend(server.starter());
    let mut container = supervise::create(order, &cancel).map_err(|Refusal(why)| anyhow!(why))?;
    container
        .start(order, &cancel)
        .map_err(|Refusal(why)| anyhow!(why))?;
    drop(cancel);
    server.entry.state.status = Status::Running;
    server.entry.state.pid = Some(container.pid.as_raw_nonzero().get());
    server.entry.state.started = Some(Timestamp::now());
    if let Err(error) = server.entry.write() {
        // The record can't be kept, which is the worse of two troubles.
        let _ = order.runtime.delete(order.id, true);
        return Err(error);
    }
    Ok(container)
}

fn see_through(
    order: &Order<'_>,
    container: Created,
    mut log: Option<LogFile>,
    server: &mut AttachServer,
) -> Result<Ending> {
    server.started(&container.warnings);
    let signals: Vec<i32> = PASSED_ON.into_iter().chain([libc::SIGCHLD]).collect();
    let signals = SignalFd::new(&signals).context("signalfd")?;
    supervise::watch(order, container, log.as_mut(), server, &signals)
}

/// Leaves nothing of a container that never ran.
fn forget(record: &Record, created_log: Option<PathBuf>) -> Result<()> {
    if let Some(log) = created_log.filter(|log| log.metadata().is_ok_and(|log| log.len() == 0)) {
        std::fs::remove_file(&log).with_context(|| format!("removing {}", log.display()))?;
    }
    record.remove()
}
