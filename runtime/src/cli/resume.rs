//! `windlass resume`

use super::ExitCode;
use super::global::Global;
use super::log::Log;
use super::parse::Arguments;
use super::syntax::{Positionals, Verb};
use crate::container::pause::resume;
use crate::error::Result;

pub(super) static VERB: Verb = Verb {
    name: "resume",
    summary: "let the processes of a paused container go on",
    description: "",
    positionals: Positionals::CONTAINER,
    flags: &[],
    enters_container: false,
    failure_status: 1,
    run,
};

fn run(arguments: &Arguments<'_>, global: &Global<'_>, _: &Log) -> Result<ExitCode> {
    resume(&global.container(arguments.id()?)?)?;
    Ok(ExitCode::SUCCESS)
}
