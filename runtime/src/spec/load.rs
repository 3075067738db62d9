//! Reading config.json from a bundle.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::buffer::spare_capacity;
use rustix::io::{read, retry_on_intr};
use serde::Deserialize;

use super::Spec;
use super::locate::pointer_at;
use crate::error::{CallContext, Error, Result};
use crate::sys::exec::spend;

/// More than any engine writes; a bound on what a caller can make us hold in memory.
const LARGEST_CONFIG: usize = 64 << 20;

/// As much as engines write.
const USUAL_CONFIG: usize = 32 << 10;

/// The text of a JSON file. What is parsed from it borrows from it.
#[derive(Debug)]
pub struct ConfigText {
    path: PathBuf,
    text: String,
}

/// Reads a bundle's config.json.
///
/// # Errors
/// With the path, when the file is missing, unreadable, larger than 64 MiB or not UTF-8.
pub fn read_config(path: &Path) -> Result<ConfigText> {
    let file = std::fs::File::open(path).map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            return Error::new(format!(
                "JSON specification file {} not found",
                path.display()
            ))
            .hint("`windlass spec` writes one");
        }
        Error::new(error.to_string()).context(format!("open {}", path.display()))
    })?;
    read_opened_config(path, file.into())
}

/// The same of a file that is open.
///
/// # Errors
/// As [`read_config`].
pub fn read_opened_config(path: &Path, file: OwnedFd) -> Result<ConfigText> {
    let shown = || format!("read {}", path.display());
    let mut text = Vec::with_capacity(USUAL_CONFIG);
    loop {
        retry_on_intr(|| read(&file, spare_capacity(&mut text))).call(shown)?;
        // A read of a regular file that does not fill its buffer is the last one.
        if text.len() < text.capacity() || text.len() > LARGEST_CONFIG {
            break;
        }
        text.reserve(text.len());
    }
    if text.len() > LARGEST_CONFIG {
        return Err(Error::new(format!(
            "{} is larger than 64 MiB",
            path.display()
        )));
    }
    spend([file]);
    let text = String::from_utf8(text)
        .map_err(|_| Error::new(format!("{} is not UTF-8", path.display())))?;
    Ok(ConfigText {
        path: path.to_owned(),
        text,
    })
}

/// Reads the file of `exec --process`, which may be a pipe.
///
/// # Errors
/// With the path, when it is missing, unreadable, larger than 64 MiB or not UTF-8.
pub fn read_process_file(path: &Path) -> Result<ConfigText> {
    let shown = || format!("read {}", path.display());
    let mut text = String::new();
    let file = std::fs::File::open(path).call(shown)?;
    let length = file
        .take(LARGEST_CONFIG as u64 + 1)
        .read_to_string(&mut text)
        .call(shown)?;
    if length > LARGEST_CONFIG {
        return Err(Error::new(format!(
            "{} is larger than 64 MiB",
            path.display()
        )));
    }
    Ok(ConfigText {
        path: path.to_owned(),
        text,
    })
}

impl ConfigText {
    /// Text that is as if it stood in the file at `path`.
    pub fn new(path: &Path, text: String) -> Self {
        ConfigText {
            path: path.to_owned(),
            text,
        }
    }

    /// The text itself, for the copy in the state directory.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Parses it as config.json.
    ///
    /// # Errors
    /// With the JSON pointer at which it stopped making sense.
    pub fn spec(&self) -> Result<Spec<'_>> {
        self.parse()
    }

    /// Parses it as another object of the spec (`exec --process`: a `process`).
    ///
    /// # Errors
    /// As [`ConfigText::spec`].
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        serde_json::from_str(&self.text).map_err(|error| {
            let offset = byte_offset(&self.text, error.line(), error.column());
            let problem = error.to_string();
            let problem = problem
                .split(" at line ")
                .next()
                .unwrap_or_default()
                .to_owned();
            let place = format!("line {}, column {}", error.line(), error.column());
            let error = Error::new(problem);
            match pointer_at(&self.text, offset) {
                pointer if pointer.is_empty() => error.hint(place),
                pointer => error.at(pointer).hint(place),
            }
            .context(self.path.display().to_string())
        })
    }
}

/// How many bytes a reader at this line and column has read: serde_json's column is that of the last
/// one.
fn byte_offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    before + column
}
