//! The command line: runc's, one file a verb.

mod check;
mod checkpoint;
mod container_options;
mod create;
mod criu_options;
mod delete;
mod events;
mod exec;
pub mod exec_user;
mod explain;
mod features;
mod foreground;
mod global;
mod go_values;
mod help;
mod host_log;
mod kill;
mod list;
mod log;
#[cfg(test)]
mod manual;
mod mounts;
mod parse;
mod pause;
mod ps;
mod restore;
mod resume;
mod run;
mod spec;
mod start;
mod state;
mod syntax;
mod update;
mod version;

use std::io::Write;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::report::Listener;
use crate::seal::seal_own_binary;
use crate::sys::argv;
use global::Global;
use log::{Level, Log};
use parse::{Command, Misuse, parse};
use syntax::{Flag, Verb};

/// The verbs. A new one: a file with its table (`VERB`) and code, and a line here.
static VERBS: &[&Verb] = &[
    &check::VERB,
    &checkpoint::VERB,
    &create::VERB,
    &delete::VERB,
    &events::VERB,
    &exec::VERB,
    &explain::VERB,
    &features::VERB,
    &kill::VERB,
    &list::VERB,
    &mounts::VERB,
    &pause::VERB,
    &ps::VERB,
    &resume::VERB,
    &restore::VERB,
    &run::VERB,
    &spec::VERB,
    &start::VERB,
    &state::VERB,
    &update::VERB,
];

static HELP: Flag = Flag::switch("help", "show this help").or('h');
static VERSION: Flag = Flag::switch("version", "print the version").or('v');

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
    match parse(argv::words().get(1..).unwrap_or_default()) {
        Ok(Command::Do(verb, arguments)) => carry_out(verb, &arguments),
        Ok(Command::Help(verb)) => {
            print(&verb.map_or_else(help::of_program, help::of_verb));
            ExitCode::SUCCESS
        }
        Ok(Command::Version) => version::run(),
        Err(misuse) => explain_misuse(&misuse),
    }
}

/// The status when everything was made, and execve(2) refused the program: with runc it is what the
/// process ends with that was to become it.
const NOT_EXECUTED: u8 = 255;

fn carry_out(verb: &'static Verb, arguments: &parse::Arguments<'_>) -> ExitCode {
    let opened = Global::new(arguments).and_then(|global| {
        // Before anything else is done, because the program begins anew.
        if verb.enters_container {
            seal_own_binary(|how| {
                // The program that goes on opens the log for itself.
                if global.log_level == Level::Debug
                    && let Ok(log) = Log::open(&global)
                {
                    log.debug(how);
                }
            })?;
        }
        let log = Log::open(&global)?;
        Ok((global, log))
    });
    let (global, log) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            Log::default().error(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    if let Err(problem) = check_count(verb, arguments) {
        print(&format!("Incorrect Usage.\n\n{}", help::of_verb(verb)));
        log.error(&problem);
        return ExitCode::FAILURE;
    }
    match global
        .check()
        .and_then(|()| (verb.run)(arguments, &global, &log))
    {
        Ok(status) => status,
        Err(error) => {
            log.failure(&error);
            ExitCode::from(match error.programs_line() {
                Some(_) => NOT_EXECUTED,
                None => verb.failure_status,
            })
        }
    }
}

fn check_count(verb: &Verb, arguments: &parse::Arguments<'_>) -> Result<(), String> {
    let (least, most) = (verb.positionals.least, verb.positionals.most);
    let count = arguments.positionals().len();
    let (words, wanted) = if least == most {
        ("exactly", least)
    } else if count < least {
        ("a minimum of", least)
    } else {
        ("a maximum of", most)
    };
    if (least..=most).contains(&count) {
        return Ok(());
    }
    let program = argv::words().first().map(PathBuf::from);
    Err(format!(
        "{}: {:?} requires {words} {wanted} argument(s)",
        program.unwrap_or_default().display(),
        verb.name
    ))
}

/// In runc's words, and where it says them: the problem on standard error and in an error line,
/// the help on standard output.
fn explain_misuse(misuse: &Misuse) -> ExitCode {
    match misuse {
        Misuse::Usage { verb, problem } => {
            eprint!("Incorrect Usage: {problem}\n\n");
            print(&verb.map_or_else(help::of_program, help::of_verb));
            Log::default().error(problem);
            ExitCode::FAILURE
        }
        Misuse::NoTopic { word, status } => {
            Log::default().error(&format!("No help topic for '{word}'"));
            ExitCode::from(*status)
        }
    }
}

/// Prints what was asked for. Whoever closes our standard output doesn't want it any more.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// The name that we were called by: error lines begin with it, as runc's do with its own.
fn own_name() -> String {
    argv::words()
        .first()
        .and_then(|path| {
            std::path::Path::new(path)
                .file_name()
                .map(|name| name.to_string_lossy().into())
        })
        .unwrap_or_else(|| "windlass".to_owned())
}

/// Prints JSON as runc does: indented by two, without a newline at the end if `state`.
fn to_json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).map_err(|error| Error::new(format!("JSON: {error}")))
}
