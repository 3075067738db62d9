//! What a Dockerfile says: its text becomes [`stages`] of [`Instruction`]s, without a look at
//! anything else. The language is that of docker/dockerfile:1
//! (<https://docs.docker.com/reference/dockerfile/>); where its prose is silent, BuildKit's reading
//! counts. Why the reader is our own: docs/decisions/dockerfile.md.

pub mod duration;
pub mod flags;
pub mod heredoc;
pub mod instruction;
pub mod lines;
pub mod mount;
pub mod pattern;
pub mod stages;
pub mod words;

use anyhow::{Error, anyhow};

pub use instruction::{Instruction, Statement};

/// Where something stands: for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The Dockerfile, as the caller named it; for a trigger, the image that it came from.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl Place {
    /// An error at this place, with what it was in.
    pub fn error(&self, keyword: &str, error: &Error) -> Error {
        match keyword {
            "" => anyhow!("{self}: {error:#}"),
            keyword => anyhow!("{self}: {keyword}: {error:#}"),
        }
    }
}
