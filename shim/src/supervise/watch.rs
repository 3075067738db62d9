//! The supervisor's loop, from the container's start to the last byte of its output.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;
use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, WaitOptions, WaitStatus, wait, waitid};

use super::output::{READ_SIZE, Turn};
use super::{Created, Ending, Event, Exit, Front, Handle, Interest, LogFile, Order, Poller, Token};
use crate::sys::SignalFd;

/// How long a stream that someone outside the container holds open is waited for, after the
/// container has ended and been deleted.
const DRAIN: Duration = Duration::from_secs(2);
/// How long after the container's end a log that can't be written is tried again.
const LAST_TRIES: Duration = Duration::from_secs(10);
/// After how long without an event buffers are given back.
const IDLE: Duration = Duration::from_secs(1);

struct Watch<'a, F> {
    order: &'a Order<'a>,
    container: Created,
    log: Option<&'a mut LogFile>,
    front: &'a mut F,
    poller: Poller,
    signals: &'a SignalFd,
    buffer: Vec<u8>,
    ended: Option<Ended>,
    troubles: Vec<String>,
}

#[derive(Clone, Copy)]
struct Ended {
    exit: Exit,
    /// When the container had been deleted.
    since: Instant,
}

/// Supervises a started container until it has ended and all of its output is where it belongs.
///
/// Signals that come from `signals` are passed on to the container, except `SIGCHLD`, which must
/// be among them.
pub fn watch<F: Front>(
    order: &Order<'_>,
    container: Created,
    log: Option<&mut LogFile>,
    front: &mut F,
    signals: &SignalFd,
) -> Result<Ending> {
    let poller = Poller::new()?;
    poller.add(&container.pidfd, Token::INIT, Interest::IN)?;
    poller.add(signals, Token::SIGNALS, Interest::IN)?;
    front.register(&poller)?;
    let mut watch = Watch {
        order,
        container,
        log,
        front,
        poller,
        signals,
        buffer: Vec::new(),
        ended: None,
        troubles: Vec::new(),
    };
    let exit = watch.run()?;
    Ok(Ending {
        exit,
        troubles: watch.troubles,
    })
}

impl<F: Front> Watch<'_, F> {
    fn run(&mut self) -> Result<Exit> {
        let mut events = Vec::new();
        let mut resident = true;
        loop {
            let flowing = !self.log_is_stuck() && !self.front.holds_back();
            for output in &mut self.container.outputs {
                output.set_watched(flowing, &self.poller)?;
            }
            if let Some(ended) = self.ended {
                if flowing {
                    self.abandon_held_streams(ended)?;
                }
                if self.container.outputs.is_empty() && !self.log_is_stuck()
                    || self.log_is_hopeless(ended)
                {
                    return Ok(ended.exit);
                }
            }
            let timeout = self.timeout(flowing, resident);
            self.poller.wait(timeout, &mut events)?;
            if events.is_empty() && resident && timeout == Some(IDLE) {
                self.release();
                resident = false;
            }
            resident |= !events.is_empty();
            for event in events.drain(..) {
                self.handle(event)?;
            }
            if let Some(log) = self.log.as_deref_mut()
                && log.retry_at().is_some_and(|due| due <= Instant::now())
            {
                log.retry();
            }
        }
    }

    fn handle(&mut self, event: Event) -> Result<()> {
        match event.token {
            Token::INIT => self.reap_container(),
            Token::SIGNALS => self.take_signals(),
            Token::STDOUT | Token::STDERR => self.read(event.token).map(|_| ()),
            Token::STDIN => {
                self.container.input.writable(&self.poller)?;
                let (front, poller, mut handle) = self.parts();
                front.input_wanted(poller, &mut handle)
            }
            _ => {
                let (front, poller, mut handle) = self.parts();
                front.ready(event, poller, &mut handle)
            }
        }
    }

    fn parts(&mut self) -> (&mut F, &Poller, Handle<'_>) {
        let Created {
            input,
            pidfd,
            console,
            ..
        } = &mut self.container;
        let pidfd: &OwnedFd = pidfd;
        let console = console.as_ref().map(|console| console.master.as_fd());
        (
            self.front,
            &self.poller,
            Handle {
                input,
                pidfd: pidfd.as_fd(),
                console,
            },
        )
    }

    /// One turn for a stream that is ready; forgets it if it has ended.
    fn read(&mut self, token: Token) -> Result<Option<Turn>> {
        let outputs = &mut self.container.outputs;
        let Some(index) = outputs.iter().position(|output| output.token() == token) else {
            return Ok(None);
        };
        self.buffer.resize(READ_SIZE, 0);
        let log = self.log.as_deref_mut();
        let output = &mut outputs[index];
        let turn = output.read_turn(&mut self.buffer, log, self.front, &self.poller)?;
        if turn == Turn::Ended {
            output.set_watched(false, &self.poller)?;
            outputs.remove(index);
        }
        Ok(Some(turn))
    }

    fn take_signals(&mut self) -> Result<()> {
        while let Some(signal) = self.signals.next() {
            if signal == libc::SIGCHLD {
                self.reap_orphans()?;
            } else {
                self.parts().2.signal(signal);
            }
        }
        Ok(())
    }

    fn reap_container(&mut self) -> Result<()> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let pidfd = self.container.pidfd.as_fd();
        let status = match waitid(WaitId::PidFd(pidfd), options) {
            Ok(Some(status)) => status,
            Ok(None) | Err(Errno::CHILD) => return Ok(()),
            Err(errno) => return Err(errno).context("waitid(the container)"),
        };
        self.container_ended(status.exit_status(), status.terminating_signal())
    }

    /// As subreaper we inherit whatever a container without a pid namespace of its own, or the
    /// runtime, leaves behind.
    fn reap_orphans(&mut self) -> Result<()> {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == self.container.pid && self.ended.is_none() {
                let status: WaitStatus = status;
                self.container_ended(status.exit_status(), status.terminating_signal())?;
            }
        }
        Ok(())
    }

    fn container_ended(&mut self, code: Option<i32>, signal: Option<i32>) -> Result<()> {
        if self.ended.is_some() {
            return Ok(());
        }
        let status = code.unwrap_or(128 + signal.unwrap_or(0));
        let exit = Exit {
            status,
            at: Timestamp::now(),
        };
        self.poller.remove(&self.container.pidfd)?;
        for output in &mut self.container.outputs {
            output.note_exit();
        }
        self.container.input.shut(&self.poller)?;
        self.container.console = None;
        self.front.exited(exit);
        if !self.order.keep
            && let Err(failure) = self.order.runtime.delete(self.order.id, false)
        {
            self.troubles.push(failure.message);
        }
        self.ended = Some(Ended {
            exit,
            since: Instant::now(),
        });
        Ok(())
    }

    /// Gives up streams that have not ended although the container has, once they have been
    /// waited for and read empty: a process outside the container holds them.
    fn abandon_held_streams(&mut self, ended: Ended) -> Result<()> {
        if ended.since.elapsed() < DRAIN {
            return Ok(());
        }
        let tokens: Vec<Token> = self
            .container
            .outputs
            .iter()
            .map(super::output::OutputStream::token)
            .collect();
        for token in tokens {
            let turn = self.read(token)?;
            let outputs = &mut self.container.outputs;
            let Some(index) = outputs.iter().position(|output| output.token() == token) else {
                continue;
            };
            if turn == Some(Turn::Empty) || outputs[index].exhausted() {
                outputs[index].set_watched(false, &self.poller)?;
                outputs.remove(index);
            }
        }
        Ok(())
    }

    fn log_is_stuck(&self) -> bool {
        self.log.as_deref().is_some_and(LogFile::stuck)
    }

    fn log_is_hopeless(&mut self, ended: Ended) -> bool {
        let Some(failure) = self.log.as_deref().and_then(LogFile::failure) else {
            return false;
        };
        let hopeless = ended.since.elapsed() >= LAST_TRIES;
        if hopeless {
            self.troubles
                .push(format!("{failure}; the end of the log is missing"));
        }
        hopeless
    }

    fn timeout(&self, flowing: bool, resident: bool) -> Option<Duration> {
        let until = |at: Instant| at.saturating_duration_since(Instant::now());
        let retry = self.log.as_deref().and_then(LogFile::retry_at).map(until);
        let drain = self.ended.filter(|_| flowing);
        let drain = drain.map(|ended| until(ended.since + DRAIN).max(Duration::from_millis(1)));
        [retry, drain, resident.then_some(IDLE)]
            .into_iter()
            .flatten()
            .min()
    }

    fn release(&mut self) {
        self.buffer = Vec::new();
        if let Some(log) = self.log.as_deref_mut() {
            log.release();
        }
        crate::sys::release_memory();
        crate::sys::release_code();
    }
}
