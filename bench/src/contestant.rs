//! Who is compared: the floor, and runtimes by path. Each turns an operation into commands.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::bundle::{self, Place, SLEEP, TRUE};
use crate::floor;
use crate::hierarchies::Hierarchy;
use crate::scenario::{Network, Operation};

/// A program with its arguments.
pub type CommandLine = Vec<OsString>;

/// The commands of one operation.
#[derive(Debug, Default)]
pub struct Task {
    /// Run once before all rounds.
    pub before: Vec<CommandLine>,
    /// What is timed.
    pub timed: Vec<Phase>,
    /// Run once after all rounds.
    pub after: Vec<CommandLine>,
}

/// A part of what is timed.
#[derive(Debug)]
pub enum Phase {
    /// A command that has to succeed.
    Command(CommandLine),
    /// Until the container's program has ended.
    UntilStopped,
}

/// A runtime, or the floor.
#[derive(Debug)]
pub struct Contestant {
    /// What it is called in the report.
    pub name: String,
    /// Its program.
    pub program: PathBuf,
    /// Whether it is the floor program rather than a runtime.
    pub is_floor: bool,
}

/// Where the files of a comparison are.
#[derive(Debug, Clone, Copy)]
pub struct Workplace<'a> {
    /// A directory of our own.
    pub directory: &'a Path,
    /// The directory in which every contestant keeps the state of its containers.
    pub state: &'a Path,
    /// The root file system of all containers.
    pub rootfs: &'a Path,
    /// The cgroup hierarchies of the machine.
    pub hierarchies: &'a [Hierarchy],
}

impl Contestant {
    /// The floor program.
    pub fn floor(program: PathBuf) -> Self {
        Self {
            name: "floor".into(),
            program,
            is_floor: true,
        }
    }

    /// A runtime by path, by a name in `PATH`, or as `NAME=PATH`.
    pub fn runtime(given: &str) -> Result<Self> {
        let (name, path) = given.split_once('=').unwrap_or((given, given));
        let name = Path::new(name)
            .file_name()
            .context("an empty name")?
            .to_string_lossy();
        let program = find(path).with_context(|| format!("no program {path:?} found"))?;
        Ok(Self {
            name: name.into_owned(),
            program,
            is_floor: false,
        })
    }

    /// Lays out what `operation` needs and returns its commands.
    pub fn task(
        &self,
        operation: Operation,
        network: Network,
        config: &Value,
        workplace: Workplace<'_>,
    ) -> Result<Task> {
        let id = format!("windlass-bench-{}", self.name);
        let program = if operation == Operation::Exec {
            SLEEP
        } else {
            TRUE
        };
        let place = Place {
            rootfs: workplace.rootfs,
            id: &id,
            network,
            program,
        };
        let config = bundle::adjust(config.clone(), place)?;
        let own = workplace.directory.join(&self.name);
        let state = workplace.state.join(&self.name);
        if self.is_floor {
            self.floor_task(operation, &config, &id, state, workplace.hierarchies)
        } else {
            self.runtime_task(operation, &config, &id, own, state)
        }
    }

    /// A runtime's command line: `--root ROOT ARGUMENTS… [--bundle BUNDLE] ID`.
    pub fn command(
        &self,
        root: &Path,
        arguments: &[&str],
        bundle: Option<&Path>,
        id: &str,
    ) -> CommandLine {
        let mut line: CommandLine = vec![self.program.clone().into()];
        line.extend(["--root".into(), root.into()]);
        line.extend(arguments.iter().map(OsString::from));
        if let Some(bundle) = bundle {
            line.extend(["--bundle".into(), bundle.into()]);
        }
        line.push(id.into());
        line
    }

    fn runtime_task(
        &self,
        operation: Operation,
        config: &Value,
        id: &str,
        own: PathBuf,
        root: PathBuf,
    ) -> Result<Task> {
        let bundle = bundle::write(own.join("bundle"), config)?;
        let command =
            |arguments: &[&str], bundle: Option<&Path>| self.command(&root, arguments, bundle, id);
        let bundle = Some(bundle.as_path());
        Ok(match operation {
            Operation::Run => Task {
                timed: vec![Phase::Command(command(&["run"], bundle))],
                ..Task::default()
            },
            Operation::Lifecycle => Task {
                timed: vec![
                    Phase::Command(command(&["create"], bundle)),
                    Phase::Command(command(&["start"], None)),
                    Phase::UntilStopped,
                    Phase::Command(command(&["delete"], None)),
                ],
                ..Task::default()
            },
            Operation::Exec => {
                let mut exec = command(&["exec"], None);
                exec.push(TRUE.into());
                Task {
                    before: vec![command(&["run", "-d"], bundle)],
                    timed: vec![Phase::Command(exec)],
                    after: vec![command(&["delete", "--force"], None)],
                }
            }
        })
    }

    fn floor_task(
        &self,
        operation: Operation,
        config: &Value,
        id: &str,
        own: PathBuf,
        hierarchies: &[Hierarchy],
    ) -> Result<Task> {
        fs::create_dir_all(&own)?;
        let plan = own.join("plan");
        fs::write(
            &plan,
            floor::plan::plan(config, id, hierarchies)?.to_string(),
        )?;
        let command = |verb: &str, arguments: &[&Path]| -> CommandLine {
            let mut line: CommandLine = vec![self.program.clone().into(), verb.into()];
            line.extend(arguments.iter().map(OsString::from));
            line
        };
        let create = command("create", &[&plan, &own]);
        let start = command("start", &[&own]);
        let delete = command("delete", &[&plan, &own]);
        Ok(match operation {
            Operation::Run => Task {
                timed: vec![Phase::Command(command("run", &[&plan]))],
                ..Task::default()
            },
            Operation::Lifecycle => Task {
                timed: vec![
                    Phase::Command(create),
                    Phase::Command(start),
                    Phase::UntilStopped,
                    Phase::Command(delete),
                ],
                ..Task::default()
            },
            Operation::Exec => Task {
                before: vec![create, start],
                timed: vec![Phase::Command(command(
                    "exec",
                    &[&plan, &own, Path::new(TRUE)],
                ))],
                after: vec![command("kill", &[&own]), delete],
            },
        })
    }
}

/// Adds the runtimes that a command line names.
///
/// # Errors
/// For one that isn't there, and for a name that another has.
pub fn add_runtimes(contestants: &mut Vec<Contestant>, given: &[String]) -> Result<()> {
    for given in given {
        let runtime = Contestant::runtime(given)?;
        if contestants.iter().any(|other| other.name == runtime.name) {
            bail!(
                "two contestants are called {:?}; name one: NAME=PATH",
                runtime.name
            );
        }
        contestants.push(runtime);
    }
    Ok(())
}

/// The program at this path, or of this name in `PATH`.
fn find(program: &str) -> Result<PathBuf> {
    if program.contains('/') {
        return Ok(fs::canonicalize(program)?);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    match std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|p| p.is_file())
    {
        Some(found) => Ok(found),
        None => bail!("it is not in PATH"),
    }
}
