//! Compares programs that unpack images: see `bench/src/images/`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match windlass_bench::images::program::main() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("windlass-img-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
