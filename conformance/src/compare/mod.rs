//! `compare`: several runtimes side by side, on this host or on several.
//!
//! - `columns`: what a runtime did on a host, as it is kept in JSON
//! - `text`, `markdown`: the matrix for a terminal, and for `docs/conformance-matrix.md`

mod columns;
mod markdown;
mod text;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use self::columns::Columns;
use crate::report::Outcome;
use crate::{Choice, Conduct, print, runner};

/// `compare`'s command line.
#[derive(Debug, Args)]
pub struct CompareOptions {
    /// The runtimes: paths, or names to look for in PATH; one column each.
    #[arg(value_name = "RUNTIME", required_unless_present = "from")]
    runtimes: Vec<PathBuf>,
    /// Columns that an earlier `compare --json` has written, perhaps on another host (repeatable).
    #[arg(long, value_name = "FILE")]
    from: Vec<PathBuf>,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    conduct: Conduct,
    /// Only the cases in which the runtimes differ.
    #[arg(long, conflicts_with = "json")]
    differences: bool,
    /// Print Markdown, with a note on each failure.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Print JSON, which --from takes.
    #[arg(long)]
    json: bool,
}

/// Runs the cases on each runtime in turn, and prints the matrix.
///
/// # Errors
/// A program or a file that is not there, and those of making directories.
pub fn compare(options: &CompareOptions) -> io::Result<ExitCode> {
    let mut columns = Columns::default();
    for file in &options.from {
        columns.read(file)?;
    }
    let mut broken = 0;
    for name in &options.runtimes {
        let settings = options.conduct.settings(name)?;
        let run = runner::run(&settings, options.choice.cases()?)?;
        broken += run.count(Outcome::Broken);
        eprintln!("{}: {}", name.display(), run.summary());
        columns.add(name, run);
    }
    let text = if options.json {
        columns.json()?
    } else if options.markdown {
        markdown::render(&columns, options.differences)
    } else {
        text::render(&columns, options.differences)
    };
    print(&text)?;
    Ok(if broken == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(2)
    })
}
