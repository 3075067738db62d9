//! `windlass features` (runtime-spec, features.md and features-linux.md).

use serde_json::json;

use super::global::Global;
use super::log::Log;
use super::parse::Arguments;
use super::syntax::{Positionals, Verb};
use super::version::SPEC_VERSION;
use super::{ExitCode, print, to_json};
use crate::cgroup::systemd::annotations;
use crate::error::Result;
use crate::plan::{
    CAPABILITY_NAMES, HookKind, MOUNT_OPTIONS, NamespaceKind, memory_policy_flags,
    memory_policy_modes, namespace_kinds,
};
use crate::seccomp;
use crate::sys::seccomp::{Abilities, Flags, takes_action};

pub(super) static VERB: Verb = Verb {
    name: "features",
    summary: "print what this runtime can do, as JSON (runtime-spec, features.md)",
    description: "",
    positionals: Positionals::NONE,
    flags: &[],
    enters_container: false,
    failure_status: 1,
    run,
};

fn run(_: &Arguments<'_>, _: &Global<'_>, _: &Log) -> Result<ExitCode> {
    let mut namespaces = namespace_kinds().map(NamespaceKind::name);
    namespaces.sort_unstable();
    let mut options = MOUNT_OPTIONS;
    options.sort_unstable();
    let abilities = Abilities::probe();
    let actions: Vec<&str> = seccomp::action_names()
        .filter(|name| seccomp::action_value(name).is_some_and(takes_action))
        .filter(|name| *name != "SCMP_ACT_NOTIFY")
        .collect();
    let supported: Vec<&str> = Flags::names()
        .filter(|name| Flags::named(name).is_some_and(|flag| abilities.flags.contains(flag)))
        .collect();
    let features = json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPEC_VERSION,
        "hooks": HookKind::ALL.map(HookKind::name),
        "mountOptions": options.to_vec(),
        "linux": {
            "namespaces": namespaces,
            "capabilities": CAPABILITY_NAMES.to_vec(),
            "cgroup": {
                "v1": true,
                "v2": true,
                "systemd": true,
                "systemdUser": true,
                "rdma": true,
            },
            "seccomp": {
                "enabled": abilities.native.is_some(),
                "actions": actions,
                "operators": seccomp::operator_names().collect::<Vec<_>>(),
                "archs": seccomp::Architecture::names().collect::<Vec<_>>(),
                "knownFlags": Flags::names().collect::<Vec<_>>(),
                "supportedFlags": supported,
            },
            "apparmor": {"enabled": true},
            "selinux": {"enabled": true},
            "intelRdt": {"enabled": true, "schemata": true, "monitoring": true},
            "memoryPolicy": {
                "modes": memory_policy_modes(),
                "flags": memory_policy_flags(),
            },
            "mountExtensions": {"idmap": {"enabled": true}},
            "netDevices": {"enabled": true},
        },
        "annotations": {
            "io.windlass.version": env!("CARGO_PKG_VERSION"),
            // By this name engines look for it (libcontainer's features).
            "org.opencontainers.runc.checkpoint.enabled": "true",
        },
        "potentiallyUnsafeConfigAnnotations": [annotations::PREFIX, "org.criu.config"],
    });
    print(&(to_json(&features)? + "\n"));
    Ok(ExitCode::SUCCESS)
}
