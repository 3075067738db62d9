//! `windlass check`: all that is wrong with a bundle's config.json.

use std::path::Path;

use serde_json::json;

use super::container_options::{BUNDLE, load_bundle};
use super::explain::with_plan;
use super::global::Global;
use super::log::Log;
use super::parse::Arguments;
use super::syntax::{Flag, Positionals, Verb};
use super::{ExitCode, print, to_json};
use crate::check::{Problem, Severity, problems};
use crate::error::{Error, Result, one_line};
use crate::host::Host;
use crate::spec::{Spec, check_all_of_rootless};

pub(super) static VERB: Verb = Verb {
    name: "check",
    summary: "say all that is wrong with a bundle's config.json",
    description: "\
It is held against the specification's JSON schema and rules, and against what
\"create\" can do on this host. Each problem is a line: the place, whether it is an
error or a warning, the JSON pointer, and the clause of the specification. The exit
status is 1 if there are errors.",
    positionals: Positionals::NONE,
    flags: &[&BUNDLE, &JSON],
    enters_container: false,
    failure_status: 1,
    run,
};

static JSON: Flag = Flag::switch("json", "print the problems as a JSON array");

fn run(arguments: &Arguments<'_>, global: &Global<'_>, _: &Log) -> Result<ExitCode> {
    let (bundle, config) = load_bundle(arguments)?;
    let problems = problems(&config, Path::new(&bundle), &|spec, report| {
        make_plan(spec, &bundle, global, report)
    });
    if arguments.switch(&JSON) {
        let array: Vec<_> = problems.iter().map(as_json).collect();
        print(&(to_json(&array)? + "\n"));
    } else {
        print(&problems.iter().map(line).collect::<String>());
    }
    let is_error = |problem: &Problem| problem.severity == Severity::Error;
    Ok(if problems.iter().any(is_error) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// As `create` would make it; the problems of a user without rights go to `report`.
fn make_plan(
    spec: &Spec<'_>,
    bundle: &str,
    global: &Global<'_>,
    report: &mut dyn FnMut(Error),
) -> Result<Vec<String>> {
    let driver = global.cgroups()?.driver;
    let host = Host::detect(spec, spec.process.as_ref(), driver)?;
    if host.rootless {
        check_all_of_rootless(spec, &mut |error| {
            report(error);
            Ok(())
        })?;
    }
    with_plan(spec, &host, bundle, global, |plan| {
        Ok(plan.warnings.clone())
    })
}

fn line(problem: &Problem) -> String {
    let Problem {
        line,
        column,
        message,
        clause,
        ..
    } = problem;
    let severity = problem.severity.name();
    let pointer = match &*problem.pointer {
        "" => String::new(),
        pointer => format!("{pointer}: "),
    };
    let hint = match &problem.hint {
        Some(hint) => format!(" ({hint})"),
        None => String::new(),
    };
    let text =
        format!("config.json:{line}:{column}: {severity}: {pointer}{message}{hint} [{clause}]");
    one_line(&text) + "\n"
}

fn as_json(problem: &Problem) -> serde_json::Value {
    json!({
        "severity": problem.severity.name(),
        "pointer": problem.pointer,
        "line": problem.line,
        "column": problem.column,
        "message": problem.message,
        "hint": problem.hint,
        "clause": problem.clause,
    })
}
