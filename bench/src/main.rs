//! `windlass-bench`: compares runtimes, and each with the floor.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::Parser;
use serde_json::Value;

use windlass_bench::bundle::{self, CONFIGS};
use windlass_bench::contestant::{self, Contestant, Task, Workplace};
use windlass_bench::ground::Ground;
use windlass_bench::hierarchies::Parents;
use windlass_bench::measure::{self, ErrorLog};
use windlass_bench::report::{Comparison, Machine, Measured, Report};
use windlass_bench::scenario::{Network, Operation, Scenario};
use windlass_bench::shuffle::Shuffle;
use windlass_bench::trace;

/// Compares OCI runtimes with each other and with the kernel's own floor.
///
/// Every scenario is an operation on the container of a config, with a new network namespace or
/// with the host's. In every round each contestant runs once, in an order that is shuffled anew.
/// The containers' program ends at once, so what is timed is the runtime and the kernel.
///
/// CPU time is that of all processes of an operation, the container's included, also where the
/// container outlives the command that made it (create; the comparison is a subreaper). What a
/// daemon would do for a runtime (systemd, for cgroups) is not counted; no contestant is asked to
/// use one. Some kernels (user-mode Linux) count CPU time in ticks of 10 ms only.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// A runtime: a path, a name in PATH, or NAME=PATH. The first is compared with the others.
    #[arg(long = "runtime", value_name = "RUNTIME", required = true)]
    runtimes: Vec<String>,

    /// The floor program [default: windlass-floor beside this program].
    #[arg(long, value_name = "PATH")]
    floor: Option<PathBuf>,

    /// A config: runc-spec, docker, docker-hardened, containerd-ctr, podman, or a file
    /// [default: all five].
    #[arg(long = "config", value_name = "CONFIG")]
    configs: Vec<String>,

    /// The container's network namespace [default: both].
    #[arg(long = "network", value_name = "NETWORK")]
    networks: Vec<Network>,

    /// What is timed [default: all three].
    #[arg(long = "operation", value_name = "OPERATION")]
    operations: Vec<Operation>,

    /// Rounds of each scenario.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,

    /// Write the result, every sample included, to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    match compare(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("windlass-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn compare(arguments: Arguments) -> Result<()> {
    let contestants = contestants(&arguments)?;
    let scenarios = scenarios(&arguments);
    let configs: BTreeMap<String, Value> = scenarios
        .iter()
        .map(|scenario| Ok((scenario.config.clone(), bundle::config(&scenario.config)?)))
        .collect::<Result<_>>()?;

    let ground = Ground::make(&configs.values().cloned().collect::<Vec<_>>())?;
    let seed = SystemTime::now()
        .duration_since(UNIX_EPOCH)?
        .subsec_nanos()
        .into();
    let mut shuffle = Shuffle::new(seed);
    let mut report = Report {
        machine: machine(&contestants, &ground.parents)?,
        rounds: arguments.rounds.try_into()?,
        seed,
        results: Vec::new(),
    };
    println!("{} rounds; {}\n", report.rounds, report.machine.one_line());
    for scenario in scenarios {
        let config = &configs[&scenario.config];
        let comparison = one(
            scenario,
            config,
            &contestants,
            ground.workplace(),
            report.rounds,
            &mut shuffle,
            &ground.log,
        )?;
        println!("{}", comparison.table());
        report.results.push(comparison);
    }
    println!("{}", report.summary());
    if let Some(path) = &arguments.json {
        fs::write(path, serde_json::to_string_pretty(&report)?)
            .with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn contestants(arguments: &Arguments) -> Result<Vec<Contestant>> {
    let floor = match &arguments.floor {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("windlass-floor"),
    };
    if !floor.is_file() {
        bail!("the floor program is not at {}", floor.display());
    }
    let mut contestants = vec![Contestant::floor(floor)];
    contestant::add_runtimes(&mut contestants, &arguments.runtimes)?;
    Ok(contestants)
}

fn scenarios(arguments: &Arguments) -> Vec<Scenario> {
    fn or_all<T: Clone>(given: &[T], all: &[T]) -> Vec<T> {
        if given.is_empty() {
            all.to_vec()
        } else {
            given.to_vec()
        }
    }
    let all_configs = CONFIGS.map(|(name, _)| name.to_owned());
    let mut scenarios = Vec::new();
    for config in or_all(&arguments.configs, &all_configs) {
        for network in or_all(&arguments.networks, &[Network::New, Network::Host]) {
            let all = [Operation::Run, Operation::Lifecycle, Operation::Exec];
            for operation in or_all(&arguments.operations, &all) {
                scenarios.push(Scenario {
                    config: config.clone(),
                    network,
                    operation,
                });
            }
        }
    }
    scenarios
}

fn machine(contestants: &[Contestant], parents: &Parents) -> Result<Machine> {
    let unified = parents
        .hierarchies
        .iter()
        .any(|hierarchy| hierarchy.unified);
    Ok(Machine {
        kernel: rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned(),
        processors: std::thread::available_parallelism()?.get(),
        cgroups: match (parents.unified_only(), unified) {
            (true, _) => "v2",
            (false, true) => "hybrid",
            (false, false) => "v1",
        },
        versions: contestants
            .iter()
            .filter(|contestant| !contestant.is_floor)
            .map(|contestant| (contestant.name.clone(), version(&contestant.program)))
            .collect(),
    })
}

fn version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text)
        .lines()
        .next()
        .unwrap_or("unknown")
        .to_owned()
}

/// One scenario: every contestant's footprint, then the timed rounds.
fn one(
    scenario: Scenario,
    config: &Value,
    contestants: &[Contestant],
    workplace: Workplace<'_>,
    rounds: usize,
    shuffle: &mut Shuffle,
    log: &ErrorLog,
) -> Result<Comparison> {
    let mut tasks = Tasks {
        log,
        tasks: Vec::new(),
    };
    for contestant in contestants {
        let task = contestant.task(scenario.operation, scenario.network, config, workplace)?;
        tasks.begin(task)?;
    }
    let tasks = &tasks.tasks;
    let mut footprints = Vec::new();
    for task in tasks {
        footprints.push(trace::footprint(task, log)?);
    }
    for task in tasks {
        measure::time(task, log)?; // once to warm up
    }
    let samples = measure::alternately(tasks.len(), rounds, shuffle, |which| {
        measure::time(&tasks[which], log)
    })?;
    let contestants = contestants.iter().zip(&samples).zip(footprints);
    let measured = contestants.map(|((contestant, samples), footprint)| {
        Measured::new(&contestant.name, samples, footprint)
    });
    Ok(Comparison::new(scenario, measured.collect()))
}

/// The tasks whose `before` has run; their `after` runs when this is dropped, whatever happened.
struct Tasks<'log> {
    log: &'log ErrorLog,
    tasks: Vec<Task>,
}

impl Tasks<'_> {
    fn begin(&mut self, task: Task) -> Result<()> {
        self.tasks.push(task);
        self.tasks
            .last()
            .map_or(Ok(()), |task| measure::run_all(&task.before, self.log))
    }
}

impl Drop for Tasks<'_> {
    fn drop(&mut self) {
        for task in &self.tasks {
            if let Err(error) = measure::run_all(&task.after, self.log) {
                eprintln!("windlass-bench: clean-up: {error:#}");
            }
        }
    }
}
