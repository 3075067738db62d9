//! `windlass start`

use super::ExitCode;
use super::global::Global;
use super::log::Log;
use super::parse::Arguments;
use super::syntax::{Positionals, Verb};
use crate::container::start::start;
use crate::error::Result;

pub(super) static VERB: Verb = Verb {
    name: "start",
    summary: "start the program of a created container",
    description: "",
    positionals: Positionals::CONTAINER,
    flags: &[],
    enters_container: false,
    failure_status: 1,
    run,
};

fn run(arguments: &Arguments<'_>, global: &Global<'_>, _: &Log) -> Result<ExitCode> {
    start(&global.container(arguments.id()?)?)?;
    Ok(ExitCode::SUCCESS)
}
