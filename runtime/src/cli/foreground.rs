//! A container's process in the foreground: its terminal is ours, our signals are its.

use super::ExitCode;
use std::io::IsTerminal;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::termios::{
    OptionalActions, OutputModes, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};
use rustix::time::Timespec;

use crate::error::{CallContext, Error, Result};
use crate::init::ConsoleSocket;
use crate::init::channel::receive_descriptor;
use crate::spec::ConsoleSize;
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
    pub(super) fn pair() -> Result<(Self, ConsoleSocket)> {
        let (socket, for_init) = socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .call(|| "socketpair(AF_UNIX)")?;
        let for_init = ConsoleSocket {
            socket: for_init,
            keep_line_feeds: true,
        };
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
        // The process' terminal leaves it to this one to return the carriage.
        raw.output_modes.set(
            OutputModes::OPOST,
            before.output_modes.contains(OutputModes::OPOST),
        );
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
        let mut relay = master.map(Relay::new);
        loop {
            let mut fds = vec![
                PollFd::from_borrowed_fd(self.pidfd, PollFlags::IN),
                PollFd::new(signals, PollFlags::IN),
            ];
            let mut timeout = None;
            if let Some(relay) = &relay {
                relay.watch(&mut fds);
                timeout = relay.timeout();
            }
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(Error::call("poll()", errno)),
            }
            if let Some(relay) = &mut relay {
                relay.pass_on(&fds[2..]);
            }
            if !fds[0].revents().is_empty() {
                if let Some(relay) = &mut relay {
                    relay.pass_on_the_rest();
                }
                return self.status();
            }
            if !fds[1].revents().is_empty() {
                self.handle_signals(signals, master)?;
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

/// What goes between our standard streams and the process' terminal. It never waits for the
/// terminal: a program that doesn't read may still be sent a signal, and may end.
struct Relay<'a> {
    master: &'a OwnedFd,
    /// What has come from standard input and the terminal has no room for yet.
    pending: Vec<u8>,
    input_open: bool,
    output_open: bool,
    /// Nobody has the terminal's other end open: reads fail with EIO and poll(2) reports POLLHUP
    /// whatever it was asked for, until somebody opens it again (pty(7)).
    hung_up: bool,
}

impl<'a> Relay<'a> {
    /// How often to see whether somebody has opened the terminal again: no event tells.
    const PAUSE: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 100_000_000,
    };

    fn new(master: &'a OwnedFd) -> Self {
        Relay {
            master,
            pending: Vec::new(),
            input_open: true,
            output_open: true,
            hung_up: false,
        }
    }

    /// Adds what there is to wait for.
    fn watch(&self, fds: &mut Vec<PollFd<'a>>) {
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, self.output_open);
        events.set(PollFlags::OUT, !self.pending.is_empty());
        if !self.hung_up && !events.is_empty() {
            fds.push(PollFd::new(self.master, events));
        }
        if self.input_open && self.pending.is_empty() {
            let stdin = rustix::stdio::stdin();
            fds.push(PollFd::from_borrowed_fd(stdin, PollFlags::IN));
        }
    }

    fn timeout(&self) -> Option<Timespec> {
        self.hung_up.then_some(Self::PAUSE)
    }

    /// Copies what is there, as far as there is room for it.
    fn pass_on(&mut self, fds: &[PollFd<'_>]) {
        let events = |wanted: BorrowedFd<'_>| {
            fds.iter()
                .filter(|fd| fd.as_fd().as_raw_fd() == wanted.as_raw_fd())
                .fold(PollFlags::empty(), |events, fd| events | fd.revents())
        };
        let of_master = events(self.master.as_fd());
        let of_stdin = events(rustix::stdio::stdin());
        self.hung_up = false;
        if of_master.contains(PollFlags::OUT) {
            self.write_input();
        }
        if !of_stdin.is_empty() {
            self.read_input();
        }
        if self.output_open && of_master.intersects(PollFlags::IN | PollFlags::HUP) {
            self.copy_output();
        } else if of_master.contains(PollFlags::HUP) {
            self.hung_up = true;
        }
    }

    /// Copies what the process has written before it ended.
    fn pass_on_the_rest(&mut self) {
        self.hung_up = false;
        while self.output_open && !self.hung_up && has_input(self.master) {
            self.copy_output();
        }
    }

    fn read_input(&mut self) {
        let mut buffer = [0_u8; 16 << 10];
        match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
            Ok(length) if length > 0 => self.pending.extend_from_slice(&buffer[..length]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            _ => self.input_open = false,
        }
    }

    fn write_input(&mut self) {
        match rustix::io::write(self.master, &self.pending) {
            Ok(written) => drop(self.pending.drain(..written)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.hung_up = true,
        }
    }

    fn copy_output(&mut self) {
        let mut buffer = [0_u8; 16 << 10];
        match rustix::io::read(self.master, &mut buffer) {
            Ok(length) if length > 0 => self.output_open = write_output(&buffer[..length]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            _ => self.hung_up = true,
        }
    }
}

/// Writes all of it to standard output, waiting for room; `false` when nobody reads it any more.
fn write_output(mut rest: &[u8]) -> bool {
    let stdout = rustix::stdio::stdout();
    while !rest.is_empty() {
        match rustix::io::write(stdout, rest) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [PollFd::from_borrowed_fd(stdout, PollFlags::OUT)];
                let _ = poll(&mut fds, None);
            }
            Err(_) => return false,
        }
    }
    true
}

fn has_input(fd: &OwnedFd) -> bool {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
        && fds[0].revents().contains(PollFlags::IN)
}

/// The size of our own terminal: the process' one is to have it from its first moment.
pub(super) fn own_size() -> Option<ConsoleSize> {
    let size = tcgetwinsize(rustix::stdio::stdin()).ok()?;
    Some(ConsoleSize {
        height: size.ws_row,
        width: size.ws_col,
    })
}

fn resize(master: &OwnedFd) {
    if let Ok(size) = tcgetwinsize(rustix::stdio::stdin()) {
        let _ = tcsetwinsize(master, size);
    }
}
