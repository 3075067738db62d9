//! One call of the runtime, from its start to what came of it. Nobody waits for it: the supervisor
//! is told by its pidfd.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};

use super::poller::{Interest, Part, Poller, Token};
use crate::sys::{Program, Spawned};

/// How much of what a runtime says is kept, in bytes. What exceeds it is read and dropped, so that
/// a runtime with much to say doesn't stop on a full pipe.
const MESSAGE_LIMIT: usize = 16 * 1024;
/// How much of what it prints, where that is asked for: `ps` of a thousand processes, `features`.
const OUTPUT_LIMIT: usize = 4 * 1024 * 1024;

/// What a runtime said that did what it was told.
#[derive(Debug, Default)]
pub struct Said {
    /// Its standard output, where that was asked for.
    pub output: Vec<u8>,
    /// Its standard error: warnings.
    pub messages: String,
}

/// The runtime did not do what it was told.
#[derive(Debug)]
pub struct Failure {
    /// One line: which verb, how it ended, what the runtime said.
    pub message: String,
    /// It was ended by a signal (its own or ours), so it can't have tidied up after itself.
    pub killed: bool,
}

/// What is listened to while the runtime runs.
#[derive(Debug)]
pub(super) struct Ear {
    pub(super) fd: OwnedFd,
    pub(super) hears: Hears,
    listens: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hears {
    Output,
    Messages,
}

impl Ear {
    /// `fd` doesn't block.
    pub(super) fn new(fd: OwnedFd, hears: Hears) -> Self {
        let listens = true;
        Ear { fd, hears, listens }
    }

    /// One that the process that is being made writes to as well: it is only heard once it is
    /// clear that there is none, and then it was the runtime.
    pub(super) fn held_back(fd: OwnedFd) -> Self {
        let (hears, listens) = (Hears::Messages, false);
        Ear { fd, hears, listens }
    }
}

/// A runtime that is running.
#[derive(Debug)]
pub(super) struct Call {
    /// `runc create`.
    what: String,
    pub(super) pid: Pid,
    pidfd: OwnedFd,
    ears: Vec<Ear>,
    said: Said,
    /// When it is given up, and how long that is.
    deadline: Option<(Instant, Duration)>,
    interrupted: Option<String>,
}

/// How a call ended, and the ears that were listening to it, in their order.
pub(super) struct Concluded {
    pub(super) outcome: Result<Said, Failure>,
    pub(super) ears: Vec<OwnedFd>,
}

impl Call {
    /// Starts `command`; the container's ends of its streams, which it holds, are closed here.
    pub(super) fn spawn(
        command: Program,
        what: String,
        ears: Vec<Ear>,
        patience: Option<Duration>,
    ) -> Result<Call, Failure> {
        let path = command.path().to_owned();
        let Spawned { pid, pidfd } = command.spawn().map_err(|error| Failure {
            message: format!("running {what}: {}: {error}", path.display()),
            killed: false,
        })?;
        Ok(Call {
            what,
            pid,
            pidfd,
            ears,
            said: Said::default(),
            deadline: patience.map(|patience| (Instant::now() + patience, patience)),
            interrupted: None,
        })
    }

    /// Has the poller watch it.
    pub(super) fn register(&self, key: u32, poller: &Poller) -> Result<()> {
        let token = Token::of_core(key, Part::Call);
        poller.add(&self.pidfd, token, Interest::IN)?;
        for ear in self.ears.iter().filter(|ear| ear.listens) {
            poller.add(&ear.fd, token, Interest::IN)?;
        }
        Ok(())
    }

    /// Ends a call that can't be watched, and waits for its end.
    pub(super) fn abandon(self) {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        let _ = waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
    }

    /// Reads what the runtime has said, and says whether it has ended.
    pub(super) fn listen(&mut self, poller: &Poller) -> Result<bool> {
        // Asked first: what it said before its end is there when it has ended.
        let ended = self.has_ended();
        for ear in &mut self.ears {
            if ear.listens && !hear(ear, &mut self.said) {
                ear.listens = false;
                poller.remove(&ear.fd)?;
            }
        }
        Ok(ended)
    }

    fn has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        // An error (ECHILD) is an end, too: nobody will ever tell us more.
        !matches!(
            waitid(WaitId::PidFd(self.pidfd.as_fd()), options),
            Ok(None) | Err(Errno::INTR)
        )
    }

    /// Kills the runtime, unless it has ended, and its children with it: what hangs is often a container's
    /// process in the making (a file system that answers no more), which holds the runtime's locks.
    pub(super) fn interrupt(&mut self, why: &str) {
        if self.interrupted.is_none() && !self.has_ended() {
            self.interrupted = Some(why.to_owned());
            let children = children(self.pid);
            for process in [&self.pidfd].into_iter().chain(&children) {
                let _ = pidfd_send_signal(process, Signal::KILL);
            }
        }
    }

    /// When [`Call::check_patience`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let waiting = self.deadline.filter(|_| self.interrupted.is_none());
        waiting.map(|(deadline, _)| deadline)
    }

    /// Kills a runtime that takes too long.
    pub(super) fn check_patience(&mut self) {
        if let Some((deadline, patience)) = self.deadline
            && deadline <= Instant::now()
        {
            self.interrupt(&format!("it took more than {} s", patience.as_secs()));
        }
    }

    /// What came of a call that has ended. The poller forgets it.
    pub(super) fn conclude(self, poller: &Poller) -> Result<Concluded> {
        poller.remove(&self.pidfd)?;
        for ear in self.ears.iter().filter(|ear| ear.listens) {
            poller.remove(&ear.fd)?;
        }
        Ok(self.reap())
    }

    fn reap(mut self) -> Concluded {
        let status = waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED);
        let ended = match status {
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Ok(ExitStatus::from_raw(code << 8)),
                (None, signal) => Ok(ExitStatus::from_raw(signal.unwrap_or(libc::SIGKILL))),
            },
            Ok(None) => Err(Errno::CHILD),
            Err(errno) => Err(errno),
        };
        let (how, killed) = match (self.interrupted, ended) {
            (Some(why), _) => (format!("{why}, so it was killed"), true),
            (None, Ok(status)) if status.success() => {
                return Concluded {
                    outcome: Ok(self.said),
                    ears: self.ears.into_iter().map(|ear| ear.fd).collect(),
                };
            }
            (None, Ok(status)) => (status.to_string(), status.code().is_none()),
            (None, Err(errno)) => (format!("nobody knows how: waitid: {errno}"), true),
        };
        for ear in self.ears.iter().filter(|ear| !ear.listens) {
            hear(ear, &mut self.said);
        }
        let said = one_line(&self.said.messages);
        let separator = if said.is_empty() { "" } else { ": " };
        Concluded {
            outcome: Err(Failure {
                message: format!("{} failed ({how}){separator}{said}", self.what),
                killed,
            }),
            ears: self.ears.into_iter().map(|ear| ear.fd).collect(),
        }
    }

    /// Waits until it has ended: for programs that are no supervisor.
    pub(super) fn wait(mut self) -> Result<Said, Failure> {
        loop {
            let timeout = self.deadline().map(|deadline| {
                let left = deadline.saturating_duration_since(Instant::now());
                Timespec {
                    tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                    tv_nsec: i64::from(left.subsec_nanos()),
                }
            });
            let mut fds = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
            let ears = self.ears.iter().filter(|ear| ear.listens);
            fds.extend(ears.map(|ear| PollFd::new(&ear.fd, PollFlags::IN)));
            let ready = poll(&mut fds, timeout.as_ref());
            let ended = !fds[0].revents().is_empty();
            drop(fds);
            match ready {
                Ok(_) | Err(Errno::INTR) => self.check_patience(),
                Err(errno) => self.interrupt(&format!("poll: {errno}")),
            }
            for ear in &mut self.ears {
                ear.listens = ear.listens && hear(ear, &mut self.said);
            }
            if ended {
                return self.reap().outcome;
            }
        }
    }
}

/// The children of all of a process's threads, where the kernel lists them (`CONFIG_PROC_CHILDREN`).
fn children(parent: Pid) -> Vec<OwnedFd> {
    let threads = std::fs::read_dir(format!("/proc/{parent}/task"));
    let lists = threads.into_iter().flatten().flatten();
    let lists =
        lists.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    let listed: Vec<Pid> = lists
        .flat_map(|list| {
            let pids = list.split_ascii_whitespace();
            let pids = pids.filter_map(|pid| pid.parse().ok().and_then(Pid::from_raw));
            pids.collect::<Vec<_>>()
        })
        .collect();
    let opened = listed.into_iter().filter_map(|child| {
        let pidfd = pidfd_open(child, PidfdFlags::empty()).ok()?;
        // Asked once the descriptor is there: the number may have become another's until then.
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        let found = fields.split_ascii_whitespace().nth(1)?;
        (found == parent.to_string()).then_some(pidfd)
    });
    opened.collect()
}

/// Reads all that there is; false at the end of file.
fn hear(ear: &Ear, said: &mut Said) -> bool {
    let mut buffer = [0; 4096];
    let mut messages = Vec::new();
    let open = loop {
        match rustix::io::read(&ear.fd, &mut buffer) {
            Ok(0) => break false,
            Ok(count) => {
                let (kept, limit) = match ear.hears {
                    Hears::Output => (&mut said.output, OUTPUT_LIMIT),
                    Hears::Messages => (
                        &mut messages,
                        MESSAGE_LIMIT - said.messages.len().min(MESSAGE_LIMIT),
                    ),
                };
                let room = limit.saturating_sub(kept.len());
                kept.extend_from_slice(&buffer[..count.min(room)]);
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => break true,
            Err(_) => break false,
        }
    };
    said.messages.push_str(&String::from_utf8_lossy(&messages));
    open
}

/// The standard streams of a call that is none of the container's: nothing to read, and what it
/// prints where that is wanted.
pub(super) fn quiet(command: &mut Program, wants_output: bool) -> Result<Vec<Ear>> {
    let (ear, mouth) = listening_pipe()?;
    command.stderr(mouth);
    let mut ears = vec![Ear::new(ear, Hears::Messages)];
    if wants_output {
        let (ear, mouth) = listening_pipe()?;
        command.stdout(mouth);
        ears.push(Ear::new(ear, Hears::Output));
    }
    Ok(ears)
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

    fn call(script: &str, patience: Duration) -> Result<Said, Failure> {
        let mut command = Program::new("sh");
        command.args(["-c", script]);
        let ears = quiet(&mut command, true).unwrap();
        Call::spawn(command, "sh".to_owned(), ears, Some(patience))
            .unwrap()
            .wait()
    }

    #[test]
    fn output_and_messages_are_kept_apart() {
        let said = call("echo out; echo err >&2", Duration::from_secs(60)).unwrap();
        assert_eq!(
            (said.output.as_slice(), said.messages.as_str()),
            (&b"out\n"[..], "err\n")
        );
    }

    #[test]
    fn a_failure_says_how_and_why() {
        let failure = call("echo why >&2; exit 3", Duration::from_secs(60)).unwrap_err();
        assert_eq!(failure.message, "sh failed (exit status: 3): why");
        assert!(!failure.killed);
    }

    #[test]
    fn patience_has_an_end() {
        let failure = call("exec sleep 600", Duration::from_secs(1)).unwrap_err();
        assert_eq!(
            failure.message,
            "sh failed (it took more than 1 s, so it was killed)"
        );
        assert!(failure.killed);
    }
}
