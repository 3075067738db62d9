//! `windlass --version`: the lines that Docker and podman look for in runc's.

use super::{ExitCode, own_name};

/// The newest runtime-spec that this runtime follows.
pub(super) const SPEC_VERSION: &str = "1.3.0";

pub(super) fn run() -> ExitCode {
    println!("{} version {}", own_name(), env!("CARGO_PKG_VERSION"));
    println!(
        "commit: {}",
        option_env!("WINDLASS_COMMIT").unwrap_or("unknown")
    );
    println!("spec: {SPEC_VERSION}");
    ExitCode::SUCCESS
}
