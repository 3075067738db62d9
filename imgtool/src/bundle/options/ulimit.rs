//! `--ulimit`: the process's limits (setrlimit(2)).

use std::str::FromStr;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;

use crate::bundle::runtime_config::RuntimeConfig;

/// The process's own limits.
#[derive(Debug, Clone, Default, Args)]
pub struct UlimitOptions {
    /// A limit such as nofile=1024:4096; -1 is unlimited. May be repeated.
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<Ulimit>,
}

/// Names as of `ulimit` in a shell and of Docker; `RLIMIT_` and these, upper case, are the kernel's.
const NAMES: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// `RLIM_INFINITY`, getrlimit(2).
const UNLIMITED: u64 = u64::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ulimit {
    name: &'static str,
    soft: u64,
    hard: u64,
}

impl FromStr for Ulimit {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some((name, values)) = text.split_once('=') else {
            bail!("a limit is NAME=SOFT[:HARD], such as nofile=1024:4096");
        };
        let Some(name) = NAMES.into_iter().find(|known| *known == name) else {
            bail!("no such limit; there are {}", NAMES.join(", "));
        };
        let (soft, hard) = values.split_once(':').unwrap_or((values, values));
        let (soft, hard) = (number(soft)?, number(hard)?);
        if soft > hard {
            bail!("the soft limit is above the hard limit");
        }
        Ok(Ulimit { name, soft, hard })
    }
}

fn number(text: &str) -> Result<u64> {
    if text == "-1" || text == "unlimited" {
        return Ok(UNLIMITED);
    }
    text.parse()
        .with_context(|| format!("'{text}' is neither a number nor -1"))
}

impl UlimitOptions {
    /// Writes the limits into config.json; of one that is named twice the later one counts.
    pub(super) fn apply(&self, config: &mut RuntimeConfig) {
        let last = self.ulimit.iter().enumerate().filter(|(index, limit)| {
            let later = &self.ulimit[index + 1..];
            later.iter().all(|other| other.name != limit.name)
        });
        config.process.rlimits = last
            .map(|(_, limit)| {
                let kind = format!("RLIMIT_{}", limit.name.to_ascii_uppercase());
                json!({ "type": kind, "soft": limit.soft, "hard": limit.hard })
            })
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{applied, refused};

    #[test]
    fn soft_and_hard() {
        let flags = [
            "--ulimit=nofile=1:2",
            "--ulimit=core=0",
            "--ulimit=nofile=1024:-1",
        ];
        assert_eq!(
            applied(&flags)["process"]["rlimits"],
            json!([
                { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 },
                { "type": "RLIMIT_NOFILE", "soft": 1024, "hard": u64::MAX },
            ])
        );
        assert_eq!(applied(&[])["process"]["rlimits"], json!([]));
    }

    #[test]
    fn what_is_no_limit() {
        for (flag, reason) in [
            ("nofile", "NAME=SOFT"),
            ("files=1", "nofile"),
            ("nofile=2:1", "above"),
            ("nofile=-1:5", "above"),
            ("nofile=x", "'x'"),
            ("nofile=", "''"),
        ] {
            refused(&["--ulimit", flag], reason);
        }
    }
}
