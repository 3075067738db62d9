//! `linux.namespaces`, and what belongs to two of their kinds: the mappings of a user namespace and
//! the offsets of a time namespace (config-linux.md).

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::check::Report;
use super::{Spec, Text};
use crate::error::{Error, Result};
use crate::plan::NamespaceKind;

/// One namespace (config-linux.md, "Namespaces").
#[derive(Debug, Deserialize)]
pub struct Namespace<'a> {
    /// pid, network, mount, ipc, uts, user, cgroup or time.
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    /// Joined when it is there, made when not.
    #[serde(borrow)]
    pub path: Option<Text<'a>>,
}

/// One line of a uid or gid map (config-linux.md, "User namespace mappings").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IdMapping {
    /// First id inside.
    #[serde(rename = "containerID")]
    pub container_id: u32,
    /// First id outside.
    #[serde(rename = "hostID")]
    pub host_id: u32,
    /// How many ids.
    pub size: u32,
}

/// As a line of `/proc/PID/uid_map` (`user_namespaces(7)`).
impl fmt::Display for IdMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.container_id, self.host_id, self.size)
    }
}

/// By how much a clock is moved (config-linux.md, "Offset for Time Namespace").
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct TimeOffset {
    /// Seconds.
    #[serde(default)]
    pub secs: i64,
    /// And nanoseconds.
    #[serde(default)]
    pub nanosecs: u32,
}

/// The offsets by the clock's name.
pub type TimeOffsets<'a> = BTreeMap<Text<'a>, TimeOffset>;

/// Whether the container has a namespace of this kind, new or joined.
pub(super) fn has(spec: &Spec<'_>, kind: NamespaceKind) -> bool {
    find(spec, kind).is_some()
}

fn find<'s>(spec: &'s Spec<'_>, kind: NamespaceKind) -> Option<&'s Namespace<'s>> {
    spec.linux
        .namespaces
        .iter()
        .find(|namespace| &*namespace.kind == kind.name())
}

/// Whether the container has one of this kind, and it is an existing one.
fn joins(spec: &Spec<'_>, kind: NamespaceKind) -> bool {
    find(spec, kind)
        .and_then(|namespace| namespace.path.as_deref())
        .is_some_and(|path| !path.is_empty())
}

/// Checks the list, and what is only for some of it.
///
/// # Errors
/// At the first value that is wrong, with its place.
pub(super) fn check(spec: &Spec<'_>, report: &mut Report<'_>) -> Result<()> {
    check_list(&spec.linux.namespaces, report)?;
    check_user(spec, report)?;
    check_time(spec, report)
}

fn check_list(namespaces: &[Namespace<'_>], report: &mut Report<'_>) -> Result<()> {
    for (index, namespace) in namespaces.iter().enumerate() {
        let at = |key: &str| format!("/linux/namespaces/{index}/{key}");
        let Some(kind) = NamespaceKind::from_name(&namespace.kind) else {
            report(
                Error::config(
                    at("type"),
                    format!("unknown namespace type {:?}", &*namespace.kind),
                )
                .hint("pid, network, mount, ipc, uts, user, cgroup or time"),
            )?;
            continue;
        };
        if namespaces[..index]
            .iter()
            .any(|other| other.kind == namespace.kind)
        {
            report(Error::config(
                at("type"),
                format!("malformed spec file: duplicated ns {kind}"),
            ))?;
        }
        if let Some(path) = namespace.path.as_deref()
            && !path.is_empty()
            && !path.starts_with('/')
        {
            report(Error::config(
                at("path"),
                format!("{path:?} is not absolute"),
            ))?;
        }
    }
    Ok(())
}

fn check_user(spec: &Spec<'_>, report: &mut Report<'_>) -> Result<()> {
    let maps = [
        ("/linux/uidMappings", &spec.linux.uid_mappings),
        ("/linux/gidMappings", &spec.linux.gid_mappings),
    ];
    let given = maps.iter().find(|(_, mappings)| !mappings.is_empty());
    if !has(spec, NamespaceKind::User) {
        return given.map_or(Ok(()), |(pointer, _)| {
            report(Error::config(
                *pointer,
                "user namespace mappings specified, but user namespace isn't enabled in the config",
            ))
        });
    }
    if joins(spec, NamespaceKind::User) {
        return Ok(());
    }
    if given.is_none() {
        report(Error::config(
            "/linux/uidMappings",
            "user namespaces enabled, but no namespace path to join nor mappings to apply specified",
        ))?;
        return Ok(());
    }
    for (pointer, mappings) in maps {
        if mappings.is_empty() {
            report(Error::config(
                pointer,
                "a new user namespace needs uidMappings and gidMappings",
            ))?;
        }
        for (index, mapping) in mappings.iter().enumerate() {
            // The kernel has room for ids below 2^32 - 1 only, and says no more than EINVAL.
            let ends = |first: u32| u64::from(first) + u64::from(mapping.size) >= 1 << 32;
            if mapping.size == 0 || ends(mapping.container_id) || ends(mapping.host_id) {
                report(Error::config(
                    format!("{pointer}/{index}"),
                    format!("{mapping} is no range of ids: first inside, first outside, size"),
                ))?;
            }
        }
    }
    Ok(())
}

fn check_time(spec: &Spec<'_>, report: &mut Report<'_>) -> Result<()> {
    const POINTER: &str = "/linux/timeOffsets";
    let offsets = &spec.linux.time_offsets;
    if offsets.is_empty() {
        return Ok(());
    }
    if !has(spec, NamespaceKind::Time) {
        report(Error::config(
            POINTER,
            "time namespace offsets specified, but time namespace isn't enabled in the config",
        ))?;
        return Ok(());
    }
    if joins(spec, NamespaceKind::Time) {
        report(Error::config(
            POINTER,
            "time namespace enabled, but both namespace path and time offsets specified -- you may \
             only provide one",
        ))?;
    }
    for (clock, offset) in offsets {
        if !matches!(&**clock, "monotonic" | "boottime") {
            report(
                Error::config(POINTER, format!("unknown clock {:?}", &**clock))
                    .hint("monotonic or boottime"),
            )?;
        }
        if offset.nanosecs >= 1_000_000_000 {
            report(Error::config(
                format!("{POINTER}/{clock}/nanosecs"),
                format!("{} is a second or more", offset.nanosecs),
            ))?;
        }
    }
    Ok(())
}

/// What a user without root's rights can't have, whatever the kernel: runc's rules.
///
/// # Errors
/// With the place of what is missing or can't be.
pub fn check_rootless(spec: &Spec<'_>) -> Result<()> {
    check_all_of_rootless(spec, &mut Err)
}

/// The same rules, for whoever wants to know all that is wrong.
///
/// # Errors
/// With what `report` gives back.
pub fn check_all_of_rootless(spec: &Spec<'_>, report: &mut Report<'_>) -> Result<()> {
    if !has(spec, NamespaceKind::User) {
        report(
            Error::config(
                "/linux/namespaces",
                "rootless container requires user namespaces",
            )
            .hint("`windlass spec --rootless` writes such a config.json"),
        )?;
        return Ok(());
    }
    if joins(spec, NamespaceKind::User) {
        return Ok(());
    }
    for (index, mount) in spec.mounts.iter().enumerate() {
        for option in &mount.options {
            let (id, mappings) = if let Some(id) = option.strip_prefix("uid=") {
                (id, &spec.linux.uid_mappings)
            } else if let Some(id) = option.strip_prefix("gid=") {
                (id, &spec.linux.gid_mappings)
            } else {
                continue;
            };
            let Ok(id) = id.parse::<u32>() else { continue };
            if !mappings.iter().any(|mapping| mapping.has(id)) {
                report(Error::config(
                    format!("/mounts/{index}/options"),
                    format!(
                        "cannot specify {} mount option for rootless container: the id has no \
                         mapping",
                        &**option
                    ),
                ))?;
            }
        }
    }
    Ok(())
}

impl IdMapping {
    /// Whether an id of the container is in it.
    fn has(&self, id: u32) -> bool {
        id.checked_sub(self.container_id)
            .is_some_and(|offset| offset < self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(linux: &str) -> Option<String> {
        let text = format!(r#"{{"ociVersion":"1.2.0","linux":{linux}}}"#);
        let spec: Spec<'_> = serde_json::from_str(&text).unwrap();
        check(&spec, &mut Err).err().map(|error| error.to_string())
    }

    #[test]
    fn mappings_belong_to_a_new_user_namespace() {
        let map = r#"[{"containerID":0,"hostID":100000,"size":65536}]"#;
        let with = |kind: &str, uids: &str, gids: &str| {
            refusal(&format!(
                r#"{{"namespaces":[{{"type":"{kind}"}}],"uidMappings":{uids},"gidMappings":{gids}}}"#
            ))
        };
        assert_eq!(with("user", map, map), None);
        assert!(
            with("uts", map, map)
                .unwrap()
                .contains("/linux/uidMappings")
        );
        assert!(
            with("uts", "[]", map)
                .unwrap()
                .contains("/linux/gidMappings")
        );
        assert!(
            with("user", "[]", "[]")
                .unwrap()
                .contains("no namespace path to join")
        );
        assert!(
            with("user", map, "null")
                .unwrap()
                .contains("/linux/gidMappings")
        );
        for bad in [
            r#"[{"containerID":0,"hostID":1,"size":0}]"#,
            r#"[{"containerID":0,"hostID":4294967295,"size":1}]"#,
            r#"[{"containerID":4294967290,"hostID":1,"size":6}]"#,
        ] {
            assert!(
                with("user", bad, map)
                    .unwrap()
                    .contains("/linux/uidMappings/0")
            );
        }
        let joined = r#"{"namespaces":[{"type":"user","path":"/proc/1/ns/user"}]}"#;
        assert_eq!(refusal(joined), None);
    }

    #[test]
    fn offsets_belong_to_a_new_time_namespace() {
        let with = |namespace: &str, offsets: &str| {
            refusal(&format!(
                r#"{{"namespaces":[{namespace}],"timeOffsets":{offsets}}}"#
            ))
        };
        let new = r#"{"type":"time"}"#;
        let joined = r#"{"type":"time","path":"/proc/1/ns/time"}"#;
        let offsets = r#"{"monotonic":{"secs":-5},"boottime":{"secs":1,"nanosecs":2}}"#;
        assert_eq!(with(new, offsets), None);
        assert_eq!(with(new, "null"), None);
        assert!(
            with(joined, offsets)
                .unwrap()
                .contains("you may only provide one")
        );
        assert!(
            with(r#"{"type":"uts"}"#, offsets)
                .unwrap()
                .contains("isn't enabled")
        );
        assert!(
            with(new, r#"{"realtime":{"secs":1}}"#)
                .unwrap()
                .contains("realtime")
        );
        let long = with(new, r#"{"boottime":{"nanosecs":1000000000}}"#);
        assert!(
            long.unwrap()
                .contains("/linux/timeOffsets/boottime/nanosecs")
        );
    }

    #[test]
    fn without_rights_ids_of_mounts_are_mapped_ones() {
        let map = r#"[{"containerID":0,"hostID":1000,"size":1}]"#;
        let with = |option: &str, namespaces: &str| {
            let text = format!(
                r#"{{"ociVersion":"1.2.0","mounts":[{{"destination":"/x","options":["{option}"]}}],
                    "linux":{{"namespaces":{namespaces},"uidMappings":{map},"gidMappings":{map}}}}}"#
            );
            let spec: Spec<'_> = serde_json::from_str(&text).unwrap();
            check_rootless(&spec).err().map(|error| error.to_string())
        };
        let user = r#"[{"type":"user"}]"#;
        assert_eq!(with("gid=0", user), None);
        assert!(with("gid=5", user).unwrap().contains("/mounts/0/options"));
        assert!(with("uid=1", user).unwrap().contains("uid=1"));
        assert!(
            with("gid=0", "[]")
                .unwrap()
                .contains("requires user namespaces")
        );
    }
}
