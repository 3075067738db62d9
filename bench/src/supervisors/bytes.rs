//! Does every byte arrive?

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Result, bail};

use super::place::{Place, Task};
use super::{Outcome, Reader, Supervisor};

/// How many containers run at once.
const AT_ONCE: usize = 4;

/// What was written, and what was lost.
#[derive(Debug, Default, Clone, Copy)]
pub struct Balance {
    /// Processes that wrote.
    pub processes: usize,
    /// Bytes that they wrote.
    pub written: u64,
    /// Bytes that did not arrive as they were written.
    pub lost: u64,
    /// Processes of which something was lost.
    pub hurt: usize,
}

impl Balance {
    fn count(&mut self, outcome: &Outcome, size: usize, terminal: bool) -> Result<()> {
        if outcome.status != 0 {
            bail!(
                "the container's program ended with status {}",
                outcome.status
            );
        }
        let size = size as u64;
        let expected = if terminal { [size, 0] } else { [size, size] };
        let lost = outcome.stdout.lost(expected[0]) + outcome.stderr.lost(expected[1]);
        self.processes += 1;
        self.written += expected[0] + expected[1];
        self.lost += lost;
        self.hurt += usize::from(lost > 0);
        Ok(())
    }

    /// For people; an error where something was lost.
    pub fn words(&self, begin: Instant) -> Result<String> {
        let words = format!(
            "{} processes, {:.1} MiB written, {} bytes lost of {} processes, {:.1} s",
            self.processes,
            mebibytes(self.written),
            self.lost,
            self.hurt,
            begin.elapsed().as_secs_f64()
        );
        if self.lost > 0 {
            bail!(words)
        }
        Ok(words)
    }
}

#[allow(clippy::cast_precision_loss)]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// What is tried.
#[derive(Debug, Clone, Copy)]
pub struct Trial {
    /// How many containers.
    pub containers: usize,
    /// What each writes to each stream, in bytes.
    pub size: usize,
    /// With a terminal, which has one stream.
    pub terminal: bool,
    /// The other end.
    pub reader: Reader,
}

/// Containers that write and end at once.
pub fn of_containers(supervisor: &dyn Supervisor, place: &Place, trial: Trial) -> Result<Balance> {
    let next = AtomicUsize::new(0);
    let balance = Mutex::new(Balance::default());
    let task = if trial.terminal {
        Task::WriteToTerminal(trial.size)
    } else {
        Task::Write(trial.size)
    };
    thread::scope(|scope| {
        let work = || -> Result<()> {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= trial.containers {
                    return Ok(());
                }
                let bundle =
                    place.bundle(&format!("bytes-{number}"), task, trial.terminal, None)?;
                let outcome = supervisor.start(&bundle, trial.reader)?.finish()?;
                bundle.remove()?;
                if let Ok(mut balance) = balance.lock() {
                    balance.count(&outcome, trial.size, trial.terminal)?;
                }
            }
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            match worker.join() {
                Ok(result) => result?,
                Err(_) => bail!("a thread ended early"),
            }
        }
        Ok(())
    })?;
    Ok(balance.into_inner().unwrap_or_default())
}

/// Execs that write and end at once, in one container.
pub fn of_execs(
    supervisor: &dyn Supervisor,
    place: &Place,
    execs: usize,
    size: usize,
) -> Result<Balance> {
    let bundle = place.bundle("execs", Task::Idle, false, None)?;
    let mut container = supervisor.start(&bundle, Reader::Quick)?;
    let process = bundle.process_file(Task::Write(size))?;
    let mut balance = Balance::default();
    for number in 0..execs {
        let outcome = container.exec(&format!("exec-{number}"), &process)?;
        balance.count(&outcome, size, false)?;
    }
    container.kill()?;
    container.finish()?;
    bundle.remove()?;
    Ok(balance)
}
