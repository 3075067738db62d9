//! The matrix for a terminal.

use std::fmt::Write;

use super::columns::{Column, Columns};
use crate::case::Case;

/// Renders it: the columns' heads, a line a case, a line a chapter, a sum.
pub fn render(columns: &Columns, differences: bool) -> String {
    let mut text = String::new();
    for column in &columns.columns {
        let _ = writeln!(
            text,
            "{} ({}): {}, Linux {}, cgroup {}, {}",
            column.name,
            head(column),
            column.version,
            column.kernel,
            column.cgroup,
            column.date
        );
    }
    text.push('\n');
    line(&mut text, "", columns, |column| column.name.clone());
    line(&mut text, "", columns, |column| {
        format!("cgroup {}", column.cgroup)
    });
    for case in columns.cases(differences) {
        line(&mut text, case.id, columns, |column| {
            column.word(case).to_owned()
        });
    }
    text.push('\n');
    let cases = columns.cases(false);
    for chapter in cases.chunk_by(|one, other| one.chapter() == other.chapter()) {
        let name = chapter.first().map_or("", |case| case.chapter());
        score(&mut text, name, columns, chapter);
    }
    score(&mut text, "all", columns, &cases);
    text
}

fn head(column: &Column) -> &str {
    match column.number() {
        "" => "?",
        number => number,
    }
}

fn score(text: &mut String, name: &str, columns: &Columns, cases: &[&'static Case]) {
    line(text, name, columns, |column| {
        let (passed, run) = column.score(cases.iter());
        format!("{passed}/{run}")
    });
}

fn line(text: &mut String, first: &str, columns: &Columns, cell: impl Fn(&Column) -> String) {
    let _ = write!(text, "{first:<44}");
    for column in &columns.columns {
        let _ = write!(text, " {:>10}", cell(column));
    }
    text.push('\n');
}
