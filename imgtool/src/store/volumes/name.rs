//! Names of volumes, which are also the names of their directories.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::random_name::random_name;

/// A volume's name: Docker's rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct VolumeName(String);

/// `NAME_MAX`, pathconf(3).
const LONGEST: usize = 255;

impl VolumeName {
    /// A name that nobody else has: 64 hexadecimal digits, as Docker's.
    pub(super) fn random() -> Result<Self> {
        Ok(VolumeName(random_name::<32>()?))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VolumeName {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let inner = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins_well || !text.chars().all(inner) || !(2..=LONGEST).contains(&text.len()) {
            bail!(
                "'{}' is no name of a volume: letters, digits, '_', '.', '-', two at least, a letter or digit first",
                text.escape_debug()
            );
        }
        Ok(VolumeName(text.to_owned()))
    }
}

impl TryFrom<String> for VolumeName {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_docker_s() {
        for good in [
            "data",
            "a1",
            "web_data.2-b",
            &VolumeName::random().unwrap().0,
        ] {
            assert!(good.parse::<VolumeName>().is_ok(), "{good}");
        }
        let long = "x".repeat(256);
        for bad in ["", "a", "-x", ".x", "..", "a/b", "a b", "é1", "a\n", &long] {
            assert!(bad.parse::<VolumeName>().is_err(), "{bad}");
        }
    }
}
