//! The command line: runc's, one file a verb.

mod create;
mod delete;
mod exec;
mod explain;
mod features;
mod foreground;
mod kill;
mod list;
mod log;
mod options;
mod run;
mod spec;
mod start;
mod state;
mod version;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::container::{Container, Store};
use crate::error::{Error, Result};
use crate::seal::seal_own_binary;
use log::{Log, LogFormat};

/// An OCI runtime: creates, starts, kills and deletes containers from an OCI bundle.
#[derive(Debug, Parser)]
#[command(
    name = "windlass",
    disable_version_flag = true,
    arg_required_else_help = true,
    args_override_self = true
)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    /// Print the version, and the version of the specification that it follows
    #[arg(short, long)]
    version: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// The options in front of the verb.
#[derive(Debug, clap::Args)]
struct Global {
    /// Where containers are kept; default /run/windlass, or $XDG_RUNTIME_DIR/windlass without root's
    /// rights
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Write errors and warnings to this file too
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// The form of what is written there: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// Write debug messages as well
    #[arg(long)]
    debug: bool,
    /// Let systemd make the cgroups (not supported yet: refused)
    #[arg(long)]
    systemd_cgroup: bool,
    /// Ignore cgroup permission errors: true, false or auto
    #[arg(long, value_name = "BOOL", default_value = "auto")]
    rootless: String,
}

#[derive(Debug, Subcommand)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one, and it is taken apart at once"
)]
enum Verb {
    /// Create a container, and let it wait for `start`
    Create(create::Arguments),
    /// Start the program of a created container
    Start(start::Arguments),
    /// Print a container's state as JSON
    State(state::Arguments),
    /// Send a signal to a container
    Kill(kill::Arguments),
    /// Delete a stopped container and all that was made for it
    Delete(delete::Arguments),
    /// Create and start a container, and wait for it unless told to detach
    Run(run::Arguments),
    /// Run one more process in a running container
    Exec(exec::Arguments),
    /// List the containers
    List(list::Arguments),
    /// Write a config.json to start from
    Spec(spec::Arguments),
    /// Print what this runtime can do, as JSON (runtime-spec's features.md)
    Features,
    /// Print what `create` would do for a bundle, step by step, without doing it
    Explain(explain::Arguments),
}

/// The status with which the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitCode(u8);

impl ExitCode {
    const SUCCESS: ExitCode = ExitCode(0);
    const FAILURE: ExitCode = ExitCode(1);
}

impl From<u8> for ExitCode {
    fn from(status: u8) -> Self {
        ExitCode(status)
    }
}

impl From<ExitCode> for i32 {
    fn from(status: ExitCode) -> Self {
        status.0.into()
    }
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    // Verbs whose process enters a container. Before anything else, because the program begins
    // anew: a word that only looks like such a verb costs nothing but that.
    let enters = |word: std::ffi::OsString| word == "create" || word == "run" || word == "exec";
    if std::env::args_os().any(enters)
        && let Err(error) = seal_own_binary()
    {
        Log::default().error(&error.to_string());
        return ExitCode::FAILURE;
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(refusal) => {
            let _ = refusal.print();
            return ExitCode::from(u8::from(refusal.use_stderr()));
        }
    };
    if arguments.version {
        return version::run();
    }
    let Some(verb) = arguments.verb else {
        return ExitCode::FAILURE;
    };
    let log = match Log::open(&arguments.global) {
        Ok(log) => log,
        Err(error) => {
            Log::default().error(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    match dispatch(verb, &arguments.global, &log) {
        Ok(status) => status,
        Err(Failure { error, status }) => {
            log.error(&error.to_string());
            status
        }
    }
}

fn dispatch(verb: Verb, global: &Global, log: &Log) -> Result<ExitCode, Failure> {
    global.check()?;
    Ok(match verb {
        Verb::Create(arguments) => create::run(&arguments, global, log)?,
        Verb::Start(arguments) => start::run(&arguments, global)?,
        Verb::State(arguments) => state::run(&arguments, global)?,
        Verb::Kill(arguments) => kill::run(&arguments, global)?,
        Verb::Delete(arguments) => delete::run(&arguments, global, log)?,
        Verb::Run(arguments) => run::run(&arguments, global, log)?,
        Verb::Exec(arguments) => exec::run(&arguments, global, log).map_err(|error| Failure {
            error: error.context("exec failed"),
            status: ExitCode::from(255),
        })?,
        Verb::List(arguments) => list::run(&arguments, global)?,
        Verb::Spec(arguments) => spec::run(&arguments)?,
        Verb::Features => features::run()?,
        Verb::Explain(arguments) => explain::run(&arguments)?,
    })
}

/// An error and the exit status that goes with it.
struct Failure {
    error: Error,
    status: ExitCode,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure {
            error,
            status: ExitCode::FAILURE,
        }
    }
}

impl Global {
    fn check(&self) -> Result<()> {
        if self.systemd_cgroup {
            return Err(Error::new("--systemd-cgroup is not supported yet")
                .hint("set native.cgroupdriver=cgroupfs in the engine"));
        }
        if !matches!(self.rootless.as_str(), "" | "auto" | "true" | "false") {
            return Err(
                Error::new(format!("invalid value {:?} for --rootless", self.rootless))
                    .hint("true, false or auto"),
            );
        }
        if self
            .root
            .as_deref()
            .is_some_and(|root| root == std::path::Path::new("/"))
        {
            return Err(Error::new("Option --root argument should not be set to /"));
        }
        Ok(())
    }

    fn store(&self) -> Result<Store> {
        let root = match &self.root {
            Some(root) => std::path::absolute(root)
                .map_err(|error| Error::new(format!("--root {}: {error}", root.display())))?,
            None => default_root(),
        };
        Ok(Store::new(root))
    }

    fn container(&self, id: &str) -> Result<Container> {
        Container::load(self.store()?.find(id)?)
    }
}

fn default_root() -> PathBuf {
    let runtime_directory = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty());
    match runtime_directory {
        Some(path) if !rustix::process::geteuid().is_root() => PathBuf::from(path).join("windlass"),
        _ => PathBuf::from("/run/windlass"),
    }
}

/// The name that we were called by: error lines begin with it, as runc's do with its own.
fn own_name() -> String {
    std::env::args_os()
        .next()
        .and_then(|path| {
            PathBuf::from(path)
                .file_name()
                .map(|name| name.to_string_lossy().into())
        })
        .unwrap_or_else(|| "windlass".to_owned())
}

/// Prints JSON as runc does: indented by two, without a newline at the end if `state`.
fn to_json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).map_err(|error| Error::new(format!("JSON: {error}")))
}
