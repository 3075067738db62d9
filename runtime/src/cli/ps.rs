//! `windlass ps`

use std::ffi::OsStr;
use std::fmt::Write;
use std::process::Command;

use super::global::Global;
use super::log::Log;
use super::parse::Arguments;
use super::syntax::{Flag, Positionals, Verb};
use super::{ExitCode, print};
use crate::error::{CallContext, Error, Result};

pub(super) static VERB: Verb = Verb {
    name: "ps",
    summary: "list the processes in a container",
    description: "\
The table is what ps(1) says of them, called with the \"ps options\", or with -ef.
Process ids are the host's.",
    positionals: Positionals {
        shown: "<container-id> [ps options]",
        least: 1,
        most: usize::MAX,
        end_options: true,
    },
    flags: &[&FORMAT],
    enters_container: false,
    failure_status: 1,
    run,
};

static FORMAT: Flag = Flag::text("format", "format", "table, or json for the ids alone")
    .or('f')
    .by_default("table");

fn run(arguments: &Arguments<'_>, global: &Global<'_>, _: &Log) -> Result<ExitCode> {
    let container = global.container(arguments.id()?)?;
    let pids: Vec<i32> = container
        .created()?
        .cgroups
        .processes()?
        .into_iter()
        .map(|pid| pid.as_raw_nonzero().get())
        .collect();
    match arguments.text(&FORMAT) {
        Some("table") => print(&table(&pids, &arguments.positionals()[1..])?),
        Some("json") => print(&format!("{}\n", serde_json::Value::from(pids))),
        _ => return Err(Error::new("invalid format option").hint("table or json")),
    }
    Ok(ExitCode::SUCCESS)
}

/// What ps(1) prints, without the lines of other processes.
fn table(pids: &[i32], options: &[&OsStr]) -> Result<String> {
    let options = match options {
        [] => &[OsStr::new("-ef")],
        options => options,
    };
    let done = Command::new("ps")
        .args(options)
        .output()
        .call(|| "execute ps(1)")?;
    let output = String::from_utf8_lossy(&done.stdout);
    if !done.status.success() {
        let errors = String::from_utf8_lossy(&done.stderr);
        return Err(Error::new(format!(
            "ps(1): {}: {}",
            done.status,
            errors.trim()
        )));
    }
    let (title, lines) = output.split_once('\n').unwrap_or_default();
    let column = title
        .split_whitespace()
        .position(|name| name == "PID")
        .ok_or_else(|| Error::new("couldn't find PID field in ps output"))?;
    let mut table = format!("{title}\n");
    for line in lines.lines() {
        let pid = line.split_whitespace().nth(column);
        if pid.is_some_and(|pid| pid.parse().is_ok_and(|pid| pids.contains(&pid))) {
            let _ = writeln!(table, "{line}");
        }
    }
    Ok(table)
}
