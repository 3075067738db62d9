//! `windlass delete`

use super::ExitCode;
use super::global::Global;
use super::log::Log;
use super::parse::Arguments;
use super::syntax::{Flag, Positionals, Verb};
use crate::container::delete::delete;
use crate::error::Result;

pub(super) static VERB: Verb = Verb {
    name: "delete",
    summary: "delete a stopped container and all that was made for it",
    description: "",
    positionals: Positionals::CONTAINER,
    flags: &[&FORCE],
    enters_container: false,
    failure_status: 1,
    run,
};

static FORCE: Flag = Flag::switch(
    "force",
    "end the container (SIGKILL) if it is running, and succeed if there is none",
)
.or('f');

fn run(arguments: &Arguments<'_>, global: &Global<'_>, log: &Log) -> Result<ExitCode> {
    let found = global.container(arguments.id()?);
    let force = arguments.switch(&FORCE);
    match found {
        Err(error) if force && error.to_string() == "container does not exist" => {
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    delete(found?, force, log)?;
    Ok(ExitCode::SUCCESS)
}
