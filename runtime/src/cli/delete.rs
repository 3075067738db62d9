//! `windlass delete`

use std::ffi::CString;

use super::ExitCode;
use super::global::Global;
use super::log::Log;
use super::parse::Arguments;
use super::syntax::{Flag, Positionals, Verb};
use crate::container::Container;
use crate::container::delete::delete;
use crate::error::{Error, Result};
use crate::sys::regex::Regex;

pub(super) static VERB: Verb = Verb {
    name: "delete",
    summary: "delete a stopped container and all that was made for it",
    description: "",
    positionals: Positionals::CONTAINER,
    flags: &[&FORCE, &REGEX],
    enters_container: false,
    failure_status: 1,
    run,
};

static FORCE: Flag = Flag::switch(
    "force",
    "end the container (SIGKILL) if it is running, and succeed if there is none",
)
.or('f');

static REGEX: Flag = Flag::switch(
    "regex",
    "delete all containers whose ids match the regular expression (POSIX extended) given as the id",
);

fn run(arguments: &Arguments<'_>, global: &Global<'_>, log: &Log) -> Result<ExitCode> {
    let id = arguments.id()?;
    let force = arguments.switch(&FORCE);
    if arguments.switch(&REGEX) {
        return delete_matching(id, force, global, log);
    }
    match global.container(id) {
        Err(error) if force && error.to_string() == "container does not exist" => {}
        found => delete(found?, force, log)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// As many of them as can be; the first that can't is the error.
fn delete_matching(pattern: &str, force: bool, global: &Global<'_>, log: &Log) -> Result<ExitCode> {
    let regex = CString::new(pattern)
        .ok()
        .and_then(|pattern| Regex::new(&pattern))
        .ok_or_else(|| Error::new(format!("{pattern:?} is no regular expression")))?;
    let mut result = Ok(ExitCode::SUCCESS);
    for directory in global.store().list(global.has_root())? {
        let id = directory.id().to_owned();
        if CString::new(id.as_str()).is_ok_and(|text| regex.matches(&text)) {
            let deleted = Container::load(directory)
                .and_then(|container| delete(container, force, log))
                .map_err(|error| error.context(id));
            result = result.and_then(|status| deleted.map(|()| status));
        }
    }
    result
}
