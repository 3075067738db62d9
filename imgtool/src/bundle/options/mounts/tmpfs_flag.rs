//! `--tmpfs PATH[:OPTIONS]`: memory of the container's own.

use anyhow::{Result, bail};

use super::destination;
use super::request::{Access, Request, Source};
use crate::size::Size;

/// What Docker's are unless asked otherwise.
pub(super) const USUAL_OPTIONS: [&str; 3] = ["noexec", "nosuid", "nodev"];

/// Options of which one, or its opposite, can be named (mount(8)).
const SWITCHES: [&str; 18] = [
    "rw",
    "ro",
    "exec",
    "noexec",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "sync",
    "async",
];

/// Options of the file system with a value (tmpfs(5)).
const WITH_VALUE: [&str; 7] = [
    "size",
    "mode",
    "uid",
    "gid",
    "nr_inodes",
    "nr_blocks",
    "mpol",
];

/// Reads the flag's value.
pub(super) fn parse(text: &str) -> Result<Request> {
    let (path, given) = text.split_once(':').unwrap_or((text, ""));
    let mut options = USUAL_OPTIONS.map(str::to_owned).to_vec();
    for option in given.split(',').filter(|option| !option.is_empty()) {
        check(option)?;
        options.retain(|known| !are_opposites(known, option) && known != option);
        options.push(option.to_owned());
    }
    Ok(Request {
        destination: destination::mountable(path)?,
        source: Source::Tmpfs { options },
        access: Access::Writable,
    })
}

fn check(option: &str) -> Result<()> {
    match option.split_once('=') {
        None if SWITCHES.contains(&option) => Ok(()),
        Some(("size", size)) => {
            // tmpfs also takes a part of all memory.
            let percent = size.strip_suffix('%').map(str::parse::<u32>);
            match percent {
                Some(Ok(_)) => Ok(()),
                Some(Err(_)) => bail!("size '{size}' is no percentage"),
                None => size.parse::<Size>().map(drop),
            }
        }
        Some((key, value)) if WITH_VALUE.contains(&key) && !value.is_empty() => Ok(()),
        _ => bail!(
            "no option '{option}' of a tmpfs; there are {} and {}=",
            SWITCHES.join(", "),
            WITH_VALUE.join("=, ")
        ),
    }
}

/// `noexec` and `exec`, `ro` and `rw`.
fn are_opposites(one: &str, other: &str) -> bool {
    matches!(
        (one, other),
        ("ro", "rw") | ("rw", "ro") | ("sync", "async") | ("async", "sync")
    ) || one.strip_prefix("no") == Some(other)
        || other.strip_prefix("no") == Some(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> String {
        match parse(text).unwrap().source {
            Source::Tmpfs { options } => options.join(","),
            _ => panic!("{text}"),
        }
    }

    #[test]
    fn options_replace_their_opposites() {
        assert_eq!(options("/run"), "noexec,nosuid,nodev");
        assert_eq!(options("/run:exec,size=64m"), "nosuid,nodev,exec,size=64m");
        assert_eq!(
            options("/run:rw,ro,mode=1777,uid=5"),
            "noexec,nosuid,nodev,ro,mode=1777,uid=5"
        );
        assert_eq!(options("/run:size=50%"), "noexec,nosuid,nodev,size=50%");
    }

    #[test]
    fn what_is_no_tmpfs() {
        for (text, reason) in [
            ("run", "not absolute"),
            ("/run:bind", "no option 'bind'"),
            ("/run:size=many", "64m"),
            ("/run:size=x%", "percentage"),
            ("/run:uid=", "no option"),
            ("/proc", "/proc"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
