//! `linux.memoryPolicy` to its step.

use super::{Action, Pointer, ScheduleStep, Step};
use crate::error::{Error, Result};
use crate::spec::{MemoryPolicy, NumberList};

/// Values of include/uapi/linux/mempolicy.h, by their names in config.json.
const MODES: [(&str, u32); 7] = [
    ("MPOL_BIND", 2),
    ("MPOL_DEFAULT", 0),
    ("MPOL_INTERLEAVE", 3),
    ("MPOL_LOCAL", 4),
    ("MPOL_PREFERRED", 1),
    ("MPOL_PREFERRED_MANY", 5),
    ("MPOL_WEIGHTED_INTERLEAVE", 6),
];

/// The same for the flags.
const FLAGS: [(&str, u32); 3] = [
    ("MPOL_F_NUMA_BALANCING", 1 << 13),
    ("MPOL_F_RELATIVE_NODES", 1 << 14),
    ("MPOL_F_STATIC_NODES", 1 << 15),
];

/// The names of the modes, sorted, for `features`.
pub fn mode_names() -> [&'static str; 7] {
    MODES.map(|(name, _)| name)
}

/// The names of the flags, sorted, for `features`.
pub fn flag_names() -> [&'static str; 3] {
    FLAGS.map(|(name, _)| name)
}

/// The arguments of set_mempolicy(2).
#[derive(Debug)]
pub struct MemoryPolicyStep {
    /// `MPOL_*`, with the flags.
    pub mode: u32,
    /// The mode's name.
    pub mode_name: &'static str,
    /// The memory nodes.
    pub nodes: NumberList,
}

/// # Errors
/// For what set_mempolicy(2) has no number for, or no sense, with its place; in runc's words.
pub(super) fn step<'a>(policy: &MemoryPolicy<'_>) -> Result<Step<'a>> {
    let at = |key: &str| format!("/linux/memoryPolicy/{key}");
    let Some(&(mode_name, mode)) = MODES.iter().find(|(name, _)| *name == &*policy.mode) else {
        let problem = format!("invalid memory policy mode {:?}", &*policy.mode);
        return Err(Error::config(at("mode"), problem).hint(mode_names().join(", ")));
    };
    let nodes = NumberList::parse(&policy.nodes).map_err(|why| {
        let problem = format!("invalid memory policy nodes {:?}: {why}", &*policy.nodes);
        Error::config(at("nodes"), problem)
    })?;
    let mut flags = 0;
    for (index, flag) in policy.flags.iter().enumerate() {
        let Some((_, bit)) = FLAGS.iter().find(|(name, _)| *name == &**flag) else {
            let problem = format!("invalid memory policy flag {:?}", &**flag);
            return Err(
                Error::config(at(&format!("flags/{index}")), problem).hint(flag_names().join(", "))
            );
        };
        flags |= bit;
    }
    match mode_name {
        "MPOL_DEFAULT" | "MPOL_LOCAL" if !nodes.is_empty() => Err(Error::config(
            at("nodes"),
            format!(
                "memory policy mode requires 0 nodes but got {}",
                nodes.count()
            ),
        )),
        "MPOL_BIND" | "MPOL_INTERLEAVE" | "MPOL_PREFERRED_MANY" | "MPOL_WEIGHTED_INTERLEAVE"
            if nodes.is_empty() =>
        {
            Err(Error::config(
                at("nodes"),
                "memory policy mode requires at least one node but got 0",
            ))
        }
        _ => Ok(Step {
            action: Action::Schedule(ScheduleStep::Memory(MemoryPolicyStep {
                mode: mode | flags,
                mode_name,
                nodes,
            })),
            pointer: Pointer::to("/linux/memoryPolicy"),
            clause: "config-linux.md#memory-policy",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(text: &str) -> Result<Step<'static>> {
        let policy: MemoryPolicy<'_> = serde_json::from_str(text).unwrap();
        step(&policy)
    }

    #[test]
    fn the_arguments_of_the_call() {
        let step = planned(r#"{"mode":"MPOL_BIND","nodes":"0,2","flags":["MPOL_F_STATIC_NODES"]}"#)
            .unwrap();
        assert!(matches!(
            step.action,
            Action::Schedule(ScheduleStep::Memory(MemoryPolicyStep { mode: 0x8002, nodes, .. }))
                if nodes.words() == [5]
        ));
        assert!(planned(r#"{"mode":"MPOL_DEFAULT"}"#).is_ok());
        assert!(planned(r#"{"mode":"MPOL_PREFERRED"}"#).is_ok());
    }

    #[test]
    fn nonsense_is_refused_in_runcs_words() {
        for (text, words) in [
            ("{}", "invalid memory policy mode \"\""),
            (
                r#"{"mode":"INTERLEAVE"}"#,
                "invalid memory policy mode \"INTERLEAVE\"",
            ),
            (
                r#"{"mode":"MPOL_BIND","nodes":"0-9876543210"}"#,
                "invalid memory policy nodes \"0-9876543210\"",
            ),
            (
                r#"{"mode":"MPOL_BIND","nodes":"0","flags":["x"]}"#,
                "invalid memory policy flag \"x\" (config.json /linux/memoryPolicy/flags/0",
            ),
            (
                r#"{"mode":"MPOL_LOCAL","nodes":"0-7"}"#,
                "memory policy mode requires 0 nodes but got 8",
            ),
            (
                r#"{"mode":"MPOL_PREFERRED_MANY"}"#,
                "memory policy mode requires at least one node but got 0",
            ),
        ] {
            let refused = planned(text).unwrap_err().to_string();
            assert!(refused.contains(words), "{text}: {refused}");
        }
    }
}
