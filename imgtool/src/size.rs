//! Amounts of memory as Docker's command line writes them.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};

/// A number of bytes: `64m`, `1.5GiB`, `4096`. The units are powers of 1024, whatever their
/// spelling (docker/go-units, `RAMInBytes`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub i64);

/// The units by their first letter, each 1024 times the one before.
const UNITS: &str = "bkmgtp";

impl FromStr for Size {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let digits = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = unit.trim_start().to_ascii_lowercase();
        let mut letters = unit.chars();
        let power = match (letters.next(), letters.as_str()) {
            (None, _) => Some(0),
            (Some('b'), rest) if !rest.is_empty() => None,
            (Some(letter), "" | "b" | "ib") => UNITS.find(letter),
            _ => None,
        };
        let (Some(power), Ok(number)) = (power, number.parse::<f64>()) else {
            bail!("an amount is a number with a unit b, k, m, g, t or p, such as 64m or 1.5g");
        };
        let bytes = number * 1024_f64.powi(i32::try_from(power)?);
        // 2^63 as it is in an f64.
        if bytes >= 9_223_372_036_854_775_808.0 {
            bail!("more than 9223372036854775807 bytes");
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "checked above; the rest of a byte goes"
        )]
        Ok(Size(bytes as i64))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut amount = self.0;
        let mut units = UNITS.chars().peekable();
        while amount != 0 && amount % 1024 == 0 && units.peek() != Some(&'p') {
            amount /= 1024;
            units.next();
        }
        let unit = units.next().filter(|unit| *unit != 'b');
        write!(f, "{amount}{}", unit.map(String::from).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_as_docker_reads_them() {
        for (text, bytes) in [
            ("64m", 64 << 20),
            ("64M", 64 << 20),
            ("64mb", 64 << 20),
            ("64MiB", 64 << 20),
            ("1.5g", 3 << 29),
            ("4096", 4096),
            ("4096b", 4096),
            ("1 k", 1024),
            ("0", 0),
            ("1p", 1 << 50),
            (".5k", 512),
        ] {
            assert_eq!(text.parse::<Size>().unwrap(), Size(bytes), "{text}");
        }
        for bad in [
            "", "m", "64x", "64mm", "-1", "1e9", "64mibs", "bb", "1bb", "1bib", "1.2.3", "8192p",
            "inf", "NaN", " 1", "é", "1é",
        ] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
        assert_eq!(Size(64 << 20).to_string(), "64m");
        assert_eq!(Size(1000).to_string(), "1000");
        assert_eq!(Size(0).to_string(), "0");
    }
}
