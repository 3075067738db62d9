//! What is wrong with a blob that isn't what its descriptor says.

use std::io::{self, Read};

use thiserror::Error;

use super::digest::{Digest, Hasher};
use super::document::Descriptor;

/// A blob isn't what its descriptor says. In parentheses stands what umoci says of it, which people and
/// programs look for.
#[derive(Debug, Error)]
pub enum Mismatch {
    /// Its content is another.
    #[error("blob {expected} is corrupt: its content is {found} (verified reader digest mismatch)")]
    Digest {
        /// What it is called.
        expected: Digest,
        /// What it is.
        found: Digest,
    },
    /// Something follows it.
    #[error(
        "blob {digest} has {found} bytes, but its descriptor says {expected} \
         (verified reader size mismatch)"
    )]
    Size {
        /// What it is called.
        digest: Digest,
        /// Bytes that it should have.
        expected: u64,
        /// Bytes that it has.
        found: u64,
    },
    /// Its length is another, and what is there of the right length isn't it either.
    #[error(
        "blob {digest} has {found} bytes, but its descriptor says {expected}, nor is its \
         digest the right one (verified reader digest mismatch)"
    )]
    Other {
        /// What it is called.
        digest: Digest,
        /// Bytes that it should have.
        expected: u64,
        /// Bytes that it has.
        found: u64,
    },
}

impl Mismatch {
    /// Compares what a blob is with what its descriptor says.
    pub fn check(
        (digest, size): (&Digest, u64),
        (found, length): (&Digest, u64),
    ) -> Result<(), Self> {
        let expected = digest.clone();
        match (found == digest, length == size) {
            (true, true) => Ok(()),
            (false, true) => Err(Mismatch::Digest {
                expected,
                found: found.clone(),
            }),
            (true, false) => Err(Mismatch::Size {
                digest: expected,
                expected: size,
                found: length,
            }),
            (false, false) => Err(Mismatch::Other {
                digest: expected,
                expected: size,
                found: length,
            }),
        }
    }

    /// What is wrong with a blob of `length` bytes, which aren't those of its descriptor: whether it is
    /// another from its beginning, or has only something behind it.
    pub(super) fn of_length(
        content: impl Read,
        length: u64,
        descriptor: &Descriptor,
    ) -> io::Result<Self> {
        let mut hasher = Hasher::new(descriptor.digest.algorithm());
        io::copy(&mut content.take(descriptor.size), &mut hasher)?;
        let (digest, expected) = (descriptor.digest.clone(), descriptor.size);
        Ok(if hasher.finish() == digest {
            Mismatch::Size {
                digest,
                expected,
                found: length,
            }
        } else {
            Mismatch::Other {
                digest,
                expected,
                found: length,
            }
        })
    }
}
