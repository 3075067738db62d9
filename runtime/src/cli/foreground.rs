//! A container's process in the foreground: its terminal is ours, our signals are its.

use super::ExitCode;
use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use crate::error::{CallContext, Error, Result};
use crate::init::channel::receive_descriptor;
use crate::sys::signal::{all_signals, ended_child, next_signal, send};

/// The process to wait for.
pub(super) struct Foreground<'a> {
    pub(super) pid: i32,
    pub(super) pidfd: BorrowedFd<'a>,
    pub(super) signals: Signals,
    pub(super) terminal: Option<Terminal>,
}

/// Our signals, which from now on are the process': taken before there is one, so that none ends
/// us while it is being set up.
pub(super) struct Signals {
    descriptor: OwnedFd,
}

impl Signals {
    pub(super) fn take() -> Result<Self> {
        let descriptor = all_signals().call(|| "signalfd()")?;
        Ok(Signals { descriptor })
    }
}

/// The way by which its pseudo-terminal comes.
pub(super) struct Terminal {
    socket: OwnedFd,
}

impl Terminal {
    /// Our end, and the one that init sends the terminal through.
    pub(super) fn pair() -> Result<(Self, OwnedFd)> {
        let (socket, for_init) = socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .call(|| "socketpair(AF_UNIX)")?;
        Ok((Terminal { socket }, for_init))
    }

    fn receive(&self) -> Result<OwnedFd> {
        receive_descriptor(&self.socket)
            .call(|| "recvmsg(console)")?
            .ok_or_else(|| Error::new("init has sent no terminal"))
    }
}

/// Our own terminal in raw mode, back to what it was when dropped.
struct RawMode {
    before: Termios,
}

impl RawMode {
    fn enter() -> Option<Self> {
        let stdin = rustix::stdio::stdin();
        if !std::io::stdin().is_terminal() {
            return None;
        }
        let before = tcgetattr(stdin).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin, OptionalActions::Now, &raw).ok()?;
        Some(RawMode { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.before);
    }
}

impl Foreground<'_> {
    /// Waits until the process has ended; its status is ours, 128 and the signal's number if a
    /// signal ended it.
    pub(super) fn wait(self) -> Result<ExitCode> {
        let master = match &self.terminal {
            Some(terminal) => Some(terminal.receive()?),
            None => None,
        };
        let raw_mode = master.as_ref().and_then(|master| {
            resize(master);
            rustix::io::ioctl_fionbio(master, true).ok()?;
            RawMode::enter()
        });
        let status = self.serve(&self.signals.descriptor, master.as_ref());
        drop(raw_mode);
        status
    }

    fn serve(&self, signals: &OwnedFd, master: Option<&OwnedFd>) -> Result<ExitCode> {
        let mut stdin_open = true;
        let mut output_open = true;
        loop {
            let mut fds = vec![
                PollFd::from_borrowed_fd(self.pidfd, PollFlags::IN),
                PollFd::new(signals, PollFlags::IN),
            ];
            if let Some(master) = master {
                let wants = |open: bool| {
                    if open {
                        PollFlags::IN
                    } else {
                        PollFlags::empty()
                    }
                };
                fds.push(PollFd::new(master, wants(output_open)));
                if stdin_open {
                    fds.push(PollFd::from_borrowed_fd(
                        rustix::stdio::stdin(),
                        PollFlags::IN,
                    ));
                }
            }
            match poll(&mut fds, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(Error::call("poll()", errno)),
            }
            let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
            if let Some(master) = master {
                if ready[2] && output_open {
                    output_open = pass_on(master.as_fd(), rustix::stdio::stdout());
                }
                if ready.get(3) == Some(&true) {
                    stdin_open = pass_on(rustix::stdio::stdin(), master.as_fd());
                }
            }
            if ready[1] {
                self.handle_signals(signals, master)?;
            }
            if ready[0] {
                if let Some(master) = master {
                    while pass_on(master.as_fd(), rustix::stdio::stdout()) && has_input(master) {}
                }
                return self.status();
            }
        }
    }

    fn handle_signals(&self, signals: &OwnedFd, master: Option<&OwnedFd>) -> Result<()> {
        while let Some(signal) = next_signal(signals.as_fd()).call(|| "read(signalfd)")? {
            match signal {
                libc::SIGCHLD => self.reap_orphans(),
                libc::SIGWINCH => {
                    if let Some(master) = master {
                        resize(master);
                    }
                }
                libc::SIGPIPE | libc::SIGURG => {}
                other => {
                    // One that comes too late for the process is of no use to anybody.
                    let _ = send(self.pidfd, other);
                }
            }
        }
        Ok(())
    }

    /// As a subreaper we get the container's orphans; the process itself is for [`Self::status`].
    fn reap_orphans(&self) {
        while let Some(pid) = ended_child() {
            if pid == self.pid {
                return;
            }
            let _ = waitpid(Pid::from_raw(pid), WaitOptions::NOHANG);
        }
    }

    fn status(&self) -> Result<ExitCode> {
        let (_, status) = waitpid(Pid::from_raw(self.pid), WaitOptions::empty())
            .call(|| format!("wait4({})", self.pid))?
            .ok_or_else(|| Error::new("the process has no status"))?;
        let code = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => code,
            (None, Some(signal)) => 128 + signal,
            (None, None) => 255,
        };
        Ok(ExitCode::from(u8::try_from(code & 0xff).unwrap_or(255)))
    }
}

/// Copies what is there; `false` when there will be no more.
fn pass_on(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
    let mut buffer = [0_u8; 16 << 10];
    let length = match rustix::io::read(from, &mut buffer) {
        Ok(0) => return false,
        Ok(length) => length,
        Err(Errno::AGAIN | Errno::INTR) => return true,
        // EIO: nobody has the terminal's other end open any more (pty(7)).
        Err(_) => return false,
    };
    let mut rest = &buffer[..length];
    while !rest.is_empty() {
        match rustix::io::write(to, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::from_borrowed_fd(to, PollFlags::OUT)];
                let _ = poll(&mut fds, None);
            }
            Err(_) => return false,
        }
    }
    true
}

fn has_input(fd: &OwnedFd) -> bool {
    let now = rustix::time::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
        && fds[0].revents().contains(PollFlags::IN)
}

fn resize(master: &OwnedFd) {
    if let Ok(size) = tcgetwinsize(rustix::stdio::stdin()) {
        let _ = tcsetwinsize(master, size);
    }
}
