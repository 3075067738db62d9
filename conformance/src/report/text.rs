//! For people: a line a case, and below a failure what the clause says and what was seen.

use std::fmt::Write;

use super::{Outcome, Run};

/// How many of a failed case's calls are shown.
const CALLS: usize = 12;

/// Renders the run.
pub fn render(run: &Run) -> String {
    let list = |set: &std::collections::BTreeSet<String>| {
        if set.is_empty() {
            "none".to_owned()
        } else {
            set.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
        }
    };
    let mut text = format!(
        "{} ({}), Linux {}\ncgroup v1: {}; cgroup v2: {}\n\n",
        run.host.runtime_version,
        run.runtime,
        run.host.kernel,
        list(&run.host.cgroup_v1),
        list(&run.host.cgroup_v2),
    );
    for (case, result) in &run.cases {
        let word = match result.outcome {
            Outcome::Passed => "ok",
            Outcome::Failed => "FAIL",
            Outcome::Known => "known",
            Outcome::Skipped => "skip",
            Outcome::Broken => "BROKEN",
        };
        let _ = writeln!(text, "{word:<7}{:<44}{}", case.id, case.title);
        let clause = case.clause;
        let explained = |text: &mut String| {
            let _ = writeln!(
                text,
                "       {}: {}, {}: \"{}\"",
                case.level.word(),
                clause.file,
                clause.heading,
                clause.quote
            );
        };
        match result.outcome {
            Outcome::Passed if result.reason.is_empty() => {}
            Outcome::Passed | Outcome::Skipped | Outcome::Known => {
                let _ = writeln!(text, "       {}", result.reason);
            }
            Outcome::Failed | Outcome::Broken => {
                explained(&mut text);
                let _ = writeln!(text, "       {}", result.reason);
                let earlier = result.calls.len().saturating_sub(CALLS);
                if earlier > 0 {
                    let _ = writeln!(text, "         ({earlier} earlier calls: --format json)");
                }
                for call in &result.calls[earlier..] {
                    let _ = writeln!(text, "         {call}");
                }
            }
        }
    }
    let _ = writeln!(text, "\n{}", run.summary());
    text
}
