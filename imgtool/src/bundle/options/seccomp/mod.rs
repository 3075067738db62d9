//! `--seccomp`: which system calls the container may make.

mod profile;

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;

use crate::bundle::runtime_config::RuntimeConfig;
use crate::layout::resolve::host_architecture;
use profile::{Circumstances, Profile, release};

/// Docker's default profile, in effect.
const DEFAULT: &str = include_str!("default.toml");

/// System calls.
#[derive(Debug, Clone, Default, Args)]
pub struct SeccompOptions {
    /// Which system calls are allowed: a profile as Docker's or as in config.json (JSON), or
    /// 'unconfined' for all of them; Docker's default profile unless given.
    #[arg(long, value_name = "FILE|unconfined")]
    seccomp: Option<Choice>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    Unconfined,
    File(PathBuf),
}

impl From<OsString> for Choice {
    fn from(text: OsString) -> Self {
        if text == "unconfined" {
            Choice::Unconfined
        } else {
            Choice::File(text.into())
        }
    }
}

impl SeccompOptions {
    /// Writes the filter into config.json, whose capabilities are decided: what a capability is
    /// for is allowed with it. A privileged container has a filter only if one is named.
    pub(super) fn apply(&self, config: &mut RuntimeConfig, privileged: bool) -> Result<()> {
        let profile = match &self.seccomp {
            Some(Choice::Unconfined) => None,
            None if privileged => None,
            None => Some(default_profile()?),
            Some(Choice::File(path)) => {
                let of_file = || format!("--seccomp {}", path.display());
                let text = fs::read_to_string(path).with_context(of_file)?;
                let profile: Profile = serde_json::from_str(&text).with_context(of_file)?;
                Some(profile)
            }
        };
        config.linux.seccomp = match profile {
            Some(profile) => {
                let bounding = config.process.capabilities["bounding"].as_array();
                let names = bounding.into_iter().flatten().filter_map(Value::as_str);
                Some(
                    profile
                        .filter(&circumstances(names)?)
                        .context("--seccomp")?,
                )
            }
            None => None,
        };
        Ok(())
    }
}

fn default_profile() -> Result<Profile> {
    toml::from_str(DEFAULT).context("default seccomp profile")
}

/// `capabilities`: what a capability is for is allowed with it.
fn circumstances<'a>(capabilities: impl Iterator<Item = &'a str>) -> Result<Circumstances> {
    Ok(Circumstances {
        capabilities: capabilities.map(str::to_owned).collect(),
        architecture: host_architecture(),
        kernel: kernel()?,
    })
}

/// Major and minor number of the running kernel.
pub(super) fn kernel() -> Result<(u32, u32)> {
    let name = rustix::system::uname();
    release(&name.release().to_string_lossy()).context("uname")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::json;

    use super::super::tests::{applied, refused};
    use super::*;

    fn filter_for(capabilities: &[&str], architecture: &'static str, kernel: (u32, u32)) -> Value {
        let profile: Profile = toml::from_str(DEFAULT).unwrap();
        let circumstances = Circumstances {
            capabilities: capabilities.iter().map(|name| (*name).to_owned()).collect(),
            architecture,
            kernel,
        };
        profile.filter(&circumstances).unwrap()
    }

    fn rules<'a>(filter: &'a Value, name: &str) -> Vec<&'a Value> {
        let all = filter["syscalls"].as_array().unwrap().iter();
        all.filter(|rule| rule["names"].as_array().unwrap().contains(&name.into()))
            .collect()
    }

    #[test]
    fn the_default_follows_capabilities() {
        let plain = filter_for(&[], "amd64", (6, 1));
        assert_eq!(plain["defaultAction"], "SCMP_ACT_ERRNO");
        assert_eq!(plain["defaultErrnoRet"], 1);
        assert_eq!(
            plain["architectures"],
            json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"])
        );
        assert_eq!(rules(&plain, "read").len(), 1);
        for denied in [
            "mount",
            "bpf",
            "reboot",
            "chroot",
            "keyctl",
            "io_uring_setup",
            "kexec_load",
        ] {
            assert_eq!(rules(&plain, denied).len(), 0, "{denied}");
        }
        let clone = rules(&plain, "clone");
        assert_eq!(clone.len(), 1);
        assert_eq!(clone[0]["args"][0]["value"], 0x7e02_0000);
        assert_eq!(rules(&plain, "clone3")[0]["errnoRet"], 38);

        let admin = filter_for(&["CAP_SYS_ADMIN"], "amd64", (6, 1));
        assert_eq!(rules(&admin, "mount").len(), 1);
        assert!(rules(&admin, "clone")[0].get("args").is_none());
        assert_eq!(rules(&admin, "clone3").len(), 1);
        assert_eq!(
            rules(&filter_for(&["CAP_BPF"], "amd64", (6, 1)), "bpf").len(),
            1
        );
    }

    #[test]
    fn the_default_follows_processor_and_kernel() {
        let arm = filter_for(&[], "arm64", (6, 1));
        assert_eq!(
            arm["architectures"],
            json!(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"])
        );
        assert_eq!(rules(&arm, "arch_prctl").len(), 0);
        assert_eq!(rules(&arm, "set_tls").len(), 1);
        let s390 = filter_for(&[], "s390x", (6, 1));
        assert_eq!(rules(&s390, "clone").len(), 1);
        assert_eq!(rules(&s390, "clone")[0]["args"][0]["index"], 1);
        assert_eq!(rules(&arm, "ptrace").len(), 1);
        assert_eq!(rules(&filter_for(&[], "amd64", (4, 7)), "ptrace").len(), 0);
        assert_eq!(release("6.18.44-fc-v509").unwrap(), (6, 18));
        assert!(release("six").is_err());
    }

    #[test]
    fn there_is_one_unless_the_caller_says_otherwise() {
        assert_eq!(
            applied(&[])["linux"]["seccomp"]["defaultAction"],
            "SCMP_ACT_ERRNO"
        );
        for none in ["--seccomp=unconfined", "--privileged"] {
            assert!(applied(&[none])["linux"].get("seccomp").is_none(), "{none}");
        }
    }

    fn file(profile: &Value) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(profile.to_string().as_bytes()).unwrap();
        file
    }

    #[test]
    fn files_in_both_forms() {
        let docker = file(&json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "archMap": [{ "architecture": "SCMP_ARCH_X86_64", "subArchitectures": null }],
            "syscalls": [
                { "name": "mkdir", "action": "SCMP_ACT_ERRNO", "args": [], "comment": "why" },
                { "names": ["chmod"], "action": "SCMP_ACT_ERRNO", "excludes": { "caps": ["CAP_CHOWN"] } },
            ],
        }));
        let path = docker.path().to_str().unwrap();
        let filter = &applied(&["--seccomp", path])["linux"]["seccomp"];
        let expected = json!([{ "names": ["mkdir"], "action": "SCMP_ACT_ERRNO" }]);
        assert_eq!(filter["syscalls"], expected);
        let privileged = applied(&["--privileged", "--seccomp", path]);
        assert_eq!(privileged["linux"]["seccomp"]["syscalls"], expected);

        let own = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "architectures": ["SCMP_ARCH_X86_64"],
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5 }],
        });
        let oci = file(&own);
        let flags = ["--seccomp", oci.path().to_str().unwrap()];
        assert_eq!(applied(&flags)["linux"]["seccomp"], own);
    }

    #[test]
    fn broken_files() {
        for (profile, reason) in [
            (json!({}), "defaultAction"),
            (
                json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscals": [] }),
                "syscals",
            ),
            (
                json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "action": "x" }] }),
                "rule 0",
            ),
        ] {
            let file = file(&profile);
            refused(&["--seccomp", file.path().to_str().unwrap()], reason);
        }
        refused(&["--seccomp=/does/not/exist"], "/does/not/exist");
    }
}
