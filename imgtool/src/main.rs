//! windlass-img: gets, makes and keeps OCI images, and unpacks their layers into an OCI bundle.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use windlass_img::cli::CommandLine;
use windlass_img::sys::signal::Interrupted;

fn main() -> ExitCode {
    let error = match CommandLine::parse().run() {
        Ok(()) => return ExitCode::SUCCESS,
        Err(error) => error,
    };
    // Whoever read our output has seen enough.
    let broken_pipe = |cause: &(dyn std::error::Error + 'static)| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    if error.chain().any(broken_pipe) {
        return ExitCode::SUCCESS;
    }
    eprintln!("windlass-img: {}", format!("{error:#}").replace('\n', " "));
    match error.downcast_ref::<Interrupted>() {
        // The shell's way to say "ended by this signal".
        Some(Interrupted(signal)) => ExitCode::from(128 + u8::try_from(*signal).unwrap_or(0)),
        None => ExitCode::FAILURE,
    }
}
