//! Command lines, run alternately: wall time, processor time, memory.

use std::fs;
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::measure::Summary;
use crate::sys;

/// A name and a shell command.
#[derive(Debug, Clone)]
pub struct Contestant {
    name: String,
    command: String,
}

impl FromStr for Contestant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, command) = text.split_once('=').ok_or("lacks NAME=")?;
        Ok(Self {
            name: name.to_owned(),
            command: command.to_owned(),
        })
    }
}

/// A process that works for a contestant.
#[derive(Debug, Clone)]
pub struct Daemon {
    contestant: String,
    pid: u32,
}

impl FromStr for Daemon {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, pid) = text.split_once('=').ok_or("lacks NAME=")?;
        Ok(Self {
            contestant: name.to_owned(),
            pid: pid.parse().map_err(|_| "is no process id")?,
        })
    }
}

impl Daemon {
    /// Its processor time, that of children which it waited for included.
    fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))
            .context("read a daemon's processor time")?;
        // What follows the name, which may hold anything, begins with field 3 (proc_pid_stat(5)).
        let (_, rest) = stat.rsplit_once(')').context("a bad /proc/PID/stat")?;
        let ticks: u64 = rest
            .split_whitespace()
            .skip(11)
            .take(4)
            .filter_map(|word| word.parse::<u64>().ok())
            .sum();
        // USER_HZ is 100 on x86 and ARM (time(7)).
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Forgets how much memory it had in use at most (proc_pid_clear_refs(5)).
    fn reset_peak(&self) -> Result<()> {
        fs::write(format!("/proc/{}/clear_refs", self.pid), "5").context("reset a daemon's peak")
    }

    /// The most memory that it had in use, in KiB.
    fn peak(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let words = line.context("a daemon without VmHWM")?;
        let word = words.split_whitespace().next().unwrap_or_default();
        word.parse().context("a bad VmHWM")
    }
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    wall: Duration,
    cpu: Duration,
    peak: u64,
}

/// Runs every contestant once in each round, the first one's turn going round, and prints what they cost.
pub fn contest(
    contestants: &[Contestant],
    daemons: &[Daemon],
    before: &str,
    rounds: usize,
) -> Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let mut samples = vec![Vec::with_capacity(rounds); contestants.len()];
    for round in 0..rounds {
        for turn in 0..contestants.len() {
            let which = (round + turn) % contestants.len();
            let contestant = &contestants[which];
            let daemons: Vec<&Daemon> = daemons
                .iter()
                .filter(|daemon| daemon.contestant == contestant.name)
                .collect();
            run(before).context("before a run")?;
            let sample = time(contestant, &daemons).with_context(|| contestant.name.clone())?;
            samples[which].push(sample);
        }
    }
    run(before).context("after the last run")?;
    print(contestants, &samples);
    Ok(())
}

fn time(contestant: &Contestant, daemons: &[&Daemon]) -> Result<Sample> {
    let daemons_cpu = || -> Result<Duration> { daemons.iter().map(|daemon| daemon.cpu()).sum() };
    for daemon in daemons {
        daemon.reset_peak()?;
    }
    let cpu_before = daemons_cpu()?;
    let begin = Instant::now();
    let (cpu, mut peak) = run(&contestant.command)?;
    let wall = begin.elapsed();
    let cpu = cpu + daemons_cpu()?.saturating_sub(cpu_before);
    for daemon in daemons {
        peak = peak.max(daemon.peak()?);
    }
    Ok(Sample { wall, cpu, peak })
}

/// Runs a shell command: its processor time and most memory, those of everything that it started included.
fn run(command: &str) -> Result<(Duration, u64)> {
    let child = Command::new("sh")
        .args(["-ec", command])
        .spawn()
        .context("start sh")?;
    let pid = i32::try_from(child.id())?;
    let (mut cpu, mut peak) = (Duration::ZERO, 0);
    loop {
        let waited = sys::wait4(-1, 0)?.context("the command is gone")?;
        cpu += waited.cpu;
        peak = peak.max(waited.peak);
        if waited.pid == pid {
            if waited.status != 0 {
                bail!("'{command}' failed (wait status {:#x})", waited.status);
            }
            return Ok((cpu, peak));
        }
    }
}

fn print(contestants: &[Contestant], samples: &[Vec<Sample>]) {
    println!(
        "{:<24} {:>29}  {:>29}  {:>15}  {:>6}",
        "", "wall s: min  quarter  median", "CPU s: min  quarter  median", "to the first", "peak"
    );
    let summaries = |samples: &[Sample]| {
        (
            Summary::of(samples.iter().map(|sample| sample.wall)),
            Summary::of(samples.iter().map(|sample| sample.cpu)),
        )
    };
    let first = samples.first().map(|samples| summaries(samples));
    for (contestant, samples) in contestants.iter().zip(samples) {
        let (wall, cpu) = summaries(samples);
        let three = |summary: Summary| {
            let Summary {
                minimum,
                quartile,
                median,
            } = summary;
            let seconds = [minimum, quartile, median].map(|time| time / 1e3);
            format!(
                "{:>11.2}  {:>7.2}  {:>6.2}",
                seconds[0], seconds[1], seconds[2]
            )
        };
        let ratio = |one: f64, other: Option<f64>| one / other.unwrap_or(f64::NAN);
        let peak = samples.iter().map(|sample| sample.peak).max().unwrap_or(0);
        println!(
            "{:<24} {:>29}  {:>29}  {:>5.2} CPU {:>5.2}  {:>3} MB",
            contestant.name,
            three(wall),
            three(cpu),
            ratio(wall.quartile, first.map(|(wall, _)| wall.quartile)),
            ratio(cpu.quartile, first.map(|(_, cpu)| cpu.quartile)),
            peak * 1024 / 1_000_000,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_told() {
        let error = run("exit 3").unwrap_err().to_string();
        assert!(error.contains("exit 3"), "{error}");
    }

    #[test]
    fn time_and_memory_are_those_of_everything_started() {
        let (cpu, peak) = run("sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'").unwrap();
        assert!(cpu > Duration::from_millis(10), "{cpu:?}");
        assert!(peak > 100, "{peak}");
    }
}
