//! `windlass state`

use super::global::Global;
use super::log::Log;
use super::parse::Arguments;
use super::syntax::{Positionals, Verb};
use super::{ExitCode, print, to_json};
use crate::error::Result;

pub(super) static VERB: Verb = Verb {
    name: "state",
    summary: "print a container's state as JSON",
    description: "",
    positionals: Positionals::CONTAINER,
    flags: &[],
    enters_container: false,
    failure_status: 1,
    run,
};

fn run(arguments: &Arguments<'_>, global: &Global<'_>, _: &Log) -> Result<ExitCode> {
    let report = global.container(arguments.id()?)?.report()?;
    print(&to_json(&report)?);
    Ok(ExitCode::SUCCESS)
}
