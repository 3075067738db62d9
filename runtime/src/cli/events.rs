//! `windlass events`

use std::io::Write as _;

use super::ExitCode;
use super::global::Global;
use super::go_values::duration;
use super::log::Log;
use super::parse::Arguments;
use super::syntax::{Flag, Positionals, Verb};
use crate::container::events::{Event, events, stats};
use crate::error::{CallContext as _, Error, Result};

pub(super) static VERB: Verb = Verb {
    name: "events",
    summary: "print what a container uses, and that it ran out of memory",
    description: "\
A line of JSON for each: {\"type\":\"stats\",...} at every interval, and
{\"type\":\"oom\",...} when a process of the container was killed because its
limit of memory was reached.
Ends when the container is deleted.",
    positionals: Positionals::CONTAINER,
    flags: &[&INTERVAL, &STATS],
    enters_container: false,
    failure_status: 1,
    run,
};

static INTERVAL: Flag = Flag::text(
    "interval",
    "DURATION",
    "how often, such as 100ms, 5s or 1m30s",
)
.by_default("5s");
static STATS: Flag = Flag::switch("stats", "print what is used now, and end");

fn run(arguments: &Arguments<'_>, global: &Global<'_>, log: &Log) -> Result<ExitCode> {
    let interval = arguments.text(&INTERVAL).unwrap_or_default();
    let interval = duration(interval)
        .ok_or_else(|| Error::new(format!("invalid value {interval:?} for --interval")))?;
    let container = global.container(arguments.id()?)?;
    if arguments.switch(&STATS) {
        print(&stats(&container)?)?;
    } else {
        events(&container, interval, &mut print, log)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(event: &Event<'_>) -> Result<()> {
    let mut line =
        serde_json::to_vec(event).map_err(|error| Error::new(format!("JSON: {error}")))?;
    line.push(b'\n');
    std::io::stdout()
        .write_all(&line)
        .call(|| "write(standard output)")
}
