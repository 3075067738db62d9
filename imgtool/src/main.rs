//! windlass-img: gets, makes and keeps OCI images, and unpacks their layers into an OCI bundle.

use std::io;
use std::process::ExitCode;

use clap::Parser;
use windlass_img::cli::CommandLine;
use windlass_img::sys::signal::{self, Interrupted};
use windlass_img::warnings;

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
    // A signal shows in many ways (EINTR among them); this is what it was.
    if let Err(interrupted) = signal::check() {
        eprintln!("windlass-img: {interrupted}");
        let Interrupted(number) = interrupted;
        // The shell's way to say "ended by this signal".
        return ExitCode::from(128 + u8::try_from(number).unwrap_or(0));
    }
    warnings::tell(&format!("{error:#}"));
    ExitCode::FAILURE
}
