//! Programs that take a container's output: `binary://` (`core/runtime/v2/logging` in containerd's
//! repository).
//!
//! Such a logger reads standard output from descriptor 3 and standard error from 4, which are the
//! container's own pipes: not a byte goes through the shim. It closes descriptor 5 when it is ready,
//! and the container is not made before that.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::uri::Uri;

/// How long a logger may take until it is ready.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it has for what it has not read yet, after its container's end, before it is told to
/// end…
const READING: Duration = Duration::from_secs(2);
/// …and before it is killed, as the stock shim has it.
const ENDING: Duration = Duration::from_secs(10);

/// A logger that runs.
#[derive(Debug)]
pub struct Logger {
    program: String,
    process: OwnedFd,
    ready: OwnedFd,
    /// When it must be ready.
    pub deadline: Instant,
    /// It has to say that it is ready: closing the descriptor could mean that it has crashed.
    must_say: bool,
    end: End,
}

#[derive(Debug, Clone, Copy)]
enum End {
    /// Its container is still there.
    NotYet,
    /// It reads what is left.
    Reading(Instant),
    /// It was told to end, SIGTERM.
    Told(Instant),
    /// It was killed.
    Killed,
}

/// The container's ends of a logger's pipes.
#[derive(Debug)]
pub struct Pipes {
    /// For its standard output.
    pub stdout: OwnedFd,
    /// For its standard error.
    pub stderr: OwnedFd,
}

impl Logger {
    /// Starts the program of a `binary` URI, for the process `id` (a container's or an exec's) in
    /// containerd's `namespace`. The query's keys and values are its arguments.
    pub fn start(uri: &Uri, id: &str, namespace: &str) -> Result<(Self, Pipes)> {
        let pipe = || pipe_with(PipeFlags::CLOEXEC).context("pipe2");
        let (out, stdout) = pipe()?;
        let (err, stderr) = pipe()?;
        let (ready, tell) = pipe()?;
        rustix::io::ioctl_fionbio(&ready, true).context("ioctl(FIONBIO)")?;
        let mut command = Command::new(&uri.path);
        let mut known: Vec<&str> = Vec::new();
        for (key, value) in &uri.query {
            // Of a key that is given twice the stock shim knows only the first value.
            if !known.contains(&key.as_str()) {
                known.push(key);
                command.arg(key).arg(value);
            }
        }
        command
            .env_clear()
            .env("CONTAINER_ID", id)
            .env("CONTAINER_NAMESPACE", namespace)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        crate::sys::with_clean_settings(&mut command);
        let child = crate::sys::spawn_with_descriptors(command, [&out, &err, &tell])
            .with_context(|| format!("start the logger {}", uri.path))?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.context("the logger's process id")?;
        let logger = Logger {
            program: uri.path.clone(),
            process: pidfd_open(pid, PidfdFlags::empty()).context("pidfd_open(the logger)")?,
            ready,
            deadline: Instant::now() + PATIENCE,
            must_say: uri.scheme == "binary-v2",
            end: End::NotYet,
        };
        Ok((logger, Pipes { stdout, stderr }))
    }

    /// What is to be polled for reading, before [`Logger::is_ready`] is asked.
    pub fn readiness(&self) -> BorrowedFd<'_> {
        self.ready.as_fd()
    }

    /// Whether the logger has said that it is ready; an error if it never will, or has not until its
    /// deadline.
    pub fn is_ready(&self) -> Result<bool> {
        match rustix::io::read(&self.ready, &mut [0; 1]) {
            Ok(1) => Ok(true),
            Err(Errno::AGAIN | Errno::INTR) if self.deadline <= Instant::now() => bail!(
                "the logger {} was not ready after {} s: it has to close its descriptor 5 when it is",
                self.program,
                PATIENCE.as_secs()
            ),
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            // Its descriptors are closed a moment before its end is known.
            _ if self.must_say || self.has_ended(Duration::from_millis(5)) => bail!(
                "the logger {} closed its descriptor 5, or ended, without saying that it is ready",
                self.program
            ),
            _ => Ok(true),
        }
    }

    fn has_ended(&self, patience: Duration) -> bool {
        let mut fds = [PollFd::new(&self.process, PollFlags::IN)];
        let patience = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(patience.subsec_nanos()),
        };
        poll(&mut fds, Some(&patience)).is_ok_and(|ready| ready > 0)
    }

    /// To be called once the container's process has ended and its pipes are closed here, and again
    /// at the time that it returns, until it returns none: then the logger has ended. It is let
    /// read what there still is, then told to end, then killed.
    pub fn see_off(&mut self, now: Instant) -> Option<Instant> {
        if self.has_ended(Duration::ZERO) {
            return None;
        }
        let signal = |signal| {
            // ESRCH: it has ended in between.
            let _ = pidfd_send_signal(&self.process, signal);
        };
        self.end = match self.end {
            End::NotYet => End::Reading(now + READING),
            End::Reading(until) if until <= now => {
                signal(Signal::TERM);
                End::Told(now + ENDING)
            }
            End::Told(until) if until <= now => {
                signal(Signal::KILL);
                End::Killed
            }
            end => end,
        };
        match self.end {
            End::Reading(until) | End::Told(until) => Some(until),
            End::NotYet | End::Killed => None,
        }
    }
}

/// The process: readable when it has ended.
impl AsFd for Logger {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }
}

impl Drop for Logger {
    /// A logger without a container has nothing to do any more.
    fn drop(&mut self) {
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    use super::*;

    /// A logger's program with this shell script.
    fn program(directory: &Path, script: &str) -> PathBuf {
        let path = directory.join("logger");
        fs::write(
            &path,
            format!("#!/bin/sh\ncd {}\n{script}\n", directory.display()),
        )
        .unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn start(scheme: &str, program: &Path, query: &str) -> (Logger, Pipes) {
        let uri = format!("{scheme}://{}{query}", program.display());
        Logger::start(&Uri::parse(&uri).unwrap(), "the-id", "the-namespace").unwrap()
    }

    fn wait(logger: &Logger) -> Result<bool> {
        let mut fds = [PollFd::from_borrowed_fd(logger.readiness(), PollFlags::IN)];
        let patience = Timespec {
            tv_sec: 10,
            tv_nsec: 0,
        };
        poll(&mut fds, Some(&patience)).unwrap();
        logger.is_ready()
    }

    fn see_off(logger: &mut Logger) -> Duration {
        let began = Instant::now();
        while logger.see_off(Instant::now()).is_some() {
            std::thread::sleep(Duration::from_millis(5));
        }
        began.elapsed()
    }

    const COPY: &str = "exec 5>&-; /bin/cat <&3 >out & /bin/cat <&4 >err; wait; echo end >>out";

    #[test]
    fn a_logger_reads_the_containers_own_pipes_to_their_end() {
        let directory = tempfile::tempdir().unwrap();
        let arguments =
            "echo \"$CONTAINER_ID $CONTAINER_NAMESPACE $#:$*\" >arguments; /usr/bin/env >env;";
        let program = program(directory.path(), &format!("{arguments}{COPY}"));
        let (mut logger, pipes) = start("binary", &program, "?--level=a+b&flag&--level=c");
        assert!(wait(&logger).unwrap());
        fs::File::from(pipes.stdout)
            .write_all("x".repeat(100_000).as_bytes())
            .unwrap();
        fs::File::from(pipes.stderr).write_all(b"err").unwrap();
        assert!(see_off(&mut logger) < Duration::from_secs(2));
        let read = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!(read("out"), format!("{}end\n", "x".repeat(100_000)));
        assert_eq!(read("err"), "err");
        assert_eq!(
            read("arguments"),
            "the-id the-namespace 4:--level a b flag \n"
        );
        assert!(!read("env").contains("CARGO"), "no variables but those two");
    }

    #[test]
    fn a_logger_that_says_nothing_is_not_ready_and_one_that_dies_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let silent = program(directory.path(), "exec /bin/sleep 100");
        let (mut logger, _pipes) = start("binary", &silent, "");
        assert!(!logger.is_ready().unwrap());
        logger.deadline = Instant::now();
        let error = logger.is_ready().unwrap_err().to_string();
        assert!(error.contains("not ready after 30 s"), "{error}");
        drop(logger);
        for scheme in ["binary", "binary-v2"] {
            let dead = program(directory.path(), "exit 1");
            let (logger, _pipes) = start(scheme, &dead, "");
            let error = wait(&logger).unwrap_err().to_string();
            assert!(error.contains("without saying that it is ready"), "{error}");
        }
        let closed = program(directory.path(), "exec 5>&-; exec /bin/sleep 100");
        assert!(wait(&start("binary-v2", &closed, "").0).is_err());
        let said = program(directory.path(), "printf x >&5; exec /bin/sleep 100");
        assert!(wait(&start("binary-v2", &said, "").0).unwrap());
    }

    #[test]
    fn a_logger_that_does_not_see_the_end_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let program = program(directory.path(), "exec 5>&-; exec /bin/sleep 100");
        let (mut logger, pipes) = start("binary", &program, "");
        assert!(wait(&logger).unwrap());
        drop(pipes);
        let took = see_off(&mut logger);
        assert!(
            took >= READING && took < READING + Duration::from_secs(2),
            "{took:?}"
        );
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let uri = Uri::parse("binary:///no/such/logger").unwrap();
        let error = Logger::start(&uri, "a", "b").unwrap_err();
        assert!(
            format!("{error:#}").contains("/no/such/logger: No such file"),
            "{error:#}"
        );
    }
}
