//! Compares supervisors of containers: see `bench/src/supervisors/`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match windlass_bench::supervisors::program::main() {
        Ok(status) => status,
        Err(error) => {
            eprintln!("windlass-shim-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
