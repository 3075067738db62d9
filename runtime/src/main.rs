//! An OCI runtime: creates, starts, kills and deletes containers from an OCI bundle.

#![no_main]

/// The C library calls this in place of Rust's own start-up, which asks for the bounds of the
/// stack and installs handlers for its overflow: sixteen system calls, twice for each container,
/// in a program that lives for three milliseconds.
#[allow(unsafe_code)] // of the attribute: no other symbol of this program has that name
#[unsafe(no_mangle)]
extern "C" fn main() -> std::ffi::c_int {
    std::process::exit(windlass::cli::main().into())
}
