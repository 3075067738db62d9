//! `process.apparmorProfile` and `process.selinuxLabel`: the label that the program runs with.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::case::{CRUN, Case, Known, Need, Stop, Verdict, check, equal};
use crate::harness::{Context, observation};

const CURRENT: &str = "read:/proc/self/attr/current";
const MOTD: &str = "read:/etc/motd";

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::must(
        "security-modules/apparmor",
        "the program runs with the AppArmor profile of process.apparmorProfile, and so does exec's",
        "loads two profiles, of which the first keeps /etc/motd from being read; runs with the one, \
         and executes with either",
        apparmor,
    )
    .clause(
        "config.md",
        "Linux Process",
        "specifies the name of the AppArmor profile for the process",
    )
    .needs(&[Need::AppArmor]),
    Case::contract(
        "security-modules/apparmor-missing",
        "a profile that is not loaded is an error",
        "asks for one that nobody has loaded",
        apparmor_missing,
    )
    .clause(
        "config.md",
        "Linux Process",
        "specifies the name of the AppArmor profile for the process",
    )
    .needs(&[Need::AppArmor]),
    Case::contract(
        "security-modules/apparmor-not-enabled",
        "a profile on a host without AppArmor is an error",
        "asks for one",
        apparmor_not_enabled,
    )
    .clause("runc", "libcontainer/apparmor", "config provided but apparmor not supported"),
    Case::contract(
        "security-modules/selinux-not-enabled",
        "a label on a host without SELinux is an error, for run and exec",
        "asks for one",
        selinux_not_enabled,
    )
    .clause(
        "runc",
        "selinux",
        "selinux label is specified in config, but selinux is disabled or not supported",
    )
    .known(&[Known {
        runtimes: CRUN,
        why: "exec passes over the label",
    }]),
];

/// Profiles that are loaded as long as the case runs.
struct Profiles {
    file: String,
}

impl Profiles {
    fn load(context: &Context, text: &str) -> Result<Self, Stop> {
        let file = context.directory.join("profiles");
        fs::write(&file, text)?;
        let profiles = Profiles {
            file: file.to_string_lossy().into_owned(),
        };
        match profiles.parser("-r") {
            Ok(true) => Ok(profiles),
            Ok(false) => Err(Stop::Broken(
                "apparmor_parser does not load the profiles".to_owned(),
            )),
            Err(error) => Err(Stop::Skipped(format!("needs apparmor_parser: {error}"))),
        }
    }

    fn parser(&self, action: &str) -> std::io::Result<bool> {
        Command::new("apparmor_parser")
            .args([action, "--skip-cache", &self.file])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map(|status| status.success())
    }
}

impl Drop for Profiles {
    fn drop(&mut self) {
        let _ = self.parser("-R");
    }
}

fn apparmor(context: &Context) -> Verdict {
    const ALL: &str = "file, capability, network, signal, ptrace, mount, umount, pivot_root,";
    let _profiles = Profiles::load(
        context,
        &format!(
            "profile wconf-strict flags=(attach_disconnected) {{ {ALL} deny /etc/motd r, }}\n\
             profile wconf-lax flags=(attach_disconnected) {{ {ALL} }}\n"
        ),
    )?;
    let strict = |config: &mut serde_json::Value| {
        config["process"]["apparmorProfile"] = json!("wconf-strict");
    };
    let seen = context.see_with(&[CURRENT, MOTD], strict)?;
    equal(
        "profile",
        seen.answer(CURRENT).text.trim(),
        "wconf-strict (enforce)",
    )?;
    equal(
        "read /etc/motd",
        seen.answer(MOTD).errno,
        Some(libc::EACCES),
    )?;

    let mut bundle = context.bundle()?;
    strict(&mut bundle.config);
    let container = context.started(bundle)?;
    for (options, wanted) in [
        (&[][..], "wconf-strict (enforce)"),
        (&["--apparmor", "wconf-lax"][..], "wconf-lax (enforce)"),
    ] {
        let words = ["/probe", "probe", "see", CURRENT];
        let output = container.call("exec", options, &words)?.must_work()?;
        let seen = observation(&output)?;
        equal("profile of exec", seen.answer(CURRENT).text.trim(), wanted)?;
    }
    Ok(())
}

fn apparmor_missing(context: &Context) -> Verdict {
    context
        .must_refuse_with(|config| config["process"]["apparmorProfile"] = json!("wconf-none"))
        .map(drop)
}

fn apparmor_not_enabled(context: &Context) -> Verdict {
    if context.host.lacks(Need::AppArmor).is_none() {
        return Err(Stop::Skipped("needs a host without AppArmor".to_owned()));
    }
    context
        .must_refuse_with(|config| config["process"]["apparmorProfile"] = json!("any"))
        .map(drop)
}

fn selinux_not_enabled(context: &Context) -> Verdict {
    const LABEL: &str = "system_u:system_r:container_t:s0:c1,c2";
    if std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        return Err(Stop::Skipped("needs a host without SELinux".to_owned()));
    }
    context.must_refuse_with(|config| config["process"]["selinuxLabel"] = json!(LABEL))?;
    let container = context.started(context.bundle()?)?;
    let words = ["/probe", "probe", "see"];
    let output = container.call("exec", &["--process-label", LABEL], &words)?;
    check(
        !output.worked(),
        "exec takes a label that nothing can give the process",
    )
}
