//! Supervises a container's process and its standard streams. See `docs/ARCHITECTURE.md` for where
//! it stands between image and runtime.

mod attach;
mod cgroup;
mod cli;
mod conmon;
mod containerd;
mod health;
mod record;
mod restart;
mod supervise;
mod sys;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

fn main() -> ExitCode {
    let program = std::env::args_os().next().unwrap_or_default();
    let program = Path::new(&program).file_name().unwrap_or_default();
    match program.to_string_lossy() {
        program if containerd::is_name_of_shim(&program) => containerd::main(),
        program if conmon::is_name_of_conmon(&program) => conmon::main(),
        _ => by_hand(),
    }
}

/// The front for people.
fn by_hand() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) =>
        {
            // A closed pipe (`--help | head -1`) is no failure.
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!(
                "windlass-shim: {} (see windlass-shim --help)",
                one_line(&error)
            );
            return ExitCode::from(cli::FAILED);
        }
    };
    match cli.carry_out() {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            let message = format!("{error:#}").replace('\n', "; ");
            eprintln!("windlass-shim: {message}");
            ExitCode::from(cli::FAILED)
        }
    }
}

/// What clap says before it repeats the usage, in one line.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let lines = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.is_empty());
    let words = lines.collect::<Vec<_>>().join(" ");
    let words = words
        .strip_prefix("error: ")
        .map(str::to_owned)
        .unwrap_or(words);
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "what is it to do?".to_owned();
    }
    words
}
