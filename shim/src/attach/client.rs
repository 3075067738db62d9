//! The terminal's side: our standard streams are joined to the container's until it ends, or we do.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::stdio::{stderr, stdin, stdout};

use super::protocol::{MAX_PAYLOAD, Reply, Request, receive, send};
use super::terminal::{Output, RawTerminal, size_of_stdin};
use crate::sys::SignalFd;

/// Ctrl-p ctrl-q, as docker and podman have it.
const DETACH_KEYS: [u8; 2] = [0x10, 0x11];

/// What a client joins, and how.
#[derive(Debug, Clone, Copy)]
pub struct Joining {
    /// The container has a terminal.
    pub terminal: bool,
    /// Pass our standard input on.
    pub stdin: bool,
    /// Pass signals on to the container, instead of leaving it when one comes.
    pub proxy_signals: bool,
}

/// How a session ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Parting {
    /// The container ended: its status, and what went wrong afterwards.
    Exited(i32, String),
    /// The person typed the detach keys.
    Detached,
    /// This signal told us to go.
    Signalled(i32),
    /// We read too slowly.
    CutOff,
    /// The supervisor is gone, without a word.
    Abandoned,
}

/// The signals that a session reads from a descriptor.
pub fn signals(proxy: bool) -> Vec<i32> {
    let mut signals = vec![
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGTERM,
        libc::SIGWINCH,
    ];
    if proxy {
        signals.extend([
            libc::SIGUSR1,
            libc::SIGUSR2,
            libc::SIGALRM,
            libc::SIGCONT,
            libc::SIGPWR,
        ]);
        signals.extend(crate::sys::realtime_signals());
    }
    signals
}

/// Joins our standard streams to the container's over `socket`. `signals` yields those of
/// [`signals`].
pub fn join(socket: &OwnedFd, signals: &SignalFd, joining: Joining) -> Result<Parting> {
    let raw = if joining.terminal && joining.stdin {
        RawTerminal::enter()?
    } else {
        None
    };
    let mut session = Session {
        socket,
        signals,
        joining,
        stdout: Output::open(stdout().as_fd())?,
        stderr: Output::open(stderr().as_fd())?,
        stdin_open: joining.stdin,
        input_on_its_way: false,
        keys: if raw.is_some() {
            Some(DetachKeys::default())
        } else {
            None
        },
        parting: None,
    };
    if joining.terminal {
        session.send_size()?;
    }
    session.run()
}

struct Session<'a> {
    socket: &'a OwnedFd,
    signals: &'a SignalFd,
    joining: Joining,
    stdout: Output,
    stderr: Output,
    stdin_open: bool,
    input_on_its_way: bool,
    keys: Option<DetachKeys>,
    parting: Option<Parting>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ready {
    Signals,
    Socket,
    Stdin,
    Output,
}

impl Session<'_> {
    fn run(mut self) -> Result<Parting> {
        loop {
            // Who wants to leave isn't kept by a reader of ours that is stuck.
            let leaves = matches!(
                self.parting,
                Some(Parting::Signalled(_) | Parting::Detached)
            );
            if (leaves || !self.is_behind())
                && let Some(parting) = self.parting.take()
            {
                return Ok(parting);
            }
            for ready in self.wait()? {
                match ready {
                    Ready::Signals => self.take_signals()?,
                    Ready::Socket => self.take_replies()?,
                    Ready::Stdin => self.take_input()?,
                    Ready::Output => {
                        self.stdout.flush();
                        self.stderr.flush();
                    }
                }
            }
        }
    }

    fn is_behind(&self) -> bool {
        self.stdout.is_behind() || self.stderr.is_behind()
    }

    /// While output waits for our own readers nothing more is taken from the supervisor, which
    /// holds the container of a foreground `run` back.
    fn wait(&self) -> Result<Vec<Ready>> {
        let (stdin, over) = (stdin(), self.parting.is_some());
        let mut wanted = vec![(Ready::Signals, self.signals.as_fd(), PollFlags::IN)];
        if !self.is_behind() && !over {
            wanted.push((Ready::Socket, self.socket.as_fd(), PollFlags::IN));
        }
        if self.stdin_open && !self.input_on_its_way && !over {
            wanted.push((Ready::Stdin, stdin.as_fd(), PollFlags::IN));
        }
        for output in [&self.stdout, &self.stderr] {
            if output.is_behind() {
                wanted.push((Ready::Output, output.as_fd(), PollFlags::OUT));
            }
        }
        let mut fds: Vec<PollFd<'_>> = wanted
            .iter()
            .map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags))
            .collect();
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(errno) => return Err(errno).context("poll"),
        }
        let ready = wanted
            .iter()
            .zip(&fds)
            .filter(|(_, fd)| !fd.revents().is_empty());
        Ok(ready.map(|((what, ..), _)| *what).collect())
    }

    fn take_replies(&mut self) -> Result<()> {
        // One byte for the kind, four for a number.
        let mut buffer = vec![0; 5 + MAX_PAYLOAD];
        while !self.is_behind() && self.parting.is_none() {
            let length = match receive(self.socket, &mut buffer) {
                Ok(length) => length,
                Err(Errno::AGAIN) => return Ok(()),
                Err(errno) => return Err(errno).context("receiving from the supervisor"),
            };
            if length == 0 {
                self.parting = Some(Parting::Abandoned);
                return Ok(());
            }
            match Reply::decode(&buffer[..length]) {
                Some(Reply::Stdout(bytes)) => self.stdout.put(bytes),
                Some(Reply::Stderr(bytes)) => self.stderr.put(bytes),
                Some(Reply::InputTaken) => self.input_on_its_way = false,
                Some(Reply::CutOff) => self.parting = Some(Parting::CutOff),
                Some(Reply::Exited(status, troubles)) => {
                    self.parting = Some(Parting::Exited(status, troubles.to_owned()));
                }
                Some(Reply::Started(_) | Reply::Refused(_) | Reply::Report(_)) | None => {
                    bail!("the supervisor sent what is not understood; is it another version?")
                }
            }
        }
        Ok(())
    }

    fn take_signals(&mut self) -> Result<()> {
        while let Some(signal) = self.signals.next() {
            if signal == libc::SIGWINCH {
                if self.joining.terminal {
                    self.send_size()?;
                }
            } else if self.joining.proxy_signals {
                self.say(Request::Signal(signal))?;
            } else {
                self.parting = Some(Parting::Signalled(signal));
            }
        }
        Ok(())
    }

    fn take_input(&mut self) -> Result<()> {
        let mut buffer = vec![0; MAX_PAYLOAD - 1];
        let length = match rustix::io::read(stdin(), &mut buffer) {
            Ok(length) => length,
            Err(Errno::INTR | Errno::AGAIN) => return Ok(()),
            // EIO: our terminal is gone, or isn't ours (a background job).
            Err(_) => 0,
        };
        if length == 0 {
            self.stdin_open = false;
            return self.say(Request::EndOfInput);
        }
        // One byte less than a packet takes: a detach key that was held back may come before it.
        let typed = &buffer[..length];
        let Some(keys) = &mut self.keys else {
            return self.send_input(typed);
        };
        let (passed, detach) = keys.filter(typed);
        if !passed.is_empty() {
            self.send_input(&passed)?;
        }
        if detach {
            self.parting = Some(Parting::Detached);
        }
        Ok(())
    }

    fn send_input(&mut self, bytes: &[u8]) -> Result<()> {
        self.input_on_its_way = true;
        self.say(Request::Input(bytes))
    }

    fn send_size(&mut self) -> Result<()> {
        match size_of_stdin() {
            Some(size) => self.say(Request::Resize(size.ws_row, size.ws_col)),
            None => Ok(()),
        }
    }

    fn say(&mut self, request: Request<'_>) -> Result<()> {
        let (kind, payload) = request.encode();
        match send(self.socket, kind, [&payload, &[]]) {
            // It has ended; its last words are still to be read.
            Ok(()) | Err(Errno::PIPE | Errno::CONNRESET) => Ok(()),
            // Hundreds of signals at a time; the kernel would merge them too.
            Err(Errno::AGAIN) if matches!(request, Request::Signal(_) | Request::Resize(..)) => {
                Ok(())
            }
            Err(errno) => Err(errno).context("sending to the supervisor"),
        }
    }
}

/// Finds the detach keys in what is typed, also when they come one by one.
#[derive(Debug, Default)]
struct DetachKeys {
    first_typed: bool,
}

impl DetachKeys {
    /// What of `typed` goes to the container, and whether the person wants to leave.
    fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut passed = Vec::with_capacity(typed.len() + 1);
        for &key in typed {
            if self.first_typed {
                if key == DETACH_KEYS[1] {
                    return (passed, true);
                }
                passed.push(DETACH_KEYS[0]);
                self.first_typed = false;
            }
            if key == DETACH_KEYS[0] {
                self.first_typed = true;
            } else {
                passed.push(key);
            }
        }
        (passed, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_detach_keys_are_found_across_reads() {
        let mut keys = DetachKeys::default();
        assert_eq!(keys.filter(b"a\x10"), (b"a".to_vec(), false));
        assert_eq!(keys.filter(b"\x11b"), (Vec::new(), true));
    }

    #[test]
    fn half_of_the_detach_keys_is_passed_on() {
        let mut keys = DetachKeys::default();
        assert_eq!(keys.filter(b"\x10x\x11"), (b"\x10x\x11".to_vec(), false));
        assert_eq!(keys.filter(b"\x10\x10\x11"), (b"\x10".to_vec(), true));
    }
}
