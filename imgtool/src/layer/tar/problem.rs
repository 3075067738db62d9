//! Why an archive is refused.

use std::io;

use crate::layer::path::PathError;

/// What is wrong with an archive, whatever the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The block's checksum doesn't match: damage, or not a tar archive.
    #[error("header checksum mismatch (damaged, or not a tar archive)")]
    Checksum,
    /// Neither POSIX, GNU nor V7.
    #[error("unknown tar dialect in the header's magic")]
    Magic,
    /// Readers disagree on what the name's prefix is.
    #[error("ambiguous name prefix in the header")]
    Prefix,
    /// A numeric field that isn't a number, or is out of range.
    #[error("bad number in the header's {0} field")]
    Number(&'static str),
    /// A PAX record that breaks the format.
    #[error("malformed PAX record")]
    Pax,
    /// The same PAX key twice for one entry.
    #[error("the same PAX record twice for one entry")]
    PaxRepeated,
    /// A character set that isn't UTF-8 or bytes.
    #[error("unsupported PAX hdrcharset")]
    PaxCharset,
    /// A global record that would change later entries.
    #[error("a global PAX header that changes entries, which readers disagree about")]
    PaxGlobal,
    /// A GNU long name without its NUL.
    #[error("a GNU long name that is cut short")]
    LongName,
    /// Two extended headers of one kind, two that both name the entry, or a global one after them.
    #[error("conflicting extended headers before one entry")]
    ExtensionConflict,
    /// An extended header with no entry after it.
    #[error("an extended header without an entry after it")]
    ExtensionAlone,
    /// Something between an extended header's body and the next block.
    #[error("an extended header is followed by more than zeros")]
    ExtensionPadding,
    /// An extended header above the limit.
    #[error("an extended header above the limit of {0} bytes")]
    ExtensionTooLarge(u64),
    /// The PAX size and the header's size disagree (CVE-2025-62518).
    #[error("PAX size and header size disagree")]
    SizeConflict,
    /// Data on an entry that has none.
    #[error("a size on an entry that can't have data")]
    UnexpectedData,
    /// A sparse file.
    #[error("sparse files are not supported (image-spec layer.md: SHOULD NOT be used)")]
    Sparse,
    /// A V7 entry, file or directory by its name, with two names that differ in that.
    #[error("an entry that is a file by one of its names and a directory by the other")]
    OldDirectory,
    /// An extended attribute beyond the kernel's limits.
    #[error("bad extended attribute")]
    Xattr,
    /// A type that we don't know.
    #[error("unsupported entry type '{}'", .0.escape_ascii())]
    Kind(u8),
    /// A user or group number beyond what Linux has (4294967295 means "none" there).
    #[error("user or group number out of range")]
    Id,
    /// A device number beyond what Linux has.
    #[error("device number out of range")]
    Device,
    /// A bad entry name.
    #[error("{0}")]
    Name(PathError),
    /// A bad link target.
    #[error("link target: {0}")]
    LinkTarget(PathError),
    /// Something other than zeros after the first zero block.
    #[error("a lone zero block in the middle of the archive")]
    LoneZeroBlock,
    /// The archive stops in the middle.
    #[error("the archive ends in the middle of an entry")]
    Truncated,
    /// More entries than allowed.
    #[error("more than {0} entries")]
    TooManyEntries(u64),
}

/// A refused archive, or one that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The archive is wrong.
    #[error("tar archive refused at byte {offset}{}: {problem}", for_entry(name))]
    Refused {
        /// What is wrong.
        problem: Problem,
        /// Where the header that is wrong starts.
        offset: u64,
        /// The entry's name as far as it is known.
        name: Vec<u8>,
    },
    /// The bytes can't be had.
    #[error(transparent)]
    Io(#[from] io::Error),
}

fn for_entry(name: &[u8]) -> String {
    // A name of many kilobytes helps nobody.
    let shown = &name[..name.len().min(200)];
    if shown.is_empty() {
        String::new()
    } else {
        format!(" (entry '{}')", shown.escape_ascii())
    }
}
