//! What no safe library offers. The only unsafe code of this crate.

pub mod file_handle;
pub mod namespace;
pub mod signal;
