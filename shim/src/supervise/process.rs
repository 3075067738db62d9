//! A process that is supervised: a container's first, or one that joined it later.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::Result;
use jiff::Timestamp;
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::console::Console;
use super::output::{OutputStream, Turn};
use super::poller::{Interest, Part, Poller, Token};
use super::{ContainerInput, Exit, Front, Log, ProcessKey, Source};

/// How long after the process's end a log that can't be written is tried again.
const LAST_TRIES: Duration = Duration::from_secs(10);

/// Stands for an exit status that can't be had.
const UNKNOWN_STATUS: i32 = 255;

#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
    pub(super) input: ContainerInput,
    pub(super) outputs: Vec<OutputStream>,
    pub(super) console: Option<Console>,
    pub(super) log: Option<Log>,
    /// How many bytes came out of it: stdout, stderr.
    pub(super) written: [u64; 2],
    /// When it had ended.
    ended: Option<Instant>,
    /// When streams that others hold open are given up.
    listening_until: Option<Instant>,
    drained: bool,
    troubles: Vec<String>,
}

impl Process {
    pub(super) fn new(
        pid: Pid,
        pidfd: OwnedFd,
        input: ContainerInput,
        outputs: Vec<OutputStream>,
        console: Option<Console>,
        log: Option<Log>,
    ) -> Self {
        Process {
            pid,
            pidfd,
            input,
            outputs,
            console,
            log,
            written: [0; 2],
            ended: None,
            listening_until: None,
            drained: false,
            troubles: Vec::new(),
        }
    }

    pub(super) fn register(&self, key: ProcessKey, poller: &Poller) -> Result<()> {
        poller.add(
            &self.pidfd,
            Token::of_core(key.0, Part::Process),
            Interest::IN,
        )
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// Takes note of its end, if it has ended; returns that only once.
    pub(super) fn reap(&mut self, poller: &Poller) -> Result<Option<Exit>> {
        if self.ended.is_some() {
            return Ok(None);
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let status = match waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
            Ok(Some(status)) => status
                .exit_status()
                .unwrap_or(128 + status.terminating_signal().unwrap_or(0)),
            Ok(None) | Err(Errno::INTR) => return Ok(None),
            // It has ended all the same, or there would be nothing to wait for.
            Err(errno) => {
                self.troubles.push(format!(
                    "nobody knows how process {} ended: waitid: {errno}",
                    self.pid
                ));
                UNKNOWN_STATUS
            }
        };
        let exit = Exit {
            status,
            at: Timestamp::now(),
        };
        self.ended = Some(Instant::now());
        poller.remove(&self.pidfd)?;
        for output in &mut self.outputs {
            output.note_exit();
        }
        self.input.shut(poller)?;
        self.console = None;
        if let Some(log) = &mut self.log {
            log.lift_rate();
        }
        Ok(Some(exit))
    }

    /// Streams that someone else holds open are given up then, if the process has ended.
    pub(super) fn listen_until(&mut self, at: Instant) {
        self.listening_until = Some(at);
    }

    /// Has the poller watch what has to be watched now.
    pub(super) fn watch_outputs(&mut self, front_is_behind: bool, poller: &Poller) -> Result<()> {
        let flowing = !self.log_is_stuck() && !front_is_behind;
        for output in &mut self.outputs {
            let flowing = flowing || !output.is_for_front();
            output.set_watched(flowing, poller)?;
        }
        Ok(())
    }

    /// Moves what its input's source has; false without a source. What fails ends the input alone.
    pub(super) fn feed(&mut self, poller: &Poller) -> bool {
        self.input.feed(poller).unwrap_or_else(|error| {
            self.troubles.push(format!("feeding its stdin: {error:#}"));
            // What still watches it goes with its descriptor.
            let _ = self.input.shut(poller);
            true
        })
    }

    /// One turn for a stream; forgets it if it has ended.
    pub(super) fn read(
        &mut self,
        source: Source,
        buffer: &mut Vec<u8>,
        front: &mut impl Front,
        poller: &Poller,
    ) -> Result<Option<Turn>> {
        let position = |output: &OutputStream| output.source == source;
        let Some(index) = self.outputs.iter().position(position) else {
            return Ok(None);
        };
        let output = &mut self.outputs[index];
        let (count, turn) = match output.turn(buffer, self.log.as_mut(), front, poller) {
            Ok(done) => done,
            Err(error) => {
                let name = source.name();
                self.troubles.push(format!("reading its {name}: {error:#}"));
                (0, Turn::Ended)
            }
        };
        self.written[source as usize] += count as u64;
        if turn == Turn::Ended {
            self.close(index, poller)?;
        }
        Ok(Some(turn))
    }

    fn close(&mut self, index: usize, poller: &Poller) -> Result<()> {
        let mut output = self.outputs.remove(index);
        if let Some(log) = &mut self.log {
            log.pause(output.source, &output.take_begun_line());
            log.end(output.source);
        }
        output.set_watched(false, poller)
    }

    /// Gives up streams that have not ended although the process has, once they have been waited
    /// for and read empty: a process outside the container holds them.
    pub(super) fn abandon_held_streams(
        &mut self,
        buffer: &mut Vec<u8>,
        front_is_behind: bool,
        front: &mut impl Front,
        poller: &Poller,
    ) -> Result<()> {
        let due = self.listening_until.is_some_and(|at| at <= Instant::now());
        if self.ended.is_none() || !due {
            return Ok(());
        }
        let behind = front_is_behind || self.log_is_stuck();
        let sources: Vec<Source> = self.outputs.iter().map(|output| output.source).collect();
        for source in sources {
            let position = |output: &OutputStream| output.source == source;
            let Some(index) = self.outputs.iter().position(position) else {
                continue;
            };
            if behind && self.outputs[index].is_for_front() {
                continue;
            }
            let turn = self.read(source, buffer, front, poller)?;
            let Some(index) = self.outputs.iter().position(position) else {
                continue;
            };
            let output = &self.outputs[index];
            if turn == Some(Turn::Empty) || output.exhausted() && !output.is_held_back() {
                self.close(index, poller)?;
            }
        }
        Ok(())
    }

    /// Whether all is over; with what went wrong, and only once.
    pub(super) fn drained(&mut self) -> Option<Vec<String>> {
        let ended = self.ended.filter(|_| !self.drained)?;
        if self.log_is_stuck() {
            let failure = self.log.as_ref().and_then(Log::failure);
            if ended.elapsed() < LAST_TRIES {
                return None;
            }
            let failure = failure.unwrap_or_else(|| "writing the log".to_owned());
            self.troubles
                .push(format!("{failure}; the end of the log is missing"));
        } else if !self.outputs.is_empty() {
            return None;
        }
        self.drained = true;
        Some(std::mem::take(&mut self.troubles))
    }

    fn log_is_stuck(&self) -> bool {
        self.log.as_ref().is_some_and(Log::stuck)
    }

    /// When there is something to be done although nothing happens.
    pub(super) fn due(&self, front_is_behind: bool) -> Option<Instant> {
        let log = self.log.as_ref().and_then(Log::retry_at);
        let sinks = self.outputs.iter().filter_map(OutputStream::retry_at).min();
        let waits = self.ended.is_some() && !front_is_behind && !self.log_is_stuck();
        let waits = waits && self.outputs.iter().any(|output| !output.is_held_back());
        let soon = || Instant::now() + Duration::from_millis(1);
        let streams = self
            .listening_until
            .filter(|_| waits)
            .map(|at| at.max(soon()));
        [log, sinks, streams].into_iter().flatten().min()
    }

    /// Tries again what a full disk has refused.
    pub(super) fn retry(
        &mut self,
        buffer: &mut Vec<u8>,
        front: &mut impl Front,
        poller: &Poller,
    ) -> Result<()> {
        let now = Instant::now();
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if let Some(log) = &mut self.log
            && is_due(log.retry_at())
        {
            log.retry();
        }
        let due = |output: &&OutputStream| is_due(output.retry_at());
        let sources: Vec<Source> = self
            .outputs
            .iter()
            .filter(due)
            .map(|output| output.source)
            .collect();
        for source in sources {
            self.read(source, buffer, front, poller)?;
        }
        Ok(())
    }

    /// Gives up what only a lot of output needs.
    pub(super) fn release(&mut self) {
        if let Some(log) = &mut self.log {
            log.release();
        }
        self.outputs.iter_mut().for_each(OutputStream::narrow);
    }

    /// Takes all of it out of the poller.
    pub(super) fn unregister(mut self, poller: &Poller) -> Result<()> {
        if self.ended.is_none() {
            poller.remove(&self.pidfd)?;
        }
        self.input.shut(poller)?;
        for output in &mut self.outputs {
            output.set_watched(false, poller)?;
        }
        Ok(())
    }
}
