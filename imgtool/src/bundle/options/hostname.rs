//! `--hostname`: the container's name.

use std::str::FromStr;

use anyhow::{Result, bail};
use clap::Args;

/// The container's name.
#[derive(Debug, Clone, Default, Args)]
pub struct HostnameOptions {
    /// The container's host name; the beginning of the bundle's id unless given.
    #[arg(long, value_name = "NAME")]
    hostname: Option<Hostname>,
}

/// A name that the kernel and a hosts file take.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hostname(String);

/// `HOST_NAME_MAX`, gethostname(2).
const LONGEST: usize = 64;

impl FromStr for Hostname {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let label = |label: &str| {
            let inner = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            !label.is_empty() && label.chars().all(inner) && !label.starts_with('-')
        };
        if text.len() > LONGEST || !text.split('.').all(label) {
            bail!("a host name has letters, digits, '-', '_' and '.', {LONGEST} at most");
        }
        Ok(Hostname(text.to_owned()))
    }
}

impl HostnameOptions {
    /// The name, if the caller says.
    pub(super) fn name(&self) -> Option<&str> {
        self.hostname.as_ref().map(|Hostname(name)| &**name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{applied, refused};

    #[test]
    fn names() {
        assert_eq!(
            applied(&["--hostname=web-1.local"])["hostname"],
            "web-1.local"
        );
        assert_eq!(applied(&[])["hostname"], "default");
        let long = "x".repeat(65);
        for bad in ["", "a b", "-a", "a..b", "a\n127.0.0.1 b", &long] {
            refused(&[&format!("--hostname={bad}")], "host name");
        }
    }
}
