//! A strict reader of tar archives: what two readers could read differently is refused; and a
//! writer of archives that all read the same.
//!
//! Layers are tar archives that strangers wrote, and a reader that skips what it can't read is
//! how files are smuggled past a scanner (CVE-2025-62518). So: every header's checksum, magic and
//! numbers have to be right; a PAX record that is malformed, that is there twice over or that
//! contradicts its header is an error; sparse, multi-volume and unknown entry types are errors.

mod entry;
mod header;
mod pax;
mod problem;
mod reader;
mod writer;

pub use entry::{Entry, EntryKind, Timestamp};
pub use problem::TarError;
pub use reader::{TarLimits, TarReader};
pub use writer::TarWriter;
