//! How results are told: one file a format.

mod json;
mod junit;
mod tap;
mod text;

use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::harness::Host;

/// A format of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// Test Anything Protocol, version 14.
    Tap,
    /// One JSON document.
    Json,
    /// JUnit's XML, as CI servers read it.
    Junit,
}

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The runtime does what the clause says.
    Passed,
    /// It doesn't.
    Failed,
    /// It doesn't, and this very version of it is known not to.
    Known,
    /// The case means nothing on this host.
    Skipped,
    /// The harness could not carry the case out.
    Broken,
}

/// What came of one case.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CaseResult {
    /// How it ended.
    pub outcome: Outcome,
    /// Why, unless it passed.
    pub reason: String,
    /// How long it took.
    pub seconds: f64,
    /// The calls of the runtime.
    pub calls: Vec<String>,
}

/// A whole run.
#[derive(Debug)]
pub struct Run {
    /// The runtime's program as it was named.
    pub runtime: String,
    /// The host's abilities.
    pub host: Host,
    /// Wall-clock time.
    pub elapsed: Duration,
    /// The cases in the suite's order, and what came of them.
    pub cases: Vec<(&'static Case, CaseResult)>,
}

impl Run {
    /// How many cases ended so.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.cases
            .iter()
            .filter(|(_, result)| result.outcome == outcome)
            .count()
    }

    /// The counts and the time, in a line.
    pub fn summary(&self) -> String {
        format!(
            "{} passed, {} failed, {} known to fail, {} skipped, {} broken in {:.1} s",
            self.count(Outcome::Passed),
            self.count(Outcome::Failed),
            self.count(Outcome::Known),
            self.count(Outcome::Skipped),
            self.count(Outcome::Broken),
            self.elapsed.as_secs_f64(),
        )
    }

    /// Renders the run in a format, with its last newline.
    ///
    /// # Errors
    /// Only JSON's, which serialising can't cause here.
    pub fn render(&self, format: Format) -> Result<String, serde_json::Error> {
        match format {
            Format::Text => Ok(text::render(self)),
            Format::Tap => Ok(tap::render(self)),
            Format::Json => json::render(self),
            Format::Junit => Ok(junit::render(self)),
        }
    }
}
