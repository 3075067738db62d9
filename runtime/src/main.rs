//! An OCI runtime: creates, starts, kills and deletes containers from an OCI bundle.

fn main() -> std::process::ExitCode {
    windlass::cli::main()
}
