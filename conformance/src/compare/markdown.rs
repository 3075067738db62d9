//! The matrix for `docs/conformance-matrix.md`.

use std::fmt::Write;

use super::columns::{Column, Columns};
use crate::case::Case;
use crate::report::Outcome;

/// Renders it: the columns' heads, the sums by chapter, the cases, and why a runtime fails one.
pub fn render(columns: &Columns, differences: bool) -> String {
    let mut text = String::from(
        "# How runtimes do in the conformance suite\n\n\
         Written by `scripts/conformance-matrix` (`windlass-conformance compare --markdown`). `ok`: does what the\n\
         case demands; `fail`: doesn't, was looked into, and the note says why; **FAIL**: doesn't, and was\n\
         not looked into; `-`: the case means nothing on that host or for that runtime (its reason is in\n\
         `--format text`). What a case demands, and how to reproduce it by hand:\n\
         `windlass-conformance --explain CASE`.\n\n",
    );
    let _ = writeln!(
        text,
        "| column | runtime | kernel | cgroup | date |\n|---|---|---|---|---|"
    );
    for column in &columns.columns {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            head(column),
            shown(&column.version),
            shown(&column.kernel),
            column.cgroup,
            column.date
        );
    }
    chapters(&mut text, columns);
    matrix(&mut text, columns, &columns.cases(differences), differences);
    notes(&mut text, columns);
    text
}

fn head(column: &Column) -> String {
    format!("{} {}", shown(&column.name), column.cgroup)
}

/// Text in a cell: no cell ends in it, no place of the machine that ran the cases is told.
fn shown(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

fn first_row(text: &mut String, columns: &Columns, first: &str) {
    let heads: Vec<String> = columns.columns.iter().map(head).collect();
    let _ = writeln!(text, "| {first} | {} |", heads.join(" | "));
    let _ = writeln!(text, "|---{}|", "|---".repeat(heads.len()));
}

fn row(text: &mut String, columns: &Columns, first: &str, cell: impl Fn(&Column) -> String) {
    let cells: Vec<String> = columns.columns.iter().map(cell).collect();
    let _ = writeln!(text, "| {first} | {} |", cells.join(" | "));
}

fn chapters(text: &mut String, columns: &Columns) {
    text.push_str("\n## By chapter\n\nPassed, of those that mean something there.\n\n");
    first_row(text, columns, "chapter");
    let cases = columns.cases(false);
    let score = |text: &mut String, name: &str, cases: &[&'static Case]| {
        row(text, columns, name, |column| {
            let (passed, run) = column.score(cases.iter());
            format!("{passed}/{run}")
        });
    };
    for chapter in cases.chunk_by(|one, other| one.chapter() == other.chapter()) {
        score(
            text,
            chapter.first().map_or("", |case| case.chapter()),
            chapter,
        );
    }
    score(text, "all", &cases);
}

fn matrix(text: &mut String, columns: &Columns, cases: &[&'static Case], differences: bool) {
    let heading = if differences {
        "Where they differ"
    } else {
        "Case by case"
    };
    let _ = writeln!(text, "\n## {heading}\n");
    first_row(text, columns, "case");
    for case in cases {
        row(text, columns, case.id, |column| match column.word(case) {
            "FAIL" => "**FAIL**".to_owned(),
            word => word.to_owned(),
        });
    }
}

fn notes(text: &mut String, columns: &Columns) {
    text.push_str("\n## Why\n");
    for column in &columns.columns {
        let _ = writeln!(text, "\n### {}\n", head(column));
        let mut any = false;
        for case in columns.cases(false) {
            let Some(entry) = column.results.get(case.id) else {
                continue;
            };
            let why = match entry.outcome {
                // Why it fails is known; what was seen this time names places of one machine.
                Outcome::Known => case
                    .known_for(&column.version, &entry.reason)
                    .unwrap_or_else(|| entry.reason.clone()),
                Outcome::Failed | Outcome::Broken => entry.reason.clone(),
                Outcome::Passed | Outcome::Skipped => continue,
            };
            any = true;
            let _ = writeln!(text, "- {}: {}", case.id, shown(&why));
        }
        if !any {
            text.push_str("Fails none.\n");
        }
    }
}
