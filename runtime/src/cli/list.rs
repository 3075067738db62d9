//! `windlass list`

use std::os::unix::fs::MetadataExt;

use super::ExitCode;
use super::global::Global;
use super::log::Log;
use super::parse::Arguments;
use super::syntax::{Flag, Positionals, Verb};
use crate::container::Container;
use crate::container::state::Report;
use crate::error::{Error, Result};

pub(super) static VERB: Verb = Verb {
    name: "list",
    summary: "list the containers that are kept in the given root",
    description: "",
    positionals: Positionals::NONE,
    flags: &[&FORMAT, &QUIET],
    enters_container: false,
    failure_status: 1,
    run,
};

static FORMAT: Flag = Flag::text("format", "format", "table or json")
    .or('f')
    .by_default("table");
static QUIET: Flag = Flag::switch("quiet", "print ids only").or('q');

fn run(arguments: &Arguments<'_>, global: &Global<'_>, _: &Log) -> Result<ExitCode> {
    let mut reports = Vec::new();
    for directory in global.store().list(global.has_root())? {
        let owner = owner_of(directory.path());
        match Container::load(directory).and_then(|container| container.report()) {
            Ok(report) => reports.push(Report { owner, ..report }),
            // One that is being deleted this moment, or broken, does not hide the others.
            Err(error) => eprintln!("load container: {error}"),
        }
    }
    if arguments.switch(&QUIET) {
        for report in &reports {
            println!("{}", report.id);
        }
        return Ok(ExitCode::SUCCESS);
    }
    match arguments.text(&FORMAT).unwrap_or_default() {
        "table" => print_table(&reports),
        "json" => {
            let json = serde_json::to_string(&reports)
                .map_err(|error| Error::new(format!("JSON: {error}")))?;
            println!("{json}");
        }
        _ => return Err(Error::new("invalid format option")),
    }
    Ok(ExitCode::SUCCESS)
}

/// The user that made the container, by name if the system knows one (passwd(5)).
fn owner_of(path: &std::path::Path) -> String {
    let Ok(metadata) = path.metadata() else {
        return String::new();
    };
    let uid = metadata.uid();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    passwd
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        })
        .unwrap_or_else(|| format!("#{uid}"))
}

/// Columns as wide as their widest cell, as Go's tabwriter sets them for runc.
fn print_table(reports: &[Report]) {
    let mut rows = vec![["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned)];
    rows.extend(reports.iter().map(|report| {
        [
            report.id.clone(),
            report.pid.to_string(),
            report.status.to_owned(),
            report.bundle.clone(),
            report.created.clone(),
            report.owner.clone(),
        ]
    }));
    let widths: Vec<usize> = (0..6)
        .map(|column| {
            rows.iter()
                .map(|row| row[column].len())
                .max()
                .unwrap_or(0)
                .max(9)
                + 3
        })
        .collect();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.len()));
        }
        println!("{}", line.trim_end());
    }
}
