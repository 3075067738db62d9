//! JUnit's XML in the shape that Jenkins and GitLab read: one suite a chapter.

use std::fmt::Write;

use super::{CaseResult, Outcome, Run};
use crate::case::Case;

/// Renders the run.
pub fn render(run: &Run) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        text,
        "<testsuites name=\"windlass-conformance\" tests=\"{}\" failures=\"{}\" errors=\"{}\" \
         skipped=\"{}\" time=\"{:.3}\">",
        run.cases.len(),
        run.count(Outcome::Failed),
        run.count(Outcome::Broken),
        run.count(Outcome::Skipped) + run.count(Outcome::Known),
        run.elapsed.as_secs_f64(),
    );
    for cases in run
        .cases
        .chunk_by(|(one, _), (other, _)| one.chapter() == other.chapter())
    {
        if let Some((first, _)) = cases.first() {
            suite(&mut text, first.chapter(), cases);
        }
    }
    text.push_str("</testsuites>\n");
    text
}

fn suite(text: &mut String, chapter: &str, cases: &[(&'static Case, CaseResult)]) {
    let count = |wanted: &[Outcome]| {
        cases
            .iter()
            .filter(|(_, result)| wanted.contains(&result.outcome))
            .count()
    };
    let _ = writeln!(
        text,
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" \
         time=\"{:.3}\">",
        escape(chapter),
        cases.len(),
        count(&[Outcome::Failed]),
        count(&[Outcome::Broken]),
        count(&[Outcome::Skipped, Outcome::Known]),
        cases.iter().map(|(_, result)| result.seconds).sum::<f64>(),
    );
    for (case, result) in cases {
        let name = case.id.split_once('/').map_or(case.id, |(_, name)| name);
        let _ = write!(
            text,
            "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
            escape(chapter),
            escape(name),
            result.seconds
        );
        let reason = escape(&result.reason);
        let detail = escape(&format!(
            "{}\n{}, {}: \"{}\"\n{}",
            case.title,
            case.clause.file,
            case.clause.heading,
            case.clause.quote,
            result.calls.join("\n")
        ));
        let _ = match result.outcome {
            Outcome::Passed => writeln!(text, "/>"),
            Outcome::Failed => writeln!(
                text,
                "><failure type=\"{}\" message=\"{reason}\">{detail}</failure></testcase>",
                case.level.word()
            ),
            Outcome::Broken => {
                writeln!(
                    text,
                    "><error message=\"{reason}\">{detail}</error></testcase>"
                )
            }
            Outcome::Known | Outcome::Skipped => {
                writeln!(text, "><skipped message=\"{reason}\"/></testcase>")
            }
        };
    }
    text.push_str("  </testsuite>\n");
}

/// Escapes markup, and drops what XML 1.0 can't hold at all.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push(c),
            c if c < ' ' => escaped.push('\u{fffd}'),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
