//! Times tasks, and sums the samples up.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::contestant::{CommandLine, Phase, Task};
use crate::shuffle::Shuffle;
use crate::sys;

/// One round of one task.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// From the first command's start to the last one's end.
    pub wall: Duration,
    /// User and system time of every process of the task. The comparison is a subreaper
    /// (prctl(2)): a container that outlives the command that made it becomes our child, so its
    /// time is counted as well.
    pub cpu: Duration,
}

/// Where commands write what goes wrong.
#[derive(Debug)]
pub struct ErrorLog(File);

impl ErrorLog {
    /// A log in this file.
    pub fn in_file(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(path);
        Ok(Self(
            file.with_context(|| format!("make {}", path.display()))?,
        ))
    }

    /// The command, ready to be spawned: without input and output, errors to this log.
    pub fn command(&self, line: &CommandLine) -> Result<Command> {
        let (program, arguments) = line.split_first().context("an empty command line")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command.stderr(self.0.try_clone()?);
        Ok(command)
    }

    /// An error unless the wait(2) status is success, with what the command wrote.
    pub fn check(&self, line: &CommandLine, status: i32) -> Result<()> {
        if status == 0 {
            return Ok(());
        }
        let mut log = &self.0;
        let mut written = String::new();
        log.seek(SeekFrom::Start(0))?;
        log.read_to_string(&mut written)?;
        let words: Vec<_> = line.iter().map(|word| word.to_string_lossy()).collect();
        let last = written.lines().last().unwrap_or("it wrote no error");
        bail!(
            "{} failed (wait status {status:#x}): {last}",
            words.join(" ")
        )
    }
}

/// Runs commands one after the other, untimed.
pub fn run_all(commands: &[CommandLine], log: &ErrorLog) -> Result<()> {
    commands
        .iter()
        .try_for_each(|line| run(line, log).map(|_| ()))
}

/// Runs the timed part of a task once.
pub fn time(task: &Task, log: &ErrorLog) -> Result<Sample> {
    let mut cpu = Duration::ZERO;
    let begin = Instant::now();
    for phase in &task.timed {
        cpu += match phase {
            Phase::Command(line) => run(line, log)?,
            Phase::UntilStopped => wait_for_all()?,
        };
    }
    Ok(Sample {
        wall: begin.elapsed(),
        cpu,
    })
}

/// Calls `measure` with the number of each of `count` contestants once in each round, in an order that is
/// shuffled anew, and gives what it measured of each. An error once SIGINT or SIGTERM came, so that containers
/// and cgroups are cleared up.
pub fn alternately<T>(
    count: usize,
    rounds: usize,
    shuffle: &mut Shuffle,
    mut measure: impl FnMut(usize) -> Result<T>,
) -> Result<Vec<Vec<T>>> {
    let mut samples: Vec<Vec<T>> = Vec::new();
    samples.resize_with(count, || Vec::with_capacity(rounds));
    let mut order: Vec<usize> = (0..count).collect();
    for _ in 0..rounds {
        shuffle.shuffle(&mut order);
        for &which in &order {
            go_on()?;
            samples[which].push(measure(which)?);
        }
    }
    Ok(samples)
}

/// An error once SIGINT or SIGTERM came.
pub fn go_on() -> Result<()> {
    if sys::interrupted() {
        bail!("interrupted");
    }
    Ok(())
}

/// Runs one command to its end. Containers that end meanwhile are our children too (see
/// [`Sample::cpu`]); they are reaped so that nobody waits for a zombie.
pub fn run(line: &CommandLine, log: &ErrorLog) -> Result<Duration> {
    let child = log
        .command(line)?
        .spawn()
        .with_context(|| format!("start {}", line[0].display()))?;
    let pid = i32::try_from(child.id())?;
    let mut cpu = Duration::ZERO;
    loop {
        let waited = sys::wait4(-1, 0)?.context("the command is gone")?;
        cpu += waited.cpu;
        if waited.pid == pid {
            log.check(line, waited.status)?;
            return Ok(cpu);
        }
    }
}

fn wait_for_all() -> Result<Duration> {
    let mut cpu = Duration::ZERO;
    while let Some(waited) = sys::wait4(-1, 0)? {
        cpu += waited.cpu;
    }
    Ok(cpu)
}

/// What is told of many figures of one kind.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Summary {
    /// The smallest.
    pub minimum: f64,
    /// A quarter of the figures is below this.
    pub quartile: f64,
    /// Half of the figures is below this.
    pub median: f64,
}

impl Summary {
    /// Of durations, in milliseconds.
    pub fn of(durations: impl Iterator<Item = Duration>) -> Self {
        let mut sorted: Vec<f64> = durations.map(|one| one.as_secs_f64() * 1e3).collect();
        sorted.sort_by(f64::total_cmp);
        let at = |part: usize| {
            sorted
                .get(sorted.len() * part / 4)
                .copied()
                .unwrap_or(f64::NAN)
        };
        Self {
            minimum: at(0),
            quartile: at(1),
            median: at(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ErrorLog, Summary, time};
    use crate::contestant::{Phase, Task};
    use std::time::Duration;

    #[test]
    fn summary_of_a_hundred() {
        let summary = Summary::of((1..=100).rev().map(Duration::from_millis));
        let near = |a: f64, b: f64| (a - b).abs() < 1e-6;
        assert!(near(summary.minimum, 1.0), "{summary:?}");
        assert!(near(summary.quartile, 26.0), "{summary:?}");
        assert!(near(summary.median, 51.0), "{summary:?}");
    }

    #[test]
    fn a_failing_command_is_told_with_its_last_error_line() {
        let directory = tempfile::tempdir().unwrap();
        let log = ErrorLog::in_file(&directory.path().join("log")).unwrap();
        let line = ["sh", "-c", "echo first >&2; echo no such moon >&2; exit 3"];
        let command = Phase::Command(line.map(Into::into).to_vec());
        let task = Task {
            timed: vec![command],
            ..Task::default()
        };
        let error = time(&task, &log).unwrap_err().to_string();
        assert!(
            error.contains("no such moon") && error.contains("0x300"),
            "{error}"
        );
    }
}
