//! `windlass pause`

use super::ExitCode;
use super::global::Global;
use super::log::Log;
use super::parse::Arguments;
use super::syntax::{Positionals, Verb};
use crate::container::pause::pause;
use crate::error::Result;

pub(super) static VERB: Verb = Verb {
    name: "pause",
    summary: "suspend all processes of a container",
    description: "They take no processor time until the container is resumed.",
    positionals: Positionals::CONTAINER,
    flags: &[],
    enters_container: false,
    failure_status: 1,
    run,
};

fn run(arguments: &Arguments<'_>, global: &Global<'_>, _: &Log) -> Result<ExitCode> {
    pause(&global.container(arguments.id()?)?)?;
    Ok(ExitCode::SUCCESS)
}
