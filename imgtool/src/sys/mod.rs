//! What no safe library offers. The only unsafe code of this crate.

pub mod namespace;
pub mod signal;
