//! Capabilities by name (capabilities(7)).

use rustix::thread::CapabilitySet;

use super::CapabilityStep;
use crate::spec::{Capabilities, Text};

/// Their names, by number (include/uapi/linux/capability.h, Linux 5.9 and later).
pub const NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// All that we know by name.
pub(super) fn all() -> CapabilitySet {
    CapabilitySet::from_bits_retain((1 << NAMES.len()) - 1)
}

/// The sets as they will be: of what config.json names, what exists and what we hold
/// (`grantable`). The rest is warned about (config.md: "MUST log a warning" for names that can't
/// be mapped or granted).
pub(super) fn resolve(
    wanted: Option<&Capabilities<'_>>,
    grantable: CapabilitySet,
    warnings: &mut Vec<String>,
) -> CapabilityStep {
    let none = Capabilities::default();
    let wanted = wanted.unwrap_or(&none);
    let mut set = |names: &'_ [Text<'_>]| {
        let mut set = CapabilitySet::empty();
        for name in names {
            match number(name) {
                Some(bit) if grantable.contains(bit) => set |= bit,
                _ => warnings.push(refusal(name)),
            }
        }
        set
    };
    let bounding = set(&wanted.bounding);
    let permitted = set(&wanted.permitted);
    let effective = set(&wanted.effective);
    let inheritable = set(&wanted.inheritable);
    let ambient = set(&wanted.ambient);
    warnings.sort();
    warnings.dedup();
    // The kernel keeps effective within permitted and ambient within permitted and inheritable
    // (capset(2), prctl(2)); saying so here makes the plan show what the process gets.
    let permitted = permitted & bounding;
    let raised = ambient & permitted & inheritable;
    let refused = names(ambient - raised);
    if !refused.is_empty() {
        warnings.push(format!(
            "can't raise ambient capability {refused}: not in the permitted and the inheritable set"
        ));
    }
    CapabilityStep {
        bounding,
        effective: effective & permitted,
        permitted,
        inheritable: inheritable & bounding,
        ambient: raised,
    }
}

/// Their names, as one reads them in a sentence.
fn names(set: CapabilitySet) -> String {
    let names = NAMES.iter().enumerate();
    let named = names.filter(|(bit, _)| set.contains(CapabilitySet::from_bits_retain(1 << bit)));
    let named: Vec<&str> = named.map(|(_, name)| *name).collect();
    named.join(", ")
}

/// The bit of a capability's name.
pub(super) fn number(name: &str) -> Option<CapabilitySet> {
    let number = NAMES.iter().position(|known| *known == name)?;
    Some(CapabilitySet::from_bits_retain(1 << number))
}

/// What is said of a name that is passed over.
pub fn refusal(name: &str) -> String {
    if NAMES.contains(&name) {
        format!("ignoring capability {name}: this runtime does not hold it and can't grant it")
    } else {
        format!("ignoring unknown or unavailable capabilities: [{name}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&'static str]) -> Vec<Text<'static>> {
        list.iter().map(|name| Text::from(*name)).collect()
    }

    #[test]
    fn unknown_and_unavailable_names_are_warnings() {
        let wanted = Capabilities {
            bounding: texts(&["CAP_CHOWN", "CAP_SYS_RESOURCE", "CAP_MADE_UP"]),
            permitted: texts(&["CAP_CHOWN", "CAP_KILL"]),
            ..Capabilities::default()
        };
        let mut warnings = Vec::new();
        let all_but = CapabilitySet::all() - CapabilitySet::SYS_RESOURCE;
        let step = resolve(Some(&wanted), all_but, &mut warnings);
        assert_eq!(step.bounding, CapabilitySet::CHOWN);
        assert_eq!(
            step.permitted,
            CapabilitySet::CHOWN,
            "permitted is cut to bounding"
        );
        assert_eq!(warnings.len(), 2, "{warnings:?}");
    }

    #[test]
    fn ambient_needs_inheritable() {
        let wanted = Capabilities {
            bounding: texts(&["CAP_CHOWN", "CAP_KILL"]),
            permitted: texts(&["CAP_CHOWN", "CAP_KILL"]),
            ambient: texts(&["CAP_KILL", "CAP_CHOWN"]),
            ..Capabilities::default()
        };
        let mut warnings = Vec::new();
        let step = resolve(Some(&wanted), CapabilitySet::all(), &mut warnings);
        assert!(step.ambient.is_empty());
        let said = "can't raise ambient capability CAP_CHOWN, CAP_KILL: ";
        assert!(warnings[0].starts_with(said), "{}", warnings[0]);
    }
}
