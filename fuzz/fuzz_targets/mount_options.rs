#![no_main]

#[path = "../../runtime/tests/fuzz_properties/mod.rs"]
mod fuzz_properties;
#[path = "../../runtime/tests/seccomp_interpreter/mod.rs"]
mod seccomp_interpreter;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_properties::mount_options(bytes));
