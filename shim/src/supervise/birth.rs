//! From nothing to a process that can be supervised: its streams, the runtime's `create` (or
//! `exec`, or `restore`), and what must be undone when that fails.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use rustix::fs::{Gid, Mode, Uid};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use rustix::termios::Winsize;

use super::call::{Call, Concluded, Ear, Failure, Hears, Said, listening_pipe, set_nonblocking};
use super::console::{Console, ConsoleSocket};
use super::output::OutputStream;
use super::poller::{Interest, Part, Poller, Token};
use super::process::Process;
use super::runtime::{ContainerState, PATIENCE};
use super::{ContainerInput, Log, ProcessKey, Runtime, Source};
use crate::sys::Program;

/// A process that there is to be.
#[derive(Debug)]
pub struct Birth {
    /// Who makes it.
    pub runtime: Runtime,
    /// How.
    pub descent: Descent,
    /// The container's id.
    pub id: String,
    /// Further options of the runtime's verb.
    pub options: Vec<OsString>,
    /// Where the runtime leaves the process id. What is there now is removed.
    pub pid_file: PathBuf,
    /// A directory of our own where the runtime can reach a socket.
    pub directory: PathBuf,
    /// The standard streams are one terminal (of this size) instead of three pipes.
    pub terminal: Option<Winsize>,
    /// Its standard input.
    pub stdin: Input,
    /// Its standard output, or what its terminal shows.
    pub stdout: Output,
    /// Its standard error; of no meaning with a terminal.
    pub stderr: Output,
    /// Where output goes that is [`Output::Front`].
    pub log: Option<Log>,
    /// Who is to own the pipes among its streams (user, group); none: we.
    pub owner: Option<(u32, u32)>,
    /// How long the runtime may take.
    pub patience: Option<Duration>,
    /// The runtime is to find its own process id in `LISTEN_PID`: it passes on sockets that this
    /// program was started with (sd_listen_fds(3)).
    pub listen_pid: bool,
}

/// How a process comes into being.
#[derive(Debug)]
pub enum Descent {
    /// As the first of a container that is created from this bundle, and waits for `start`.
    Create(PathBuf),
    /// As the first of a container that is restored in this bundle (from a checkpoint that the
    /// options name), and runs.
    Restore(PathBuf),
    /// In a running container, as this file (config.json's `process`) says; it runs at once.
    Exec(PathBuf),
}

/// Where a process's standard input comes from.
#[derive(Debug)]
pub enum Input {
    /// `/dev/null`. A terminal gets none.
    Null,
    /// The front writes it ([`ContainerInput::write`]).
    Front,
    /// What comes out of this descriptor, which doesn't block.
    From(OwnedFd),
    /// This very descriptor; not with a terminal.
    Given(OwnedFd),
}

/// Where a process's output goes.
#[derive(Debug)]
pub enum Output {
    /// `/dev/null`.
    Null,
    /// To the log, and through [`super::Front::output`].
    Front,
    /// Into this descriptor, which doesn't block, as fast as it takes it.
    Into(OwnedFd),
    /// The process has this very descriptor; not with a terminal.
    Given(OwnedFd),
}

/// A process that is there.
#[derive(Debug)]
pub struct Born {
    /// As the host counts.
    pub pid: Pid,
    /// What the runtime said although it succeeded.
    pub warnings: String,
}

/// Why there is no process.
#[derive(Debug)]
pub struct Refusal {
    /// One line.
    pub message: String,
    /// It is the runtime's own word, and its log may say more. Otherwise what its log says last is
    /// about something else.
    pub by_runtime: bool,
}

impl Refusal {
    /// Something else than the runtime's word.
    pub fn new(message: impl Into<String>) -> Self {
        Refusal {
            message: message.into(),
            by_runtime: false,
        }
    }
}

impl Descent {
    fn verb(&self) -> &'static str {
        match self {
            Descent::Create(_) => "create",
            Descent::Restore(_) => "restore",
            Descent::Exec(_) => "exec",
        }
    }
}

/// A birth that is under way.
#[derive(Debug)]
pub(super) struct Labour {
    runtime: Runtime,
    id: String,
    began: Timestamp,
    stage: Stage,
    pub(super) call: Call,
}

#[derive(Debug)]
enum Stage {
    /// The runtime makes the process.
    Making(Box<Making>),
    /// It was killed over that: is it our container that it left?
    Judging(String),
    /// What it left is being removed.
    Undoing(String),
}

/// What becomes the process's once there is one.
#[derive(Debug)]
struct Making {
    descent: Descent,
    pid_file: PathBuf,
    size: Option<Winsize>,
    log: Option<Log>,
    console: Option<ConsoleSocket>,
    /// What came over it while the runtime was still at work.
    received: Option<Result<Console>>,
    stdin: Option<OwnedFd>,
    feed: Option<OwnedFd>,
    /// For each ear of the call in turn: whose output it is to become, and where that goes. None:
    /// nobody's, it is only for what the runtime has to say.
    outputs: Vec<Option<(Source, Option<OwnedFd>)>>,
    /// Where what the terminal shows goes.
    screen: Option<OwnedFd>,
}

/// What came of a step.
pub(super) enum Progress {
    /// The next call has begun.
    Goes(Box<Labour>),
    /// There is a process.
    Done(Box<Process>, Born),
    /// There is none, and nothing of it is left.
    Refused(Refusal),
}

impl Labour {
    /// Calls the runtime.
    pub(super) fn begin(key: ProcessKey, birth: Birth) -> Result<Labour, Refusal> {
        let began = Timestamp::now();
        let verb = birth.descent.verb();
        let called = birth.runtime.called(verb);
        let mut command = birth.runtime.command(verb);
        match &birth.descent {
            Descent::Create(bundle) => command.arg("--bundle").arg(bundle),
            Descent::Restore(bundle) => command.arg("--detach").arg("--bundle").arg(bundle),
            Descent::Exec(process) => command.arg("--detach").arg("--process").arg(process),
        };
        command.arg("--pid-file").arg(&birth.pid_file);
        let Birth {
            runtime,
            id,
            patience,
            ..
        } = &birth;
        let (runtime, id, patience) = (runtime.clone(), id.clone(), *patience);
        if birth.listen_pid {
            command.with_own_listen_pid();
        }
        let options = birth.options.clone();
        let (making, ears) = prepare(key, birth, &mut command)
            .map_err(|error| Refusal::new(format!("{error:#}")))?;
        if let Some(socket) = &making.console {
            command.arg("--console-socket").arg(socket.address());
        }
        command.args(options).arg(&id);
        let call = Call::spawn(command, called, ears, patience)
            .map_err(|failure| Refusal::new(failure.message))?;
        Ok(Labour {
            runtime,
            id,
            began,
            stage: Stage::Making(Box::new(making)),
            call,
        })
    }

    /// Whether this process is the one that the runtime says it has made. A runtime's child becomes ours
    /// when it has ended, and then its pid file is there; but a wrapper around it may still be at work.
    pub(super) fn makes(&self, pid: Pid) -> bool {
        match &self.stage {
            Stage::Making(making) => read_pid(&making.pid_file).is_ok_and(|made| made == pid),
            Stage::Judging(_) | Stage::Undoing(_) => false,
        }
    }

    /// Kills the runtime, unless it is undoing what was made already.
    pub(super) fn give_up(&mut self, why: &str) {
        if matches!(self.stage, Stage::Making(_)) {
            self.call.interrupt(why);
        }
    }

    /// Has the poller watch it.
    pub(super) fn register(&self, key: ProcessKey, poller: &Poller) -> Result<()> {
        self.call.register(key.0, poller)?;
        match self.console_socket() {
            Some(socket) => poller.add(socket, Token::of_core(key.0, Part::Call), Interest::IN),
            None => Ok(()),
        }
    }

    fn console_socket(&self) -> Option<&ConsoleSocket> {
        match &self.stage {
            Stage::Making(making) => making.console.as_ref(),
            _ => None,
        }
    }

    /// Reads what the runtime has said, takes the terminal that it has sent, and says whether it
    /// has ended.
    pub(super) fn listen(&mut self, poller: &Poller) -> Result<bool> {
        if let Stage::Making(making) = &mut self.stage
            && let Some(socket) = making.console.take_if(|socket| socket.has_connection())
        {
            poller.remove(&socket)?;
            making.received = Some(receive(socket, making.size));
        }
        self.call.listen(poller)
    }

    /// Goes on after a call that has ended.
    pub(super) fn advance(self, key: ProcessKey, poller: &Poller) -> Result<Progress> {
        if let Some(socket) = self.console_socket() {
            poller.remove(socket)?;
        }
        let Labour {
            runtime,
            id,
            began,
            stage,
            call,
        } = self;
        let Concluded { outcome, ears } = call.conclude(poller)?;
        let refused = |message| Ok(Progress::Refused(Refusal::new(message)));
        let refused_by_runtime = |failure: Failure| {
            Ok(Progress::Refused(Refusal {
                by_runtime: !failure.killed,
                message: failure.message,
            }))
        };
        // A runtime that has refused has tidied up by itself, and the id may be another
        // container's. One that was killed has not.
        let (verb, message) = match (stage, outcome) {
            (Stage::Making(making), Ok(said)) => {
                let is_exec = matches!(making.descent, Descent::Exec(_));
                let pid_file = making.pid_file.clone();
                match making.take_over(key, &runtime, ears, said, poller) {
                    Ok((process, born)) => return Ok(Progress::Done(Box::new(process), born)),
                    Err(error) if is_exec => {
                        kill_abandoned(&pid_file);
                        return refused(format!("{error:#}"));
                    }
                    // It was our `create` that succeeded, so it is our container that goes.
                    Err(error) => ("delete", format!("{error:#}")),
                }
            }
            (Stage::Making(making), Err(failure)) => match making.descent {
                Descent::Exec(_) => {
                    kill_abandoned(&making.pid_file);
                    return refused_by_runtime(failure);
                }
                _ if failure.killed => ("state", failure.message),
                _ => return refused_by_runtime(failure),
            },
            (Stage::Judging(message), found) => {
                if !is_ours(found, began) {
                    return refused(message);
                }
                ("delete", message)
            }
            (Stage::Undoing(message), Ok(_)) => return refused(message),
            (Stage::Undoing(message), Err(failure)) => {
                return refused(format!("{message}; and then {}", failure.message));
            }
        };
        let arguments: &[&OsStr] = match verb {
            "delete" => &[OsStr::new("--force"), OsStr::new(&id)],
            _ => &[OsStr::new(&id)],
        };
        let wants_output = verb == "state";
        let call = match runtime.call(verb, arguments, wants_output, Some(PATIENCE)) {
            Ok(call) => call,
            Err(failure) => return refused(format!("{message}; and then {}", failure.message)),
        };
        let stage = match verb {
            "delete" => Stage::Undoing(message),
            _ => Stage::Judging(message),
        };
        Ok(Progress::Goes(Box::new(Labour {
            runtime,
            id,
            began,
            stage,
            call,
        })))
    }
}

/// Whether a container that a killed runtime left is ours: it is younger than our attempt, or so
/// unfinished that the runtime itself doesn't know it.
fn is_ours(state: Result<Said, Failure>, began: Timestamp) -> bool {
    // Some runtimes write whole seconds.
    let second = jiff::SignedDuration::from_secs(1);
    match state {
        Ok(said) => ContainerState::parse(&said.output)
            .is_ok_and(|state| state.created.is_some_and(|at| at + second >= began)),
        Err(failure) => !failure.killed,
    }
}

/// A runtime that was killed over an `exec` may have left its process, whose parent we are then.
fn kill_abandoned(pid_file: &Path) {
    if let Ok(pid) = read_pid(pid_file)
        && let Ok(pidfd) = our_child(pid)
    {
        let _ = pidfd_send_signal(pidfd, Signal::KILL);
    }
}

/// Makes the streams, and removes what an earlier process left in the pid file: it must not be
/// taken for this one's.
fn prepare(key: ProcessKey, birth: Birth, command: &mut Program) -> Result<(Making, Vec<Ear>)> {
    match std::fs::remove_file(&birth.pid_file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error)
                .with_context(|| format!("removing the pid file {}", birth.pid_file.display()));
        }
        _ => {}
    }
    let mut making = Making {
        descent: birth.descent,
        pid_file: birth.pid_file,
        size: birth.terminal,
        log: birth.log,
        console: None,
        received: None,
        stdin: None,
        feed: None,
        outputs: Vec::new(),
        screen: None,
    };
    let mut ears = Vec::new();
    if birth.terminal.is_some() {
        making.console = Some(ConsoleSocket::bind(&birth.directory, key)?);
        if let Input::From(source) = birth.stdin {
            making.feed = Some(source);
        }
        if let Output::Into(sink) = birth.stdout {
            making.screen = Some(sink);
        }
        let (ear, mouth) = listening_pipe()?;
        ears.push(Ear::new(ear, Hears::Messages));
        making.outputs.push(None);
        command.stderr(mouth);
        return Ok((making, ears));
    }
    match birth.stdin {
        Input::Null => {}
        Input::Given(fd) => {
            command.stdin(fd);
        }
        other => {
            let (read, write) =
                rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("pipe2")?;
            set_nonblocking(&write)?;
            give_to(&read, birth.owner)?;
            open_to_all(&read);
            making.stdin = Some(write);
            if let Input::From(source) = other {
                making.feed = Some(source);
            }
            command.stdin(read);
        }
    }
    let mut output = |source, output| -> Result<Option<OwnedFd>> {
        let sink = match output {
            Output::Null => return Ok(None),
            Output::Given(fd) => return Ok(Some(fd)),
            Output::Front => None,
            Output::Into(sink) => Some(sink),
        };
        let (ear, mouth) = listening_pipe()?;
        give_to(&mouth, birth.owner)?;
        ears.push(match making.descent {
            // Until `start` it is the runtime that writes there.
            Descent::Create(_) => Ear::new(ear, Hears::Messages),
            Descent::Restore(_) | Descent::Exec(_) => Ear::held_back(ear),
        });
        making.outputs.push(Some((source, sink)));
        open_to_all(&mouth);
        Ok(Some(mouth))
    };
    command.stdout(output(Source::Stdout, birth.stdout)?);
    command.stderr(output(Source::Stderr, birth.stderr)?);
    Ok((making, ears))
}

/// A program that has become another user may open /dev/stdout and the others; conmon 2.2 lets it, too.
fn open_to_all(pipe: &OwnedFd) {
    let _ = rustix::fs::fchmod(pipe, Mode::from_raw_mode(0o777));
}

/// A pipe is one file with two ends: both are the owner's then.
fn give_to(pipe: &OwnedFd, owner: Option<(u32, u32)>) -> Result<()> {
    let Some((user, group)) = owner else {
        return Ok(());
    };
    rustix::fs::fchown(pipe, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))
        .with_context(|| format!("fchown(a pipe, {user}, {group})"))
}

impl Making {
    /// Makes a supervised process of the one that the runtime has left.
    fn take_over(
        self,
        key: ProcessKey,
        runtime: &Runtime,
        ears: Vec<OwnedFd>,
        said: Said,
        poller: &Poller,
    ) -> Result<(Process, Born)> {
        let pid = read_pid(&self.pid_file)
            .with_context(|| format!("{} wrote no process id", runtime.name()))?;
        let pidfd = our_child(pid)?;
        let mut outputs: Vec<OutputStream> = ears
            .into_iter()
            .zip(self.outputs)
            .filter_map(|(fd, output)| {
                let (source, sink) = output?;
                Some(OutputStream::new(key, source, fd, sink))
            })
            .collect();
        let console = match (self.received, self.console) {
            (Some(received), _) => Some(received?),
            (None, socket) => socket
                .map(|socket| receive(socket, self.size))
                .transpose()?,
        };
        let stdin = match &console {
            Some(console) => {
                let reader = duplicate(console)?;
                outputs.push(OutputStream::new(key, Source::Stdout, reader, self.screen));
                Some(duplicate(console)?)
            }
            None => self.stdin,
        };
        let mut input = ContainerInput::new(key.0, stdin, console.is_some());
        if let Some(source) = self.feed {
            input.feed_from(source, poller)?;
        }
        let process = Process::new(pid, pidfd, input, outputs, console, self.log);
        process.register(key, poller)?;
        let warnings = said.messages.trim().to_owned();
        Ok((process, Born { pid, warnings }))
    }
}

/// The terminal, of this size: at once, since a process that is executed looks at it at once.
fn receive(socket: ConsoleSocket, size: Option<Winsize>) -> Result<Console> {
    let console = socket.receive()?;
    if let Some(size) = size
        && (size.ws_row, size.ws_col) != (0, 0)
    {
        rustix::termios::tcsetwinsize(&console.master, size).context("TIOCSWINSZ")?;
    }
    Ok(console)
}

/// A descriptor of its own for each of input and output, because epoll knows each only once.
fn duplicate(console: &Console) -> Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(&console.master, 3).context("dup(the terminal)")
}

fn read_pid(path: &Path) -> Result<Pid> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("reading the pid file {}", path.display()))?;
    let pid = text.trim().parse().ok().filter(|pid| *pid > 0);
    pid.and_then(Pid::from_raw)
        .with_context(|| format!("{} holds no process id: {text:?}", path.display()))
}

/// A pidfd of a process whose exit status will come to us.
fn our_child(pid: Pid) -> Result<OwnedFd> {
    let pidfd =
        pidfd_open(pid, PidfdFlags::empty()).with_context(|| format!("pidfd_open({pid})"))?;
    // ECHILD here means that it never would.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::PidFd(pidfd.as_fd()), options).with_context(|| {
        format!(
            "the container's process {pid} is not a descendant of ours, though we are subreaper"
        )
    })?;
    Ok(pidfd)
}
