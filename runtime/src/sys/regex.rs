//! Regular expressions (POSIX extended; regex(3)), which the C library has.

use std::ffi::CStr;
use std::fmt;

/// A compiled expression.
pub struct Regex(Box<libc::regex_t>);

impl Regex {
    /// Compiles an extended regular expression; `None` when it is none.
    pub fn new(pattern: &CStr) -> Option<Self> {
        let flags = libc::REG_EXTENDED | libc::REG_NOSUB;
        // SAFETY: regex_t is plain data to regcomp, which initializes it when it returns 0, and reads
        // a string that ends with NUL.
        unsafe {
            let mut compiled: Box<libc::regex_t> = Box::new(std::mem::zeroed());
            let done = libc::regcomp(&raw mut *compiled, pattern.as_ptr(), flags) == 0;
            done.then(|| Regex(compiled))
        }
    }

    /// Whether it matches somewhere in the text.
    pub fn matches(&self, text: &CStr) -> bool {
        // SAFETY: the expression is compiled, and no places of matches are asked for.
        unsafe {
            libc::regexec(
                &raw const *self.0,
                text.as_ptr(),
                0,
                std::ptr::null_mut(),
                0,
            ) == 0
        }
    }
}

impl Drop for Regex {
    fn drop(&mut self) {
        // SAFETY: it is compiled, and used no more.
        unsafe { libc::regfree(&raw mut *self.0) }
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Regex")
    }
}
