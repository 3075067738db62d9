//! `--cap-add` and `--cap-drop`: which of root's rights the container has.

use std::fs;
use std::str::FromStr;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use crate::bundle::runtime_config::RuntimeConfig;

/// All capabilities in the order of their numbers (linux/capability.h, Linux 6.18).
const ALL: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What a container has unless the caller says otherwise: Docker's default.
const DEFAULT: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// Rights of root's.
#[derive(Debug, Clone, Default, Args)]
pub struct CapabilityOptions {
    /// A capability more than Docker's default ones, such as NET_ADMIN, or ALL; may be repeated.
    #[arg(long, value_name = "CAP", value_delimiter = ',')]
    cap_add: Vec<Capability>,

    /// A capability less, or ALL; may be repeated. What --cap-add names remains.
    #[arg(long, value_name = "CAP", value_delimiter = ',')]
    cap_drop: Vec<Capability>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Capability {
    All,
    /// Its name in [`ALL`].
    One(&'static str),
}

impl FromStr for Capability {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if name == "ALL" {
            return Ok(Capability::All);
        }
        match ALL.iter().find(|known| **known == name) {
            Some(known) => Ok(Capability::One(known)),
            None => {
                bail!("no such capability; NET_ADMIN, CAP_NET_ADMIN and ALL are (capabilities(7))")
            }
        }
    }
}

impl CapabilityOptions {
    /// Writes the capabilities into config.json; a privileged container has all that there are.
    pub(super) fn apply(&self, config: &mut RuntimeConfig, privileged: bool) {
        let names: Vec<String> = if privileged {
            available()
        } else {
            self.wanted()
        }
        .iter()
        .map(|name| format!("CAP_{name}"))
        .collect();
        // Neither inheritable nor ambient: a process without capabilities would get them by
        // executing a file (CVE-2022-24769).
        config.process.capabilities = json!({
            "bounding": names, "effective": names, "permitted": names,
        });
    }

    /// Docker's rules: ALL together with names means "all but", or "none but".
    fn wanted(&self) -> Vec<&'static str> {
        let is = |list: &[Capability], name: &'static str| list.contains(&Capability::One(name));
        let add_all = self.cap_add.contains(&Capability::All);
        let drop_all = self.cap_drop.contains(&Capability::All);
        let added = |name: &&'static str| is(&self.cap_add, name);
        if add_all {
            let mut wanted = available();
            wanted.retain(|name| !is(&self.cap_drop, name));
            return wanted;
        }
        if drop_all {
            return ALL.into_iter().filter(added).collect();
        }
        let kept = DEFAULT.into_iter().filter(|name| !is(&self.cap_drop, name));
        let more = ALL.into_iter().filter(added);
        let more = more.filter(|name| !DEFAULT.contains(name) || is(&self.cap_drop, name));
        kept.chain(more).collect()
    }
}

/// All that we could give: what this kernel knows and we were not denied ourselves.
fn available() -> Vec<&'static str> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bounding = status
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(u64::MAX);
    let names = ALL.into_iter().enumerate();
    names
        .filter(|(number, _)| bounding & (1 << number) != 0)
        .map(|(_, name)| name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{applied, refused};
    use super::{ALL, DEFAULT};

    fn given(flags: &[&str]) -> Vec<String> {
        let config = applied(flags);
        let capabilities = &config["process"]["capabilities"];
        assert_eq!(capabilities["bounding"], capabilities["effective"]);
        assert_eq!(capabilities["bounding"], capabilities["permitted"]);
        assert!(capabilities.get("inheritable").is_none());
        assert!(capabilities.get("ambient").is_none());
        let names = capabilities["bounding"].as_array().unwrap().iter();
        names
            .map(|name| name.as_str().unwrap().trim_start_matches("CAP_").to_owned())
            .collect()
    }

    #[test]
    fn names_with_and_without_prefix() {
        assert_eq!(given(&[]), DEFAULT);
        let more = given(&["--cap-add=net_admin", "--cap-add", "CAP_SYS_TIME,KILL"]);
        assert_eq!(more[..14], DEFAULT);
        assert_eq!(more[14..], ["NET_ADMIN", "SYS_TIME"]);
        assert!(!given(&["--cap-drop=CAP_CHOWN"]).contains(&"CHOWN".to_owned()));
        refused(&["--cap-add=NET_ADMN"], "no such capability");
    }

    #[test]
    fn all_means_all_but_and_none_but() {
        assert_eq!(given(&["--cap-drop=ALL"]), [""; 0]);
        assert_eq!(given(&["--cap-drop=all", "--cap-add=CHOWN"]), ["CHOWN"]);
        let all_but = given(&["--cap-add=ALL", "--cap-drop=SYS_ADMIN"]);
        assert!(all_but.len() > DEFAULT.len() && all_but.len() < ALL.len());
        assert!(!all_but.contains(&"SYS_ADMIN".to_owned()));
        assert!(given(&["--privileged", "--cap-drop=ALL"]).contains(&"SYS_ADMIN".to_owned()));
    }
}
