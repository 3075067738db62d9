//! A container's process in the foreground: its terminal is ours, our signals are its.

use super::ExitCode;
use super::container_options::console_socket;
use super::parse::Arguments;
use std::io::IsTerminal;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::termios::{
    OptionalActions, OutputModes, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};
use rustix::time::Timespec;

use crate::container::notify::Notifier;
use crate::error::{CallContext, Error, Result};
use crate::init::ConsoleSocket;
use crate::init::channel::receive_descriptor;
use crate::spec::{ConsoleSize, Spec};
use crate::sys::signal::{all_signals, ended_child, next_signal, send};

/// The process to wait for.
pub(super) struct Foreground<'a> {
    pub(super) pid: i32,
    pub(super) pidfd: BorrowedFd<'a>,
    pub(super) signals: Signals,
    pub(super) terminal: Option<Terminal>,
    pub(super) notifier: Option<Notifier>,
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

/// What the container leaves behind becomes ours to reap from now on.
pub(super) fn adopt_orphans() -> Result<()> {
    // Any pid says yes (prctl(2)).
    rustix::process::set_child_subreaper(Some(Pid::INIT)).call(|| "prctl(PR_SET_CHILD_SUBREAPER)")
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

    /// Where the pseudo-terminal of the container's process goes, if it is to have one: to the caller's
    /// console socket, or to us.
    pub(super) fn of(
        spec: &Spec<'_>,
        arguments: &Arguments<'_>,
        detach: bool,
    ) -> Result<(Option<Self>, Option<ConsoleSocket>)> {
        let process = spec.process.as_ref();
        let wanted = process.is_some_and(|process| process.terminal);
        let socket = console_socket(arguments, wanted, detach)?;
        if !wanted || socket.is_some() {
            return Ok((None, socket));
        }
        let (ours, for_init) = Terminal::pair()?;
        Ok((Some(ours), Some(for_init)))
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
    /// signal ended it. What it has written and nobody has read yet is left to be passed on.
    pub(super) fn wait(self) -> Result<(ExitCode, Rest)> {
        let master = match &self.terminal {
            Some(terminal) => Some(terminal.receive()?),
            None => None,
        };
        let raw_mode = master.as_ref().and_then(|master| {
            resize(master);
            rustix::io::ioctl_fionbio(master, true).ok()?;
            RawMode::enter()
        });
        let output = master.as_ref().map(|_| Output::new());
        let relayed = master.as_ref().zip(output.as_ref());
        let served = self.serve(&self.signals.descriptor, relayed);
        drop(raw_mode);
        let (status, bytes) = served?;
        let signals = self.signals;
        Ok((
            status,
            Rest {
                bytes,
                output,
                signals,
            },
        ))
    }

    fn serve(
        &self,
        signals: &OwnedFd,
        relayed: Option<(&OwnedFd, &Output)>,
    ) -> Result<(ExitCode, Vec<u8>)> {
        let master = relayed.map(|(master, _)| master);
        let mut relay = relayed.map(|(master, output)| Relay::new(master, output));
        let mut notifier = self.notifier.as_ref();
        loop {
            // In the place of one that has nothing more to say stands one that is asked nothing.
            let (spoken, wanted) = match notifier {
                Some(notifier) => (notifier.as_fd(), PollFlags::IN),
                None => (signals.as_fd(), PollFlags::empty()),
            };
            let mut fds = vec![
                PollFd::from_borrowed_fd(self.pidfd, PollFlags::IN),
                PollFd::new(signals, PollFlags::IN),
                PollFd::from_borrowed_fd(spoken, wanted),
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
                relay.pass_on(&fds[3..]);
            }
            if let Some(speaker) = notifier
                && !fds[2].revents().is_empty()
                && speaker.pass_on(std::process::id()).unwrap_or(true)
            {
                // systemd watches us, and knows what it has to.
                notifier = None;
            }
            if !fds[0].revents().is_empty() {
                let rest = relay.map_or_else(Vec::new, Relay::rest);
                return Ok((self.status()?, rest));
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

/// What goes between our standard streams and the process' terminal. It never waits for either end
/// alone: a program that doesn't read, or whose output nobody reads, may still be sent a signal, and
/// may end.
struct Relay<'a> {
    master: &'a OwnedFd,
    output: &'a Output,
    /// What has come from standard input and the terminal has no room for yet.
    to_process: Vec<u8>,
    /// What has come from the terminal and standard output has no room for yet.
    from_process: Vec<u8>,
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
    /// What a terminal can hold that has been written before the process ended, and more.
    const MOST_LEFT: usize = 1 << 20;

    fn new(master: &'a OwnedFd, output: &'a Output) -> Self {
        Relay {
            master,
            output,
            to_process: Vec::new(),
            from_process: Vec::new(),
            input_open: true,
            output_open: true,
            hung_up: false,
        }
    }

    /// Adds what there is to wait for.
    fn watch(&self, fds: &mut Vec<PollFd<'a>>) {
        let mut events = PollFlags::empty();
        let reads = self.output_open && self.from_process.is_empty();
        events.set(PollFlags::IN, reads);
        events.set(PollFlags::OUT, !self.to_process.is_empty());
        if !self.hung_up && !events.is_empty() {
            fds.push(PollFd::new(self.master, events));
        }
        if self.input_open && self.to_process.is_empty() {
            let stdin = rustix::stdio::stdin();
            fds.push(PollFd::from_borrowed_fd(stdin, PollFlags::IN));
        }
        if !self.from_process.is_empty() {
            fds.push(PollFd::from_borrowed_fd(
                self.output.as_fd(),
                PollFlags::OUT,
            ));
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
        let of_output = events(self.output.as_fd());
        self.hung_up = false;
        if of_master.contains(PollFlags::OUT) {
            self.write_input();
        }
        if !of_stdin.is_empty() {
            self.read_input();
        }
        if !self.from_process.is_empty() {
            if !of_output.is_empty() {
                self.write_output();
            }
        } else if self.output_open && of_master.intersects(PollFlags::IN | PollFlags::HUP) {
            self.read_output();
            self.write_output();
        } else if of_master.contains(PollFlags::HUP) {
            self.hung_up = true;
        }
    }

    /// What the process has written before it ended.
    fn rest(mut self) -> Vec<u8> {
        self.hung_up = false;
        while self.output_open
            && !self.hung_up
            && self.from_process.len() < Self::MOST_LEFT
            && has_input(self.master)
        {
            self.read_output();
        }
        self.from_process
    }

    fn read_input(&mut self) {
        let mut buffer = [0_u8; 16 << 10];
        match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
            Ok(length) if length > 0 => self.to_process.extend_from_slice(&buffer[..length]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            _ => self.input_open = false,
        }
    }

    fn write_input(&mut self) {
        match rustix::io::write(self.master, &self.to_process) {
            Ok(written) => drop(self.to_process.drain(..written)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.hung_up = true,
        }
    }

    fn read_output(&mut self) {
        let mut buffer = [0_u8; 16 << 10];
        match rustix::io::read(self.master, &mut buffer) {
            Ok(length) if length > 0 => self.from_process.extend_from_slice(&buffer[..length]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            _ => self.hung_up = true,
        }
    }

    fn write_output(&mut self) {
        if self.output.write(&mut self.from_process).is_err() {
            self.from_process.clear();
            self.output_open = false;
        }
    }
}

/// Standard output, written to without waiting. Our caller's descriptor is shared with others, who
/// would be surprised by `O_NONBLOCK` on it; one that we open anew is our own (open(2)).
#[derive(Debug)]
struct Output {
    own: Option<OwnedFd>,
}

impl Output {
    fn new() -> Self {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let waits = fstat(rustix::stdio::stdout()).is_ok_and(|stat| {
            let kind = FileType::from_raw_mode(stat.st_mode);
            matches!(kind, FileType::Fifo | FileType::CharacterDevice)
        });
        Output {
            own: waits
                .then(|| open("/proc/self/fd/1", flags, Mode::empty()).ok())
                .flatten(),
        }
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.own
            .as_ref()
            .map_or(rustix::stdio::stdout(), |own| own.as_fd())
    }

    /// Writes what there is room for, and takes it off.
    fn write(&self, bytes: &mut Vec<u8>) -> Result<(), Errno> {
        while !bytes.is_empty() {
            // As much as a pipe has room for when poll(2) says that it has room (pipe(7)).
            let some = &bytes[..bytes.len().min(4096)];
            if self.own.is_none() && !has_room(self.as_fd()) {
                return Ok(());
            }
            match rustix::io::write(self.as_fd(), some) {
                Ok(written) => drop(bytes.drain(..written)),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}

/// What a process that has ended has written, and nobody has read yet.
pub(super) struct Rest {
    bytes: Vec<u8>,
    /// None without a terminal.
    output: Option<Output>,
    signals: Signals,
}

impl Rest {
    /// Passes it on, however long that takes; a signal ends us.
    pub(super) fn pass_on(mut self) {
        let Some(output) = self.output else {
            // What is open is closed by the end of this program.
            std::mem::forget(self.signals);
            return;
        };
        while !self.bytes.is_empty() && output.write(&mut self.bytes).is_ok() {
            let mut fds = [
                PollFd::from_borrowed_fd(output.as_fd(), PollFlags::OUT),
                PollFd::new(&self.signals.descriptor, PollFlags::IN),
            ];
            let _ = poll(&mut fds, None);
            while let Ok(Some(signal)) = next_signal(self.signals.descriptor.as_fd()) {
                if matches!(
                    signal,
                    libc::SIGHUP | libc::SIGINT | libc::SIGQUIT | libc::SIGTERM
                ) {
                    return;
                }
            }
        }
    }
}

fn has_room(fd: BorrowedFd<'_>) -> bool {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
    poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
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
