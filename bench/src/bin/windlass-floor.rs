//! The floor program: `windlass-floor run|create|start|delete|exec`; see `bench/src/floor/`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match windlass_bench::floor::program::main(&arguments) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("windlass-floor: {error:#}");
            ExitCode::FAILURE
        }
    }
}
