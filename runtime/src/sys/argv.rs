//! The words that this program was called with.
//!
//! `std::env::args_os` has them of Rust's own start-up, which main.rs does without, or of glibc, which
//! hands them to every initializer. musl does not.

use std::ffi::{CStr, OsStr, OsString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::sync::OnceLock;

static WORDS: OnceLock<Vec<OsString>> = OnceLock::new();

/// Keeps what the C library gave to `main`.
///
/// # Safety
/// `argv` is a list of strings that ends with NULL (C11 5.1.2.2.1), or NULL itself.
pub unsafe fn keep(argv: *const *const c_char) {
    let mut words = Vec::new();
    let mut next = argv;
    // SAFETY: the caller's word: each entry up to the NULL is a string.
    unsafe {
        while !next.is_null() && !(*next).is_null() {
            let word = CStr::from_ptr(*next).to_bytes();
            words.push(OsStr::from_bytes(word).to_os_string());
            next = next.add(1);
        }
    }
    let _ = WORDS.set(words);
}

/// All words, the program's own name first.
pub fn words() -> &'static [OsString] {
    WORDS.get_or_init(|| std::env::args_os().collect())
}
