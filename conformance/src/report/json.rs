//! One JSON document, for programs.

use serde_json::{Map, json};

use super::{Outcome, Run};

/// Renders the run.
///
/// # Errors
/// Those of serialising.
pub fn render(run: &Run) -> Result<String, serde_json::Error> {
    let cases: Vec<_> = run
        .cases
        .iter()
        .map(|(case, result)| {
            json!({
                "id": case.id,
                "title": case.title,
                "level": case.level,
                "clause": case.clause,
                "outcome": result.outcome,
                "reason": result.reason,
                "seconds": result.seconds,
                "calls": result.calls,
            })
        })
        .collect();
    let mut counts = Map::new();
    for (name, outcome) in [
        ("passed", Outcome::Passed),
        ("failed", Outcome::Failed),
        ("known", Outcome::Known),
        ("skipped", Outcome::Skipped),
        ("broken", Outcome::Broken),
    ] {
        counts.insert(name.to_owned(), json!(run.count(outcome)));
    }
    let document = json!({
        "suite": {
            "name": env!("CARGO_PKG_NAME"),
            "version": env!("CARGO_PKG_VERSION"),
            "process": std::process::id(),
        },
        "runtime": { "path": run.runtime, "version": run.host.runtime_version },
        "host": run.host,
        "seconds": run.elapsed.as_secs_f64(),
        "counts": counts,
        "cases": cases,
    });
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}
