//! The command line of `windlass-shim-bench`.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};

use super::by_hand::ByHand;
use super::bytes::{self, Trial};
use super::conmon::Conmon;
use super::containerd_shim::ContainerdShim;
use super::cost::{self, LogTime};
use super::place::Place;
use super::process::Memory;
use super::{Reader, Supervisor, pattern};

const MEBIBYTE: usize = 1 << 20;

/// Compares supervisors of containers: whether each byte of output arrives, memory, log speed, latency.
///
/// Makes containers as root, in cgroups below /windlass-shim-bench; scripts/bench-shim runs it in
/// namespaces of its own.
#[derive(Debug, Parser)]
#[command(name = "windlass-shim-bench")]
struct Arguments {
    /// A conmon; may be repeated
    #[arg(long, value_name = "PROGRAM")]
    conmon: Vec<PathBuf>,
    /// A containerd shim, version 2; may be repeated
    #[arg(long, value_name = "PROGRAM")]
    shim: Vec<PathBuf>,
    /// A windlass-shim, by its own command line; may be repeated
    #[arg(long, value_name = "PROGRAM")]
    by_hand: Vec<PathBuf>,
    /// The runtime that they all use
    #[arg(long, value_name = "PROGRAM")]
    runtime: PathBuf,
    /// What is measured; may be repeated [default: all]
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Containers that write and end at once
    #[arg(long, value_name = "N", default_value_t = 200)]
    containers: usize,
    /// What each of them writes to each stream, in MiB
    #[arg(long, value_name = "N", default_value_t = 64)]
    mebibytes: usize,
    /// Rounds of comings and goings that memory may not grow in
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    rounds: usize,
    /// What is logged for log speed, in MiB
    #[arg(long, value_name = "N", default_value_t = 1024)]
    log: usize,
    /// How often that is timed
    #[arg(long, value_name = "N", default_value_t = 3)]
    logs: usize,
    /// Starts that are timed
    #[arg(long, value_name = "N", default_value_t = 50)]
    starts: usize,
    /// How long a supervisor is watched doing nothing, in seconds
    #[arg(long, value_name = "N", default_value_t = 60)]
    idle: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Containers that write and end at once
    Burst,
    /// A reader of 4 KiB a millisecond
    Slow,
    /// A reader that goes away
    Dies,
    /// Containers with a terminal
    Terminal,
    /// Execs that write and end at once
    Exec,
    /// Proportional and private memory
    Memory,
    /// Memory after many comings and goings
    Growth,
    /// Processor time while nothing happens
    Idle,
    /// A log of lines
    Log,
    /// The time that a start takes
    Start,
}

/// The program: a comparison, or what a container does in it.
pub fn main() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().collect();
    if let [_, verb, size] = words.as_slice()
        && let Some(done) = in_container(verb, size)
    {
        done?;
        return Ok(ExitCode::SUCCESS);
    }
    compare(&Arguments::parse())
}

/// What a container's program does.
fn in_container(verb: &str, size: &str) -> Option<Result<()>> {
    let size = size.parse().ok()?;
    match verb {
        "container-writes" => Some(write_both(size)),
        "container-writes-to-terminal" => Some(write_one(size)),
        "container-writes-lines" => Some(write_lines(size)),
        _ => None,
    }
}

/// Standard output without the library's buffer, whose writes end at lines.
fn unbuffered() -> io::Result<File> {
    Ok(File::from(rustix::io::dup(rustix::stdio::stdout())?))
}

fn write_one(size: usize) -> Result<()> {
    Ok(pattern::write(1, size, &mut unbuffered()?)?)
}

fn write_both(size: usize) -> Result<()> {
    let errors = thread::spawn(move || pattern::write(2, size, &mut io::stderr()));
    pattern::write(1, size, &mut unbuffered()?)?;
    match errors.join() {
        Ok(written) => Ok(written?),
        Err(_) => bail!("the other thread ended early"),
    }
}

fn write_lines(size: usize) -> Result<()> {
    let mut line = [b'x'; 100];
    line[99] = b'\n';
    let block = line.repeat(40);
    let mut output = unbuffered()?;
    let mut left = size;
    while left > 0 {
        let now = left.min(block.len());
        output.write_all(&block[..now])?;
        left -= now;
    }
    Ok(())
}

fn compare(arguments: &Arguments) -> Result<ExitCode> {
    let directory = tempfile::Builder::new()
        .prefix("windlass-shim-bench")
        .tempdir()?;
    let place = Place::make(directory.path())?;
    let mut supervisors: Vec<Box<dyn Supervisor>> = Vec::new();
    let mut own = (0..).map(|number| directory.path().join(format!("supervisor-{number}")));
    let mut next = || own.next().unwrap_or_default();
    let runtime = || arguments.runtime.clone();
    for program in &arguments.conmon {
        supervisors.push(Box::new(Conmon::new(program.clone(), runtime(), next())?));
    }
    for program in &arguments.shim {
        supervisors.push(Box::new(ContainerdShim::new(
            program.clone(),
            runtime(),
            next(),
        )?));
    }
    for program in &arguments.by_hand {
        supervisors.push(Box::new(ByHand::new(program.clone(), runtime(), next())));
    }
    let mut failed = false;
    for part in Part::value_variants() {
        if !arguments.only.is_empty() && !arguments.only.contains(part) {
            continue;
        }
        println!("{part:?}");
        match part {
            Part::Log => log_times(arguments, &supervisors, &place)?,
            Part::Start => start_times(arguments, &supervisors, &place)?,
            _ => {}
        }
        if matches!(part, Part::Log | Part::Start) {
            continue;
        }
        for supervisor in &supervisors {
            let line = measure(*part, arguments, supervisor.as_ref(), &place);
            match line {
                Ok(line) => println!("  {:<28} {line}", supervisor.name()),
                Err(error) => {
                    failed = true;
                    println!("  {:<28} FAILED: {error:#}", supervisor.name());
                }
            }
        }
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn measure(
    part: Part,
    arguments: &Arguments,
    supervisor: &dyn Supervisor,
    place: &Place,
) -> Result<String> {
    let begin = Instant::now();
    let size = arguments.mebibytes * MEBIBYTE;
    let few = arguments.containers.div_ceil(20);
    let trial = |containers, size, terminal, reader| {
        let trial = Trial {
            containers,
            size,
            terminal,
            reader,
        };
        bytes::of_containers(supervisor, place, trial)?.words(begin)
    };
    match part {
        Part::Burst => trial(arguments.containers, size, false, Reader::Quick),
        Part::Slow => trial(few, size.min(8 * MEBIBYTE), false, Reader::Slow),
        Part::Dies => trial(few, size, false, Reader::Dies),
        Part::Terminal => trial(few, size, true, Reader::Quick),
        Part::Exec => bytes::of_execs(supervisor, place, few, size)?.words(begin),
        Part::Memory => {
            let mut words = format!(
                "alone {}; three at once {}",
                kilobytes(&cost::memory_of(supervisor, place, 1)?),
                kilobytes(&cost::memory_of(supervisor, place, 3)?)
            );
            if supervisor.knows_pods() {
                words += "; a pod of 1 to 11 ";
                words += &kilobytes(&cost::memory_of_pod(supervisor, place, 11)?);
            }
            Ok(words)
        }
        Part::Growth => {
            let growth = cost::growth(supervisor, place, arguments.rounds)?;
            Ok(format!(
                "{} rounds: {}, descriptors {} to {}",
                arguments.rounds,
                kilobytes(&[growth.before, growth.after]),
                growth.descriptors[0],
                growth.descriptors[1]
            ))
        }
        Part::Idle => {
            let (ticks, threads) =
                cost::idle(supervisor, place, Duration::from_secs(arguments.idle))?;
            Ok(format!(
                "{ticks} ticks in {} s, {threads} threads",
                arguments.idle
            ))
        }
        // Of these all are measured alternately.
        Part::Log | Part::Start => Ok(String::new()),
    }
}

fn kilobytes(memory: &[Memory]) -> String {
    let words: Vec<_> = memory
        .iter()
        .map(|memory| format!("{}/{}", memory.proportional, memory.private))
        .collect();
    format!("{} kB proportional/private", words.join(" "))
}

/// Every supervisor's, alternately.
fn log_times(
    arguments: &Arguments,
    supervisors: &[Box<dyn Supervisor>],
    place: &Place,
) -> Result<()> {
    let mut times = vec![Vec::new(); supervisors.len()];
    for _ in 0..arguments.logs {
        for (supervisor, times) in supervisors.iter().zip(&mut times) {
            let size = arguments.log * MEBIBYTE;
            times.push(cost::log_time(supervisor.as_ref(), place, size)?);
        }
    }
    for (supervisor, times) in supervisors.iter().zip(times) {
        let sorted = |figure: fn(&LogTime) -> Duration| {
            let mut figures: Vec<f64> = times.iter().map(|one| figure(one).as_secs_f64()).collect();
            figures.sort_by(f64::total_cmp);
            let median = figures.get(figures.len() / 2).copied();
            (
                figures.first().copied().unwrap_or_default(),
                median.unwrap_or_default(),
            )
        };
        let (wall, processor) = (sorted(|one| one.wall), sorted(|one| one.processor));
        println!(
            "  {:<28} {} MiB in {:.2} s at least, {:.2} s median; its processor time {:.2} s, {:.2} s",
            supervisor.name(),
            arguments.log,
            wall.0,
            wall.1,
            processor.0,
            processor.1
        );
    }
    Ok(())
}

/// The runtime alone and every supervisor, alternately.
fn start_times(
    arguments: &Arguments,
    supervisors: &[Box<dyn Supervisor>],
    place: &Place,
) -> Result<()> {
    let mut times = vec![Vec::new(); supervisors.len() + 1];
    for round in 0..arguments.starts {
        times[0].push(cost::start_time_alone(&arguments.runtime, place, round)?);
        for (supervisor, times) in supervisors.iter().zip(&mut times[1..]) {
            times.push(cost::start_time(supervisor.as_ref(), place, round)?);
        }
    }
    let names = ["the runtime alone"]
        .into_iter()
        .chain(supervisors.iter().map(|one| one.name()));
    for (name, mut times) in names.zip(times) {
        times.sort();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
        println!(
            "  {name:<28} least {:.1} ms, 25 % {:.1} ms, median {:.1} ms",
            at(0),
            at(25),
            at(50)
        );
    }
    Ok(())
}
