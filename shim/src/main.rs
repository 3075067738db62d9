//! Supervises a container's process and its standard streams. See `docs/ARCHITECTURE.md` for where
//! it stands between image and runtime.

#![cfg_attr(not(test), no_main)]

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

use std::ffi::{OsStr, OsString, c_char, c_int};
use std::path::Path;

use clap::Parser;
use clap::error::ErrorKind;

/// The C library calls this in place of Rust's own start-up, which asks for the bounds of the stack and
/// installs handlers for its overflow: sixteen system calls that every start of a container waits for.
#[allow(unsafe_code)] // no other symbol of this program has the attribute's name
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn main(_: c_int, argv: *const *const c_char) -> c_int {
    // SAFETY: the C library's argv, as main(3p) has it.
    unsafe { sys::argv::keep(argv) };
    std::process::exit(i32::from(carry_out()))
}

fn carry_out() -> u8 {
    if let Err(error) = sys::begin() {
        eprintln!("windlass-shim: opening /dev/null: {error}");
        return cli::FAILED;
    }
    let program = sys::argv::words().first();
    let program = Path::new(program.map_or(OsStr::new(""), OsString::as_os_str))
        .file_name()
        .unwrap_or_default();
    match program.to_string_lossy() {
        program if containerd::is_name_of_shim(&program) => containerd::main(),
        program if conmon::is_name_of_conmon(&program) => conmon::main(),
        _ => by_hand(),
    }
}

/// The front for people.
fn by_hand() -> u8 {
    let cli = match cli::Cli::try_parse_from(sys::argv::words()) {
        Ok(cli) => cli,
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) =>
        {
            // A closed pipe (`--help | head -1`) is no failure.
            let _ = error.print();
            return 0;
        }
        Err(error) => {
            eprintln!(
                "windlass-shim: {} (see windlass-shim --help)",
                one_line(&error)
            );
            return cli::FAILED;
        }
    };
    match cli.carry_out() {
        Ok(status) => status,
        Err(error) => {
            let message = format!("{error:#}").replace('\n', "; ");
            eprintln!("windlass-shim: {message}");
            cli::FAILED
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
