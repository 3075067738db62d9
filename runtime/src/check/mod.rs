//! `windlass check`: all that is wrong with a config.json at once, each problem with its place.
//!
//! Three sources, in this order, each of which adds what those before have not said:
//!
//! 1. [`refusals`]: what `create` refuses, in its words and by its own code;
//! 2. [`walk`]: the specification's JSON schema, from the table in [`schema`];
//! 3. [`rules`]: what the specification says beyond that, and what has no effect.

mod refusals;
mod rules;
mod schema;
mod walk;

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::spec::{ConfigText, Spec, position_of};

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The specification forbids it, or `create` fails.
    Error,
    /// It has no effect, or another than it seems to have.
    Warning,
}

impl Severity {
    /// As it is shown.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// One problem of a config.json.
#[derive(Debug)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The value, as a JSON pointer (RFC 6901); empty for the whole.
    pub pointer: String,
    /// The line at which the value begins, from 1 on.
    pub line: usize,
    /// The column, from 1 on, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What would mend it.
    pub hint: Option<String>,
    /// The part of runtime-spec that says so, as `file#heading`.
    pub clause: &'static str,
}

/// Makes the plan for a spec that has been checked, and gives back its warnings.
pub type MakePlan<'m> = dyn Fn(&Spec<'_>, &mut dyn FnMut(Error)) -> Result<Vec<String>> + 'm;

/// Finds all problems of a bundle's config.json, in the order in which they stand there.
pub fn problems(config: &ConfigText, bundle: &Path, make_plan: &MakePlan<'_>) -> Vec<Problem> {
    let mut findings = Findings {
        text: config.as_str(),
        problems: Vec::new(),
    };
    match serde_json::from_str::<Value>(config.as_str()) {
        Ok(value) => {
            refusals::find(&value, bundle, make_plan, &mut findings);
            walk::whole(&value, &mut |severity, error| {
                findings.add(severity, &error);
            });
        }
        Err(error) => {
            let said = error.to_string();
            findings.problems.push(Problem {
                severity: Severity::Error,
                pointer: String::new(),
                line: error.line().max(1),
                column: error.column().max(1),
                message: format!("no JSON: {}", said.split(" at line ").next().unwrap_or("")),
                hint: None,
                clause: schema::clause(""),
            });
        }
    }
    let mut problems = findings.problems;
    problems.sort_by_key(|problem| (problem.line, problem.column));
    problems
}

/// What has been found so far.
struct Findings<'t> {
    text: &'t str,
    problems: Vec<Problem>,
}

impl Findings<'_> {
    /// Takes a problem, unless it is known: of a value that is known to be wrong, only what is
    /// missing in it is news.
    fn add(&mut self, severity: Severity, error: &Error) {
        let pointer = error.pointer().unwrap_or_default();
        let message = error.problem();
        let is_news = self.problems.iter().all(|known| {
            known.pointer != pointer
                || known.message != message
                    && (known.severity != severity || message.starts_with(MISSING))
        });
        if !is_news {
            return;
        }
        let (line, column) = position_of(self.text, pointer);
        self.problems.push(Problem {
            severity,
            pointer: pointer.to_owned(),
            line,
            column,
            message,
            hint: error.remedy().map(str::to_owned),
            clause: schema::clause(pointer),
        });
    }
}

/// How serde and our schema begin to say that a member is not there.
const MISSING: &str = "missing field";
