//! Tests any OCI runtime from outside, each case citing the clause that it checks.
//!
//! - `cases/`: the cases, one file a chapter
//! - `harness/`: bundles, the runtime's command line, containers, the host's side
//! - `probe/`: this same program inside the container, reporting what it sees
//! - `runner`: several cases at a time, each in a process of its own
//! - `report/`: text, TAP, JSON, JUnit
//! - `catalogue`: `--list` and `--explain`
//! - `demands/`: every demand of the specification, and which cases test it: `coverage`

mod case;
mod cases;
mod catalogue;
mod demands;
mod harness;
mod probe;
mod report;
mod runner;
mod sys;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use case::Case;
use report::{Format, Outcome};

/// Tests an OCI runtime from outside, through its command line only.
///
/// Needs root, and no network and no image. Exits with 0 when every case passed or was skipped,
/// with 1 when the runtime failed one, with 2 when the suite itself could not do its work.
///
/// windlass-conformance coverage [--markdown] prints every demand of the specification and the cases
/// that test it.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The runtime: a path, or a name to look for in PATH.
    #[arg(long, value_name = "PATH", required_unless_present_any = ["list", "explain"])]
    runtime: Option<PathBuf>,
    /// Where bundles and state directories are made (default: below $TMPDIR, else /tmp).
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Only cases whose id matches; `*` stands for anything (repeatable).
    #[arg(long, value_name = "GLOB")]
    filter: Vec<String>,
    /// How results are printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// How many cases run at a time (default: one more than there are processors).
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// How long a case may take.
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    timeout: u64,
    /// Let failures count that are known of this version of the runtime.
    #[arg(long)]
    strict: bool,
    /// Keep each case's bundles in DIR, with the calls of the runtime in commands.sh.
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Print the cases instead: id, level, title.
    #[arg(long)]
    list: bool,
    /// Print what one case demands, where that is written, and how to reproduce it by hand.
    #[arg(long, value_name = "CASE")]
    explain: Option<String>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    match arguments.get(1).map(String::as_str) {
        Some("probe") => return probe::main(&arguments[2..]),
        Some("worker") if arguments.len() == 3 => return runner::worker(&arguments[2]),
        Some("coverage") => return coverage(&arguments[2..]),
        _ => {}
    }
    match run(Options::parse()) {
        Ok(code) => code,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("windlass-conformance: {error}");
            ExitCode::from(2)
        }
    }
}

/// `coverage [--markdown]`.
fn coverage(options: &[String]) -> ExitCode {
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let text = match options.as_slice() {
        [] => demands::table(),
        ["--markdown"] => demands::markdown(),
        _ => {
            eprintln!("windlass-conformance: usage: windlass-conformance coverage [--markdown]");
            return ExitCode::from(2);
        }
    };
    // A closed pipe (`coverage | head`) is no failure.
    let _ = print(&text);
    ExitCode::SUCCESS
}

fn run(options: Options) -> io::Result<ExitCode> {
    if let Some(id) = &options.explain {
        return print(&catalogue::explain(id)?);
    }
    let chosen: Vec<&'static Case> = cases::all()
        .filter(|case| {
            options.filter.is_empty() || options.filter.iter().any(|glob| matches(glob, case.id))
        })
        .collect();
    if chosen.is_empty() {
        return Err(io::Error::other(format!(
            "no case matches {}",
            options.filter.join(" or ")
        )));
    }
    if options.list {
        return print(&catalogue::list(&chosen));
    }
    if !rustix::process::geteuid().is_root() {
        return Err(io::Error::other(
            "needs root: containers are made without user namespaces",
        ));
    }
    let settings = settings(&options)?;
    let run = runner::run(&settings, chosen)?;
    print(&run.render(options.format)?)?;
    let failed = run.count(Outcome::Failed)
        + if options.strict {
            run.count(Outcome::Known)
        } else {
            0
        };
    Ok(match (run.count(Outcome::Broken), failed) {
        (0, 0) => ExitCode::SUCCESS,
        (0, _) => ExitCode::from(1),
        _ => ExitCode::from(2),
    })
}

fn print(text: &str) -> io::Result<ExitCode> {
    io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn settings(options: &Options) -> io::Result<runner::Settings> {
    let name = options.runtime.clone().unwrap_or_default();
    let runtime = find_program(&name)
        .ok_or_else(|| io::Error::other(format!("no program {}", name.display())))?;
    let place = match (&options.keep, &options.root) {
        (Some(keep), _) => keep.clone(),
        (None, Some(root)) => root.clone(),
        (None, None) => std::env::temp_dir(),
    };
    std::fs::create_dir_all(&place)?;
    // A short name: paths of sockets have at most 107 bytes (unix(7)).
    let root = place
        .canonicalize()?
        .join(format!("wconf-{}", std::process::id()));
    let processors = std::thread::available_parallelism()?.get();
    Ok(runner::Settings {
        runtime,
        root,
        jobs: options.jobs.unwrap_or(processors + 1),
        limit: Duration::from_secs(options.timeout.max(1)),
        keep: options.keep.is_some(),
    })
}

/// Looks a program up as a shell does, and makes its path absolute. Links stay, since a runtime
/// may look at the name that it is called by.
fn find_program(name: &Path) -> Option<PathBuf> {
    if name.components().count() > 1 {
        return name
            .is_file()
            .then(|| std::path::absolute(name).ok())
            .flatten();
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

/// Whether `name` matches a pattern in which `*` stands for any run of characters.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    let mut rest = rest;
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_ids() {
        for (pattern, name, expected) in [
            ("process/umask", "process/umask", true),
            ("process/umask", "process/umask-2", false),
            ("process/*", "process/umask", true),
            ("*umask", "process/umask", true),
            ("*/u*k", "process/umask", true),
            ("*/u*x", "process/umask", false),
            ("*", "", true),
            ("aba*aba", "aba", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn every_case_says_where_its_demand_is_written() {
        let mut ids = std::collections::BTreeSet::new();
        for case in cases::all() {
            assert!(ids.insert(case.id), "{} twice", case.id);
            assert!(
                case.id.split('/').count() == 2,
                "{}: not chapter/name",
                case.id
            );
            for text in [
                case.title,
                case.does,
                case.clause.file,
                case.clause.heading,
                case.clause.quote,
            ] {
                assert!(
                    !text.is_empty() && !text.contains('\n'),
                    "{}: a text is missing",
                    case.id
                );
            }
        }
        assert!(ids.len() >= 90, "only {} cases", ids.len());
    }
}
