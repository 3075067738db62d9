#![no_main]

#[path = "../../imgtool/tests/fuzz_properties/mod.rs"]
mod fuzz_properties;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_properties::dockerfile(bytes));
