//! Test Anything Protocol 14 (testanything.org): a plan, a line a case, YAML below a failure.

use std::fmt::Write;

use super::{Outcome, Run};

/// Renders the run.
pub fn render(run: &Run) -> String {
    let mut text = format!("TAP version 14\n1..{}\n", run.cases.len());
    for (number, (case, result)) in run.cases.iter().enumerate() {
        let verdict = match result.outcome {
            Outcome::Passed | Outcome::Skipped => "ok",
            _ => "not ok",
        };
        let directive = match result.outcome {
            Outcome::Skipped => format!(" # SKIP {}", plain(&result.reason)),
            Outcome::Known => " # TODO known failure of this version".to_owned(),
            _ => String::new(),
        };
        let _ = writeln!(
            text,
            "{verdict} {} - {}: {}{directive}",
            number + 1,
            case.id,
            plain(case.title)
        );
        if matches!(
            result.outcome,
            Outcome::Failed | Outcome::Known | Outcome::Broken
        ) {
            let clause = format!(
                "{}, {}: {}",
                case.clause.file, case.clause.heading, case.clause.quote
            );
            let _ = writeln!(text, "  ---");
            let _ = writeln!(text, "  message: {}", quoted(&result.reason));
            let _ = writeln!(text, "  severity: {}", case.level.word());
            let _ = writeln!(text, "  clause: {}", quoted(&clause));
            let _ = writeln!(text, "  ...");
        }
    }
    text
}

/// A description ends at an unescaped `#`, and at the line's end.
fn plain(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('#', "\\#")
        .replace('\n', " ")
}

/// A YAML string in double quotes is a JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
