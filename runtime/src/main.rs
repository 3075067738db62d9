//! An OCI runtime: creates, starts, kills and deletes containers from an OCI bundle.

#![no_main]

use std::ffi::{c_char, c_int};

use windlass::sys::{argv, memory};

/// The C library calls this in place of Rust's own start-up, which asks for the bounds of the
/// stack and installs handlers for its overflow: sixteen system calls, twice for each container,
/// in a program that lives for three milliseconds.
#[allow(unsafe_code)] // no other symbol of this program has the attribute's name
#[unsafe(no_mangle)]
extern "C" fn main(_: c_int, argv: *const *const c_char) -> c_int {
    memory::reserve_heap();
    // SAFETY: the C library's argv, as main(3p) has it.
    unsafe { argv::keep(argv) };
    std::process::exit(windlass::cli::main().into())
}
