//! From nothing to a running container: streams, the runtime's `create` and `start`, and what must
//! be undone when one of them fails.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Stdio;

use anyhow::{Context, Result};
use jiff::Timestamp;
use rustix::process::{
    Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, set_child_subreaper, waitid,
};

use super::console::{Console, ConsoleSocket};
use super::output::OutputStream;
use super::runtime::{Failure, Streams, listening_pipe, set_nonblocking};
use super::{ContainerInput, Order, Refusal, Source, pid_file};

/// A container that waits for its `start`.
#[derive(Debug)]
pub struct Created {
    /// The container's first process, as the host counts.
    pub pid: Pid,
    /// What the runtime said although it succeeded.
    pub warnings: String,
    pub(super) pidfd: OwnedFd,
    pub(super) input: ContainerInput,
    pub(super) outputs: Vec<OutputStream>,
    pub(super) console: Option<Console>,
}

/// Our ends of the container's streams before it is clear that there will be a container.
struct Ends {
    stdin: Option<OwnedFd>,
    outputs: Vec<OutputStream>,
    /// With a terminal: what the runtime itself says. Without, that comes out of `outputs`.
    messages: Option<OwnedFd>,
}

/// Makes this process the reaper of its descendants and has the runtime create the container.
///
/// After a refusal nothing is left of it.
pub fn create(order: &Order<'_>, cancel: &[BorrowedFd<'_>]) -> Result<Created, Refusal> {
    let began = Timestamp::now();
    let prepared = prepare(order).map_err(|error| Refusal(format!("{error:#}")))?;
    let (ends, streams, console_socket) = prepared;
    let ears: Vec<BorrowedFd<'_>> = ends
        .outputs
        .iter()
        .map(|output| output.fd.as_fd())
        .chain(ends.messages.iter().map(AsFd::as_fd))
        .collect();
    let outcome = order.runtime.create(
        order,
        console_socket.as_ref().map(ConsoleSocket::address),
        streams,
        &ears,
        cancel,
    );
    let warnings = match outcome {
        Ok(warnings) => warnings,
        Err(failure) => return Err(refuse(order, failure, began)),
    };
    take_over(order, ends, console_socket, warnings).map_err(|error| {
        // It was our `create` that succeeded, so it is our container that goes.
        Refusal(with_deletion(order, format!("{error:#}")))
    })
}

impl Created {
    /// Lets the container's program run; after a refusal nothing is left of the container.
    pub fn start(&mut self, order: &Order<'_>, cancel: &[BorrowedFd<'_>]) -> Result<(), Refusal> {
        match order.runtime.start(order.id, cancel) {
            Ok(said) if said.is_empty() => Ok(()),
            Ok(said) => {
                let separator = if self.warnings.is_empty() { "" } else { "\n" };
                self.warnings = format!("{}{separator}{said}", self.warnings);
                Ok(())
            }
            Err(failure) => Err(Refusal(with_deletion(order, failure.message))),
        }
    }
}

fn prepare(order: &Order<'_>) -> Result<(Ends, Streams, Option<ConsoleSocket>)> {
    set_child_subreaper(Some(rustix::process::getpid()))
        .context("prctl(PR_SET_CHILD_SUBREAPER)")?;
    if order.terminal.is_some() {
        let (ear, mouth) = listening_pipe()?;
        let ends = Ends {
            stdin: None,
            outputs: Vec::new(),
            messages: Some(ear),
        };
        let streams = Streams {
            stdin: Stdio::null(),
            stdout: Stdio::null(),
            stderr: mouth.into(),
        };
        return Ok((ends, streams, Some(ConsoleSocket::bind(order.directory)?)));
    }
    let (out, container_out) = listening_pipe()?;
    let (err, container_err) = listening_pipe()?;
    let (stdin, container_in) = if order.stdin {
        let (read, write) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("pipe2")?;
        set_nonblocking(&write)?;
        (Some(write), Stdio::from(read))
    } else {
        (None, Stdio::null())
    };
    let outputs = vec![
        OutputStream::new(Source::Stdout, out),
        OutputStream::new(Source::Stderr, err),
    ];
    let streams = Streams {
        stdin: container_in,
        stdout: container_out.into(),
        stderr: container_err.into(),
    };
    Ok((
        Ends {
            stdin,
            outputs,
            messages: None,
        },
        streams,
        None,
    ))
}

fn take_over(
    order: &Order<'_>,
    ends: Ends,
    console_socket: Option<ConsoleSocket>,
    warnings: String,
) -> Result<Created> {
    let pid = read_pid(order)?;
    let pidfd =
        pidfd_open(pid, PidfdFlags::empty()).with_context(|| format!("pidfd_open({pid})"))?;
    // ECHILD here means that its exit status would never reach us.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    waitid(WaitId::PidFd(pidfd.as_fd()), options).with_context(|| {
        format!(
            "the container's process {pid} is not a descendant of ours, though we are subreaper"
        )
    })?;
    let Ends {
        stdin, mut outputs, ..
    } = ends;
    let console = console_socket.map(ConsoleSocket::receive).transpose()?;
    let stdin = match &console {
        Some(console) => {
            let reader = rustix::io::fcntl_dupfd_cloexec(&console.master, 3).context("dup")?;
            outputs.push(OutputStream::new(Source::Stdout, reader));
            if let Some(size) = order.terminal
                && (size.ws_row, size.ws_col) != (0, 0)
            {
                rustix::termios::tcsetwinsize(&console.master, size).context("TIOCSWINSZ")?;
            }
            // A descriptor of its own, because epoll knows each only once.
            Some(rustix::io::fcntl_dupfd_cloexec(&console.master, 3).context("dup")?)
        }
        None => stdin,
    };
    let input = ContainerInput::new(stdin, console.is_some());
    Ok(Created {
        pid,
        warnings,
        pidfd,
        input,
        outputs,
        console,
    })
}

fn read_pid(order: &Order<'_>) -> Result<Pid> {
    let path = pid_file(order.directory);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("reading the pid file {}", path.display()))?;
    let pid = text
        .trim()
        .parse()
        .ok()
        .filter(|pid| *pid > 0)
        .and_then(Pid::from_raw);
    pid.with_context(|| {
        format!(
            "{} wrote no process id into {}: {text:?}",
            order.runtime.name(),
            path.display()
        )
    })
}

/// A runtime that has refused has tidied up by itself, and the id may be another container's. One
/// that was killed has not; what it leaves is ours if it is younger than our attempt, or so
/// unfinished that the runtime itself doesn't know it.
fn refuse(order: &Order<'_>, failure: Failure, began: Timestamp) -> Refusal {
    if !failure.killed {
        return Refusal(failure.message);
    }
    // Some runtimes write whole seconds.
    let second = jiff::SignedDuration::from_secs(1);
    let ours = match order.runtime.state(order.id) {
        Ok(Some(state)) => state
            .created
            .is_some_and(|created| created + second >= began),
        Ok(None) => true,
        Err(_) => false,
    };
    Refusal(if ours {
        with_deletion(order, failure.message)
    } else {
        failure.message
    })
}

fn with_deletion(order: &Order<'_>, message: String) -> String {
    match order.runtime.delete(order.id, true) {
        Ok(_) => message,
        Err(failure) => format!("{message}; and then {}", failure.message),
    }
}
