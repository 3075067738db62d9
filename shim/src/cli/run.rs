//! `run`: starts a supervisor for a container, and stays as its terminal unless told not to.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::termios::Winsize;

use super::daemon::{self, Daemon};
use super::exit_status;
use super::health_options::HealthArguments;
use super::log_options::LogArguments;
use crate::attach::client::{self, Joining, Parting};
use crate::attach::protocol::{MAX_PAYLOAD, Reply, Request, receive, send};
use crate::attach::{protocol, size_of_stdin};
use crate::record::{Record, State, Status};
use crate::restart::Policy;
use crate::supervise::log::{Log, LogOptions};
use crate::supervise::{Runtime, absolute, find_runtime};
use crate::sys::{self, Forked, SignalFd};

/// Run a container from a bundle
///
/// In the foreground, standard input is passed to the container, its output comes to standard
/// output and standard error and never faster than these take it, signals (HUP INT QUIT TERM USR1
/// USR2 ALRM CONT PWR and the real-time ones) go to the container, and its status is returned. If
/// nobody reads our standard output any more, what comes for it is dropped and the container goes
/// on. The supervisor is a process of its own: it survives this one.
///
/// What is known of the container (windlass-shim ps, wait, logs) stays after its end until
/// windlass-shim rm, unless --rm is given.
#[derive(Debug, Args)]
pub struct Run {
    /// Return once the container's program has been started, and print nothing
    #[arg(short, long)]
    detach: bool,
    /// The container has a terminal (config.json must say so too: process.terminal). In the
    /// foreground ours becomes raw and its size is passed on; ctrl-p ctrl-q leaves the container
    /// running
    #[arg(short, long)]
    tty: bool,
    /// The runtime: a path, or a name on PATH [default: the windlass beside this program, or else
    /// on PATH]
    #[arg(long, value_name = "PATH")]
    runtime: Option<PathBuf>,
    /// The runtime's own --root
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// A further global option for the runtime; may be repeated
    #[arg(long = "runtime-arg", value_name = "ARG", allow_hyphen_values = true)]
    runtime_arguments: Vec<String>,
    /// The container's standard input is /dev/null. Otherwise it is a pipe that stays open until
    /// a foreground run's, or an attached client's, standard input ends
    #[arg(long)]
    no_stdin: bool,
    /// Leave the stopped container to windlass-shim rm, instead of having the runtime delete it
    /// at once
    #[arg(long, conflicts_with = "rm")]
    keep: bool,
    /// Remove the record when the container has ended
    #[arg(long)]
    rm: bool,
    /// Start the container again when it has ended: no, on-failure (its status is not 0),
    /// on-failure:N (at most N times), always, unless-stopped. The first pause is 100 ms, every
    /// further one twice as long, up to a minute; a run of 10 s makes it short again. stop, and kill
    /// with a signal that is meant to end it (TERM, KILL, INT, QUIT), end it for good. Nothing starts
    /// it when the machine does, so always and unless-stopped are the same
    #[arg(long, value_name = "POLICY", default_value = "no", conflicts_with_all = ["rm", "keep"])]
    restart: Policy,
    #[command(flatten)]
    log: LogArguments,
    #[command(flatten)]
    health: HealthArguments,
    /// The bundle: the directory with config.json
    #[arg(short, long, value_name = "DIR")]
    bundle: PathBuf,
    /// The container's id
    id: String,
}

impl Run {
    pub fn carry_out(self, root: &Path) -> Result<u8> {
        sys::close_inherited_descriptors().context("close_range(3)")?;
        let mut starter = self.fork_supervisor(root)?;
        starter.wait_for_start()?;
        if starter.detach {
            return Ok(0);
        }
        let Starter {
            socket,
            signals,
            joining,
            id,
            ..
        } = starter;
        match client::join(&socket, &signals, joining)? {
            Parting::Exited(status, troubles) => {
                for trouble in troubles.lines() {
                    eprintln!("windlass-shim: after the container's end: {trouble}");
                }
                Ok(exit_status(status))
            }
            Parting::Detached => Ok(0),
            Parting::Signalled(_) | Parting::CutOff | Parting::Abandoned => bail!(
                "the supervisor of container {id} is gone (killed?); \
                 clean up with: windlass-shim rm --force {id}"
            ),
        }
    }

    /// Checks what can be checked, makes the record, and forks.
    ///
    /// All that parsing and checking needed is dropped in the child before it settles down.
    fn fork_supervisor(self, root: &Path) -> Result<Starter> {
        Record::check_id(&self.id)?;
        let bundle = std::fs::canonicalize(&self.bundle)
            .with_context(|| format!("the bundle {}", self.bundle.display()))?;
        check_terminal(&bundle, self.tty)?;
        let runtime = Runtime {
            program: find_runtime(self.runtime.as_deref())?,
            root: self.root.as_deref().map(absolute).transpose()?,
            arguments: self.runtime_arguments,
        };
        let size: Option<Winsize> = self
            .tty
            .then(|| size_of_stdin().unwrap_or(protocol::winsize(0, 0)));
        let default_log = self.detach.then(|| Record::default_log(root, &self.id));
        let log_options = self.log.options(&self.id, default_log.as_deref())?;

        let (record, lock) = Record::create(root, &self.id)?;
        let log = match log_options.as_ref().map(Log::open).transpose() {
            Ok(log) => log,
            Err(error) => return Err(undone(&record, error)),
        };
        let state = State {
            id: self.id.clone(),
            status: Status::Creating,
            pid: None,
            supervisor_pid: None,
            bundle,
            terminal: self.tty,
            log: log_options
                .as_ref()
                .and_then(LogOptions::path)
                .map(Path::to_owned),
            runtime,
            created: Timestamp::now(),
            started: None,
            exited: None,
            exit_status: None,
            oom_killed: false,
            restart: self.restart,
            restarts: 0,
            last_exit_status: None,
            last_exited: None,
            next_start: None,
            health: None,
            troubles: Vec::new(),
        };
        let joining = Joining {
            terminal: self.tty,
            stdin: !self.no_stdin,
            proxy_signals: true,
        };
        let daemon = Daemon {
            record: record.clone(),
            lock,
            state,
            log,
            log_options,
            terminal: size,
            stdin: !self.no_stdin,
            keep: self.keep,
            health: self.health.plan(),
            remove: self.rm,
            detached: self.detach,
        };
        match fork(daemon) {
            Ok((socket, supervisor, signals)) => {
                let detach = self.detach;
                Ok(Starter {
                    socket,
                    supervisor,
                    signals,
                    joining,
                    detach,
                    id: self.id,
                })
            }
            Err(error) => Err(undone(&record, error)),
        }
    }
}

/// With `--tty` a runtime sends us a terminal if and only if config.json asks for one; what they say
/// when the two disagree is nothing that a person understands, if they say anything.
fn check_terminal(bundle: &Path, tty: bool) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Config {
        process: Option<Process>,
    }
    #[derive(serde::Deserialize)]
    struct Process {
        #[serde(default)]
        terminal: bool,
    }
    let path = bundle.join("config.json");
    let text = std::fs::read(&path)
        .with_context(|| format!("{} is no bundle: reading its config.json", bundle.display()))?;
    // The rest of the file, and all that may be wrong with it, is the runtime's.
    let Ok(Config {
        process: Some(Process { terminal }),
    }) = serde_json::from_slice(&text)
    else {
        return Ok(());
    };
    match (terminal, tty) {
        (true, false) => bail!("{}: process.terminal is true: use --tty", path.display()),
        (false, true) => {
            bail!(
                "--tty needs a container with a terminal, but {}: process.terminal is not true",
                path.display()
            )
        }
        _ => Ok(()),
    }
}

fn undone(record: &Record, error: anyhow::Error) -> anyhow::Error {
    // What is wrong is said already; a directory that stays is seen by the next run.
    let _ = record.remove();
    error
}

/// Splits the process; the child becomes the supervisor and never returns from here.
fn fork(daemon: Daemon) -> Result<(OwnedFd, Pid, SignalFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
        .context("socketpair")?;
    // Blocked before the fork: a ctrl-c in between must not be lost.
    let numbers = client::signals(true);
    let signals = SignalFd::new(&numbers).context("signalfd")?;
    match sys::fork().context("fork")? {
        Forked::Parent(supervisor) => Ok((ours, supervisor, signals)),
        Forked::Child => {
            drop((ours, signals));
            let status = daemon::supervise(daemon, theirs, &numbers);
            std::process::exit(status)
        }
    }
}

/// The process that the person started, once there is a supervisor.
struct Starter {
    socket: OwnedFd,
    supervisor: Pid,
    signals: SignalFd,
    joining: Joining,
    detach: bool,
    id: String,
}

impl Starter {
    /// Waits until the container runs. A signal until then means that the person gives up.
    fn wait_for_start(&mut self) -> Result<()> {
        let mut buffer = vec![0; 5 + MAX_PAYLOAD];
        loop {
            let mut fds = [
                PollFd::new(&self.socket, PollFlags::IN),
                PollFd::new(&self.signals, PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno).context("poll"),
            }
            let [from_socket, from_signals] = fds.map(|fd| !fd.revents().is_empty());
            if from_signals {
                self.give_up_on_signal();
            }
            if !from_socket {
                continue;
            }
            match receive(&self.socket, &mut buffer) {
                Err(Errno::AGAIN) => {}
                Err(errno) => return Err(errno).context("receiving from the supervisor"),
                Ok(length) => return self.take_answer(Reply::decode(&buffer[..length])),
            }
        }
    }

    fn give_up_on_signal(&self) {
        while let Some(signal) = self.signals.next() {
            if ![libc::SIGWINCH, libc::SIGCONT].contains(&signal) {
                let (kind, payload) = Request::Signal(signal).encode();
                // If the supervisor is gone, that is what the socket will say next.
                let _ = send(&self.socket, kind, [&payload, &[]]);
            }
        }
    }

    fn take_answer(&self, answer: Option<Reply<'_>>) -> Result<()> {
        match answer {
            Some(Reply::Started(warnings)) => {
                if !warnings.is_empty() {
                    eprintln!("{warnings}");
                }
                Ok(())
            }
            Some(Reply::Refused(message)) => {
                // When we say that nothing is left, the supervisor isn't either.
                let _ = waitpid(Some(self.supervisor), WaitOptions::empty());
                Err(anyhow!("{message}"))
            }
            _ => bail!(
                "the supervisor of container {0} died before the container ran; \
                 clean up with: windlass-shim rm --force {0}",
                self.id
            ),
        }
    }
}
