//! Compares how runtimes bear numbers: see `bench/src/scale/`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match windlass_bench::scale::program::main() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("windlass-scale-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
