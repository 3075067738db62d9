//! Tests any OCI runtime from outside, each case citing the clause that it checks.
//!
//! - `cases/`: the cases, one file a chapter
//! - `harness/`: bundles, the runtime's command line, containers, the host's side
//! - `probe/`: this same program inside the container, reporting what it sees
//! - `tracer/`: this same program around a call of the runtime: kills it, or imitates resctrl
//! - `runner`: several cases at a time, each in a process of its own
//! - `report/`: text, TAP, JSON, JUnit
//! - `catalogue`: `--list` and `--explain`
//! - `compare/`: several runtimes side by side: `compare`
//! - `demands/`: every demand of the specification, and which cases test it: `coverage`

mod case;
mod cases;
mod catalogue;
mod compare;
mod demands;
mod harness;
mod known;
mod need;
mod probe;
mod report;
mod runner;
mod sys;
mod tracer;
mod upstream;
mod verdict;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use case::Case;
use report::{Format, Outcome};

/// Tests an OCI runtime from outside, through its command line only.
///
/// Needs root, and no network and no image. Exits with 0 when every case passed or was skipped,
/// with 1 when the runtime failed one, with 2 when the suite itself could not do its work.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
struct Options {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The runtime: a path, or a name to look for in PATH.
    #[arg(long, value_name = "PATH", required_unless_present_any = ["list", "explain"])]
    runtime: Option<PathBuf>,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    conduct: Conduct,
    /// How results are printed.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
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

/// What the suite does besides testing one runtime.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Tests several runtimes and prints what each does of each case.
    Compare(compare::CompareOptions),
    /// Prints every demand of the specification and the cases that test it.
    Coverage {
        /// Print docs/conformance.md.
        #[arg(long)]
        markdown: bool,
    },
}

/// Which cases.
#[derive(Debug, Args)]
struct Choice {
    /// Only cases whose id matches, or a whole chapter; `*` stands for anything (repeatable).
    #[arg(long, value_name = "GLOB")]
    filter: Vec<String>,
    /// No cases whose id or chapter matches (repeatable).
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
}

/// How and where cases are run.
#[derive(Debug, Args)]
struct Conduct {
    /// Where bundles and state directories are made (default: below $TMPDIR, else /tmp).
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// How many cases run at a time (default: one more than there are processors).
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// How long a case may take; one that needs longer by its nature has more.
    #[arg(long, value_name = "SECONDS", default_value = "30")]
    timeout: u64,
    /// Run the cases that make very many containers or calls in full (minutes).
    #[arg(long)]
    big: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    match arguments.get(1).map(String::as_str) {
        Some("probe") => return probe::main(&arguments[2..]),
        Some("tracer") => return tracer::main(&arguments[2..]),
        Some("worker") if arguments.len() == 3 => return runner::worker(&arguments[2]),
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

fn run(options: Options) -> io::Result<ExitCode> {
    match &options.verb {
        Some(Verb::Compare(options)) => return compare::compare(options),
        Some(Verb::Coverage { markdown: true }) => return print(&demands::markdown()),
        Some(Verb::Coverage { markdown: false }) => return print(&demands::table()),
        None => {}
    }
    if let Some(id) = &options.explain {
        return print(&catalogue::explain(id)?);
    }
    let chosen = options.choice.cases()?;
    if options.list {
        return print(&catalogue::list(&chosen));
    }
    let mut settings = options
        .conduct
        .settings(options.runtime.as_deref().unwrap_or(Path::new("")))?;
    if let Some(keep) = &options.keep {
        settings.root = directory_in(keep)?;
        settings.keep = true;
    }
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

impl Choice {
    /// The cases, in the suite's order.
    ///
    /// # Errors
    /// There are none, or a pattern is of no case.
    fn cases(&self) -> io::Result<Vec<&'static Case>> {
        let is_meant =
            |glob: &String, case: &Case| matches(glob, case.id) || matches(glob, case.chapter());
        for glob in self.filter.iter().chain(&self.exclude) {
            if !cases::all().any(|case| is_meant(glob, case)) {
                return Err(io::Error::other(format!(
                    "no case matches {glob}; --list prints them"
                )));
            }
        }
        let chosen: Vec<_> = cases::all()
            .filter(|case| {
                (self.filter.is_empty() || self.filter.iter().any(|glob| is_meant(glob, case)))
                    && !self.exclude.iter().any(|glob| is_meant(glob, case))
            })
            .collect();
        if chosen.is_empty() {
            return Err(io::Error::other("--exclude leaves no case"));
        }
        Ok(chosen)
    }
}

impl Conduct {
    /// What the runner needs to know to test this runtime.
    ///
    /// # Errors
    /// No such program, no root, and those of making the directory.
    fn settings(&self, runtime: &Path) -> io::Result<runner::Settings> {
        if !rustix::process::geteuid().is_root() {
            return Err(io::Error::other(
                "needs root: containers are made without user namespaces",
            ));
        }
        let runtime = find_program(runtime)
            .ok_or_else(|| io::Error::other(format!("no program {}", runtime.display())))?;
        let place = self.root.clone().unwrap_or_else(std::env::temp_dir);
        let processors = std::thread::available_parallelism()?.get();
        Ok(runner::Settings {
            runtime,
            root: directory_in(&place)?,
            jobs: self.jobs.unwrap_or(processors + 1),
            limit: Duration::from_secs(self.timeout.max(1)),
            keep: false,
            big: self.big,
        })
    }
}

/// A name in `place`, which is made, for all that this process makes.
fn directory_in(place: &Path) -> io::Result<PathBuf> {
    std::fs::create_dir_all(place)?;
    // A short name: paths of sockets have at most 107 bytes (unix(7)).
    Ok(place
        .canonicalize()?
        .join(format!("wconf-{}", std::process::id())))
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
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn manual() {
        windlass_manual::keep(Options::command()).unwrap();
    }

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
