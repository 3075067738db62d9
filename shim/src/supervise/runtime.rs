//! The runtime, driven through nothing but its public command line (runc's: `create`, `start`,
//! `kill`, `delete`, `state`), so that any OCI runtime will do.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::{Order, pid_file};

/// How much of what a runtime says is kept, in bytes. What exceeds it is read and dropped, so that
/// a runtime with much to say doesn't stop on a full pipe.
const MESSAGE_LIMIT: usize = 16 * 1024;
/// How long `delete` and `kill` may take before we give them up: nothing can be done for a
/// container whose runtime hangs, but its exit status must not wait for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which runtime, and what goes before the verb.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Runtime {
    /// Absolute path of the program.
    pub program: PathBuf,
    /// `--root`: where the runtime keeps its own state; its default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
    /// Further global options, as given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
}

/// The container's ends of its standard streams, for `create` to hand on.
#[derive(Debug)]
pub struct Streams {
    /// Descriptor 0.
    pub stdin: Stdio,
    /// Descriptor 1.
    pub stdout: Stdio,
    /// Descriptor 2.
    pub stderr: Stdio,
}

/// The runtime did not do what it was told.
#[derive(Debug)]
pub struct Failure {
    /// One line: which verb, how it ended, what the runtime said.
    pub message: String,
    /// It was ended by a signal (its own or ours), so it can't have tidied up after itself.
    pub killed: bool,
}

impl Runtime {
    /// `create --bundle --pid-file [--console-socket] ID`; returns what the runtime said (warnings).
    ///
    /// `ears` are the reading ends (non-blocking) of everything that the runtime could write to:
    /// until `start` the only one who writes there is the runtime. `cancel` becoming readable
    /// kills the runtime.
    pub fn create(
        &self,
        order: &Order<'_>,
        console_socket: Option<&Path>,
        streams: Streams,
        ears: &[BorrowedFd<'_>],
        cancel: &[BorrowedFd<'_>],
    ) -> Result<String, Failure> {
        let mut command = self.command("create");
        command.arg("--bundle").arg(order.bundle);
        command.arg("--pid-file").arg(pid_file(order.directory));
        if let Some(socket) = console_socket {
            command.arg("--console-socket").arg(socket);
        }
        command
            .arg(order.id)
            .stdin(streams.stdin)
            .stdout(streams.stdout)
            .stderr(streams.stderr);
        self.carry_out("create", command, ears, cancel, None)
    }

    /// `start ID`.
    pub fn start(&self, id: &str, cancel: &[BorrowedFd<'_>]) -> Result<String, Failure> {
        self.quietly("start", |command| command.arg(id), cancel, None)
    }

    /// `kill ID SIGNAL`, the signal as a number or as a name.
    pub fn kill(&self, id: &str, signal: &str) -> Result<String, Failure> {
        self.quietly(
            "kill",
            |command| command.arg(id).arg(signal),
            &[],
            Some(PATIENCE),
        )
    }

    /// `delete [--force] ID`.
    pub fn delete(&self, id: &str, force: bool) -> Result<String, Failure> {
        let options: &[&str] = if force { &["--force"] } else { &[] };
        self.quietly(
            "delete",
            |command| command.args(options).arg(id),
            &[],
            Some(PATIENCE),
        )
    }

    /// `state ID`: what the runtime knows of the container; none if it knows no such container.
    pub fn state(&self, id: &str) -> Result<Option<ContainerState>> {
        let output = self
            .command("state")
            .arg(id)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("running {} state", self.program.display()))?;
        if !output.status.success() {
            return Ok(None);
        }
        serde_json::from_slice(&output.stdout)
            .map(Some)
            .with_context(|| format!("what {} state {id} printed", self.program.display()))
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(root) = &self.root {
            command.arg("--root").arg(root);
        }
        command.args(&self.arguments).arg(verb);
        crate::sys::with_default_signals(&mut command);
        command
    }

    /// Runs a verb whose standard streams are none of the container's.
    fn quietly(
        &self,
        verb: &str,
        add: impl FnOnce(&mut Command) -> &mut Command,
        cancel: &[BorrowedFd<'_>],
        patience: Option<Duration>,
    ) -> Result<String, Failure> {
        let (ear, mouth) = listening_pipe().map_err(|error| self.failure(verb, &error))?;
        let mut command = self.command(verb);
        add(&mut command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(mouth);
        self.carry_out(verb, command, &[ear.as_fd()], cancel, patience)
    }

    fn carry_out(
        &self,
        verb: &str,
        command: Command,
        ears: &[BorrowedFd<'_>],
        cancel: &[BorrowedFd<'_>],
        patience: Option<Duration>,
    ) -> Result<String, Failure> {
        let Ending {
            status,
            said,
            interrupted,
        } = run(command, ears, cancel, patience).map_err(|error| self.failure(verb, &error))?;
        if status.success() {
            return Ok(said);
        }
        let how = match interrupted {
            Some(why) => format!("{why}, so it was killed"),
            None => status.to_string(),
        };
        let said = if said.is_empty() {
            String::new()
        } else {
            format!(": {}", one_line(&said))
        };
        let message = format!("{} {verb} failed ({how}){said}", self.name());
        Err(Failure {
            message,
            killed: status.code().is_none(),
        })
    }

    fn failure(&self, verb: &str, error: &anyhow::Error) -> Failure {
        Failure {
            message: format!("running {} {verb}: {error:#}", self.program.display()),
            killed: false,
        }
    }

    /// The program's file name.
    pub fn name(&self) -> std::borrow::Cow<'_, str> {
        self.program
            .file_name()
            .unwrap_or(OsStr::new("the runtime"))
            .to_string_lossy()
    }
}

/// The part of a runtime's `state` that matters here (runtime-spec, "State").
#[derive(Debug, serde::Deserialize)]
pub struct ContainerState {
    /// `creating`, `created`, `running`, `paused` or `stopped`.
    pub status: String,
    /// When the container was made, RFC 3339; runc's and crun's addition to the specification.
    pub created: Option<jiff::Timestamp>,
}

struct Ending {
    status: ExitStatus,
    said: String,
    interrupted: Option<&'static str>,
}

/// Starts `command` and waits for it with its pidfd, listening all the time.
fn run(
    mut command: Command,
    ears: &[BorrowedFd<'_>],
    cancel: &[BorrowedFd<'_>],
    patience: Option<Duration>,
) -> Result<Ending> {
    let mut child = command.spawn().map_err(|error| anyhow!("{error}"))?;
    // Our copies of the container's ends go here, or the streams would never come to their end.
    drop(command);
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.context("the runtime's process id is out of range")?;
    let process = pidfd_open(pid, PidfdFlags::empty()).context("pidfd_open(the runtime)")?;
    let deadline = patience.map(|patience| Instant::now() + patience);
    let mut said = Vec::new();
    let mut ears = ears.to_vec();
    let mut interrupted = None;
    loop {
        let mut fds = vec![PollFd::new(&process, PollFlags::IN)];
        fds.extend(
            cancel
                .iter()
                .map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)),
        );
        fds.extend(
            ears.iter()
                .map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)),
        );
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) => interrupted = Some("it took more than 60 s"),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).context("poll"),
        }
        let ended = !fds[0].revents().is_empty();
        if fds[1..=cancel.len()]
            .iter()
            .any(|fd| !fd.revents().is_empty())
        {
            interrupted = Some("its caller gave up");
        }
        drop(fds);
        ears.retain(|ear| listen(*ear, &mut said));
        if ended {
            break;
        }
        if interrupted.is_some() {
            // It may have ended in between, which is as good.
            let _ = pidfd_send_signal(&process, Signal::KILL);
            break;
        }
    }
    let status = child.wait().context("waiting for the runtime")?;
    ears.retain(|ear| listen(*ear, &mut said));
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    Ok(Ending {
        status,
        said,
        interrupted,
    })
}

/// Reads all that there is; false at the end of file.
fn listen(ear: BorrowedFd<'_>, said: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match rustix::io::read(ear, &mut buffer) {
            Ok(0) => return false,
            Ok(count) => {
                let room = MESSAGE_LIMIT.saturating_sub(said.len());
                said.extend_from_slice(&buffer[..count.min(room)]);
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return true,
            Err(_) => return false,
        }
    }
}

/// A pipe of which we read without blocking and another process writes as it likes.
pub(super) fn listening_pipe() -> Result<(OwnedFd, OwnedFd)> {
    let (read, write) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).context("pipe2")?;
    set_nonblocking(&read)?;
    Ok((read, write))
}

/// Sets `O_NONBLOCK` on the open file description behind `fd`.
pub(super) fn set_nonblocking(fd: impl AsFd) -> Result<()> {
    rustix::io::ioctl_fionbio(fd, true).context("ioctl(FIONBIO)")
}

/// What a runtime said, made fit for one line: of a log record (`time=… level=error msg="…"`) the
/// message, as runc writes its errors; anything else as it is.
fn one_line(said: &str) -> String {
    let lines: Vec<String> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(|line| logged_message(line).unwrap_or_else(|| line.to_owned()))
        .collect();
    lines.join("; ")
}

fn logged_message(line: &str) -> Option<String> {
    if !line.starts_with("time=") {
        return None;
    }
    let (_, quoted) = line.split_once(" msg=")?;
    // Go's quoting of what occurs here is JSON's.
    serde_json::Deserializer::from_str(quoted)
        .into_iter::<String>()
        .next()?
        .ok()
}

/// Finds the runtime: a path as it is, a name on `PATH`; without either the `windlass` beside our
/// own executable, or else on `PATH`.
pub fn find(wanted: Option<&Path>) -> Result<PathBuf> {
    let Some(wanted) = wanted else {
        let own = std::env::current_exe().and_then(std::fs::canonicalize);
        let sibling = own.ok().map(|own| own.with_file_name("windlass"));
        return match sibling.filter(|sibling| is_program(sibling)) {
            Some(sibling) => Ok(sibling),
            None => on_path("windlass".as_ref()).context(
                "no runtime: there is no windlass beside windlass-shim nor on PATH; \
                 name one with --runtime",
            ),
        };
    };
    if wanted.components().count() == 1 && !wanted.is_absolute() {
        return on_path(wanted.as_os_str())
            .with_context(|| format!("no runtime {} on PATH", wanted.display()));
    }
    let path = absolute(wanted)?;
    if !is_program(&path) {
        bail!("the runtime {} is not an executable file", path.display());
    }
    Ok(path)
}

fn on_path(name: &OsStr) -> Option<PathBuf> {
    let path: OsString = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|candidate| is_program(candidate))?;
    absolute(&found).ok()
}

fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// `path` seen from `/`, where the supervisor will be; need not exist.
pub fn absolute(path: &Path) -> io::Result<PathBuf> {
    std::path::absolute(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_of_a_log_record_is_unwrapped() {
        let said =
            "time=\"2026-01-01T00:00:00Z\" level=error msg=\"runc create failed: \\\"x\\\"\"";
        assert_eq!(one_line(said), "runc create failed: \"x\"");
        assert_eq!(one_line("plain\n\n words \n"), "plain; words");
        assert_eq!(one_line("time=odd level=error"), "time=odd level=error");
    }

    #[test]
    fn a_runtime_that_is_not_there_is_named() {
        let error = find(Some(Path::new("no-such-runtime")))
            .unwrap_err()
            .to_string();
        assert!(error.contains("no-such-runtime on PATH"), "{error}");
        let error = find(Some(Path::new("/etc/passwd")))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/etc/passwd is not an executable file"),
            "{error}"
        );
    }
}
