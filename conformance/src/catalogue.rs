//! What the suite says of its cases without running them.

use std::fmt::Write;
use std::io;

use crate::case::Case;
use crate::cases;

/// One line a case: id, level, title.
pub fn list(cases: &[&'static Case]) -> String {
    let mut text = String::new();
    for case in cases {
        let _ = writeln!(
            text,
            "{:<44}{:<10}{}",
            case.id,
            case.level.word(),
            case.title
        );
    }
    text
}

/// All that is to say of one case.
///
/// # Errors
/// There is no such case.
pub fn explain(id: &str) -> io::Result<String> {
    let case = cases::all()
        .find(|case| case.id == id)
        .ok_or_else(|| io::Error::other(format!("no case {id}; --list prints them")))?;
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {name:<9}{value}");
    };
    line(
        "demands",
        &format!("{} ({})", case.title, case.level.word()),
    );
    line(
        "clause",
        &format!("{}, {}", case.clause.file, case.clause.heading),
    );
    line("", &format!("\"{}\"", case.clause.quote));
    line("does", case.does);
    for need in case.needs {
        line("needs", &format!("{need:?}"));
    }
    for known in case.known {
        line(
            "known",
            &format!("{}: {}", known.runtimes.join(", "), known.why),
        );
    }
    line(
        "by hand",
        &format!("windlass-conformance --runtime RUNTIME --filter {id} --keep DIR"),
    );
    line(
        "",
        "leaves in DIR/wconf-*/0 the bundles (config.json, and a rootfs with the probe) and",
    );
    line(
        "",
        "commands.sh: the very calls of the runtime, in their order. What the probe sees it",
    );
    line(
        "",
        "prints as JSON; `rootfs/probe probe see` shows the same of the host.",
    );
    Ok(format!("{}\n{text}", case.id))
}
