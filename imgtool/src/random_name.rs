//! Names that nobody else has.

use std::fs::File;
use std::io::Read as _;

use anyhow::{Context, Result};

use crate::layout::digest::hex;

/// `BYTES` random bytes in hexadecimal digits.
pub(crate) fn random_name<const BYTES: usize>() -> Result<String> {
    let mut bytes = [0; BYTES];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .context("read /dev/urandom")?;
    Ok(hex(&bytes))
}
