//! What a supervisor costs: memory, processor time while nothing happens, time for a log, time that a
//! container's start takes longer.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::place::{Place, Task};
use super::process::{self, Memory};
use super::{Reader, Running, Supervisor};

/// How long a supervisor is left alone before it is looked at: longer than any of them waits before it gives
/// memory back.
const QUIET: Duration = Duration::from_secs(2);

/// Of each of `count` supervisors that are there at the same time, with an idle container each.
pub fn memory_of(supervisor: &dyn Supervisor, place: &Place, count: usize) -> Result<Vec<Memory>> {
    let mut containers = Vec::new();
    let mut bundles = Vec::new();
    for number in 0..count {
        let bundle = place.bundle(&format!("memory-{number}"), Task::Idle, false, None)?;
        containers.push(supervisor.start(&bundle, Reader::Quick)?);
        bundles.push(bundle);
    }
    sleep(QUIET);
    let memory = containers
        .iter()
        .map(|container| process::memory(supervisor_of(container.as_ref())?))
        .collect();
    for mut container in containers {
        container.kill()?;
        container.finish()?;
    }
    for bundle in bundles {
        bundle.remove()?;
    }
    memory
}

/// Of the one supervisor of a pod: with its first container, and with each further one.
pub fn memory_of_pod(
    supervisor: &dyn Supervisor,
    place: &Place,
    count: usize,
) -> Result<Vec<Memory>> {
    let mut containers = Vec::new();
    let mut memory = Vec::new();
    for number in 0..count {
        let bundle = place.bundle(&format!("pod-{number}"), Task::Idle, false, Some("pod-0"))?;
        containers.push((supervisor.start(&bundle, Reader::Quick)?, bundle));
        sleep(QUIET);
        memory.push(process::memory(supervisor_of(containers[0].0.as_ref())?)?);
        let (own, first) = (
            supervisor_of(containers[number].0.as_ref())?,
            supervisor_of(containers[0].0.as_ref())?,
        );
        if own != first {
            bail!("container {number} of the pod has a supervisor of its own ({own}, not {first})");
        }
    }
    // The first is the sandbox, with which the shim ends.
    while let Some((mut container, bundle)) = containers.pop() {
        container.kill()?;
        container.finish()?;
        bundle.remove()?;
    }
    Ok(memory)
}

/// A supervisor before and after many comings and goings.
#[derive(Debug)]
pub struct Growth {
    /// After the first hundred.
    pub before: Memory,
    /// After the last.
    pub after: Memory,
    /// Descriptors, before and after.
    pub descriptors: [usize; 2],
}

/// Looks into a container, and executes something in it, `rounds` times.
pub fn growth(supervisor: &dyn Supervisor, place: &Place, rounds: usize) -> Result<Growth> {
    const FIRST: usize = 100;
    let bundle = place.bundle("growth", Task::Idle, false, None)?;
    let mut container = supervisor.start(&bundle, Reader::Quick)?;
    let file = bundle.process_file(Task::End)?;
    let pid = supervisor_of(container.as_ref())?;
    let mut before = None;
    for round in 0..rounds.max(FIRST) {
        if round == FIRST {
            sleep(QUIET);
            before = Some((process::memory(pid)?, process::descriptors(pid)?));
        }
        container.look_in()?;
        let outcome = container.exec(&format!("round-{round}"), &file)?;
        if outcome.status != 0 {
            bail!("exec {round} ended with status {}", outcome.status);
        }
    }
    sleep(QUIET);
    let (after, now) = (process::memory(pid)?, process::descriptors(pid)?);
    let (before, then) = before.unwrap_or((after, now));
    container.kill()?;
    container.finish()?;
    bundle.remove()?;
    Ok(Growth {
        before,
        after,
        descriptors: [then, now],
    })
}

/// Ticks of processor time that a supervisor uses in `time` with an idle container, and its threads.
pub fn idle(supervisor: &dyn Supervisor, place: &Place, time: Duration) -> Result<(u64, u64)> {
    let bundle = place.bundle("idle", Task::Idle, false, None)?;
    let mut container = supervisor.start(&bundle, Reader::Quick)?;
    let pid = supervisor_of(container.as_ref())?;
    sleep(QUIET);
    let begin = process::ticks(pid)?;
    sleep(time);
    let found = (process::ticks(pid)? - begin, process::threads(pid)?);
    container.kill()?;
    container.finish()?;
    bundle.remove()?;
    Ok(found)
}

/// What it takes to log what a container writes.
#[derive(Debug, Clone, Copy)]
pub struct LogTime {
    /// From the container's start until all is where it belongs.
    pub wall: Duration,
    /// The supervisor's processor time.
    pub processor: Duration,
}

/// Logs `size` bytes of lines.
pub fn log_time(supervisor: &dyn Supervisor, place: &Place, size: usize) -> Result<LogTime> {
    let bundle = place.bundle("log", Task::Lines(size), false, None)?;
    let begin = Instant::now();
    let container = supervisor.start(&bundle, Reader::Quick)?;
    let supervisor = supervisor_of(container.as_ref())?;
    let processor = thread::spawn(move || processor_time(supervisor));
    let outcome = container.finish()?;
    let time = LogTime {
        wall: outcome.arrived - begin,
        processor: processor.join().unwrap_or_default(),
    };
    if outcome.status != 0 || outcome.stdout.bytes != size as u64 {
        bail!(
            "status {}, {} of {size} bytes arrived",
            outcome.status,
            outcome.stdout.bytes
        );
    }
    bundle.remove()?;
    Ok(time)
}

/// What a process will have used when it ends; looks every few milliseconds.
fn processor_time(pid: u32) -> Duration {
    let mut ticks = 0;
    while !process::has_ended(pid) {
        ticks = process::ticks(pid).unwrap_or(ticks);
        sleep(Duration::from_millis(5));
    }
    Duration::from_millis(10 * ticks)
}

/// How long it takes until a container has been started.
pub fn start_time(supervisor: &dyn Supervisor, place: &Place, round: usize) -> Result<Duration> {
    let bundle = place.bundle(&format!("start-{round}"), Task::Idle, false, None)?;
    let begin = Instant::now();
    let mut container = supervisor.start(&bundle, Reader::Quick)?;
    let time = begin.elapsed();
    container.kill()?;
    container.finish()?;
    bundle.remove()?;
    Ok(time)
}

/// Likewise, by the runtime alone: its `create` and `start`.
pub fn start_time_alone(runtime: &Path, place: &Place, round: usize) -> Result<Duration> {
    let bundle = place.bundle(&format!("alone-{round}"), Task::Idle, false, None)?;
    let call = |arguments: &[&str]| -> Result<()> {
        let status = Command::new(runtime)
            .arg("--root")
            .arg(place.directory.join("alone"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .with_context(|| format!("run {}", runtime.display()))?;
        if !status.success() {
            bail!("{} {arguments:?}: {status}", runtime.display());
        }
        Ok(())
    };
    let directory = bundle.directory.to_string_lossy();
    let begin = Instant::now();
    call(&["create", "--bundle", &directory, &bundle.id])?;
    call(&["start", &bundle.id])?;
    let time = begin.elapsed();
    call(&["delete", "--force", &bundle.id])?;
    bundle.remove()?;
    Ok(time)
}

/// The process that the container's first process is a child of.
fn supervisor_of(container: &dyn Running) -> Result<u32> {
    process::parent(container.container())
}
