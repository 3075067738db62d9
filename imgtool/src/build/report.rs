//! What the person or program that waits for a build is told: steps as they begin, whether they
//! were cached, what they print.

use std::io::{BufRead, BufReader, Read, Write as _};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::dockerfile::Place;
use crate::warnings;

/// How it is told. All of it goes to standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Lines for people.
    Plain,
    /// A JSON object a line.
    Json,
    /// Nothing.
    Quiet,
}

/// Tells of a build.
#[derive(Debug, Clone, Copy)]
pub struct Report(Style);

/// A step, as it is told of.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its stage's name or number.
    pub stage: String,
    /// Its number in the stage, from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
    /// Where it stands.
    pub place: Place,
    /// The instruction, on one line.
    pub text: String,
}

impl Report {
    /// Tells in a style.
    pub fn new(style: Style) -> Self {
        Report(style)
    }

    /// A step begins.
    pub fn begin(self, step: &Step) {
        let Step {
            stage,
            number,
            of,
            text,
            ..
        } = step;
        match self.0 {
            Style::Plain => warnings::say(&format!("[{stage} {number}/{of}] {text}\n")),
            Style::Json => event("step", step, json!({ "text": text })),
            Style::Quiet => {}
        }
    }

    /// A step needn't be done again.
    pub fn cached(self, step: &Step) {
        match self.0 {
            Style::Plain => {
                let Step {
                    stage, number, of, ..
                } = step;
                warnings::say(&format!("[{stage} {number}/{of}] cached\n"));
            }
            Style::Json => event("cached", step, json!({})),
            Style::Quiet => {}
        }
    }

    /// A step made a layer.
    pub fn layer(self, step: &Step, digest: &str, size: u64) {
        if self.0 == Style::Json {
            event("layer", step, json!({ "digest": digest, "size": size }));
        }
    }

    /// Whether what steps print is to come as events.
    pub fn wants_output_as_events(self) -> bool {
        self.0 == Style::Json
    }

    /// Whether what steps print is wanted at all.
    pub fn is_quiet(self) -> bool {
        self.0 == Style::Quiet
    }

    /// Tells what a step prints, line by line, until it has printed all.
    pub fn output(self, step: &Step, stream: &str, source: impl Read) -> Result<()> {
        let mut source = BufReader::new(source);
        loop {
            let mut line = Vec::new();
            // A line that never ends is told in parts.
            let limit = 64 << 10;
            let read = source.by_ref().take(limit).read_until(b'\n', &mut line);
            if read.context("read what the step prints")? == 0 {
                return Ok(());
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.strip_suffix('\n').unwrap_or(&text);
            event("output", step, json!({ "stream": stream, "text": text }));
        }
    }
}

fn event(event: &str, step: &Step, more: Value) {
    let mut line = json!({
        "event": event, "stage": step.stage, "step": step.number, "of": step.of,
        "line": step.place.line,
    });
    if let (Some(line), Value::Object(more)) = (line.as_object_mut(), more) {
        line.extend(more);
    }
    // Nobody may be reading any more: the build is wanted all the same.
    let _ = writeln!(std::io::stderr(), "{line}");
}
