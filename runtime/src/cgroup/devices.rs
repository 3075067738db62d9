//! Which devices a container may use (config-linux.md, "Allowed Device list").
//!
//! The rules of config.json and then the runtime's own apply in order, each overriding those
//! before it. cgroup v2 gets a program that decides just so ([`super::device_filter`]). cgroup v1
//! knows only a default and exceptions from it, so there the rules are first reduced to that; rules
//! that can't be are refused, where the kernel would silently not apply them.

use std::borrow::Cow;
use std::fmt;

use super::device_filter::Program;
use super::device_rule::{Access, Kind, Rule};
use super::hierarchies::{Hierarchies, Layout};
use super::limits::{Absent, Write};
use crate::error::{Error, Result};
use crate::spec::resources::Resources;

const CLAUSE: &str = "Allowed Device list";

/// The rules of `linux.resources.devices`.
///
/// Fails for an unknown type or access, or a number that no device has.
pub fn rules(resources: &Resources<'_>) -> Result<Vec<Rule>> {
    resources
        .devices
        .iter()
        .enumerate()
        .map(|(index, rule)| {
            let refuse = |field: &str, problem: String| {
                Error::config(format!("/linux/resources/devices/{index}/{field}"), problem)
            };
            let number = |field: &str, number: Option<i64>| match number {
                // Go programs write -1 for "all" too.
                None | Some(-1) => Ok(None),
                Some(number) => u32::try_from(number)
                    .map(Some)
                    .map_err(|_| refuse(field, format!("{number} is no device number"))),
            };
            let kind = match rule.kind.as_ref() {
                "" | "a" => None,
                "b" => Some(Kind::Block),
                "c" => Some(Kind::Character),
                other => {
                    return Err(refuse("type", format!("invalid device type {other:?}"))
                        .hint("use a, b or c"));
                }
            };
            let access = Access::parse(&rule.access).ok_or_else(|| {
                let problem = match rule.access.as_ref() {
                    "" => format!("device access at {index} field cannot be empty"),
                    other => format!("invalid device access {other:?}"),
                };
                refuse("access", problem).hint("use letters of rwm")
            })?;
            Ok(Rule {
                allow: rule.allow,
                kind,
                major: number("major", rule.major)?,
                minor: number("minor", rule.minor)?,
                access,
                entry: Some(index),
            })
        })
        .collect()
}

/// What runc allows every container, after the rules of its config.json: any node may be made, and
/// the devices of config-linux.md's "Default Devices", pseudo-terminals and `/dev/net/tun` used.
pub fn default_rules() -> &'static [Rule] {
    const fn allow(kind: Kind, numbers: Option<(u32, Option<u32>)>, access: Access) -> Rule {
        let (major, minor) = match numbers {
            Some((major, minor)) => (Some(major), minor),
            None => (None, None),
        };
        Rule {
            allow: true,
            kind: Some(kind),
            major,
            minor,
            access,
            entry: None,
        }
    }
    const fn device(major: u32, minor: u32) -> Rule {
        allow(Kind::Character, Some((major, Some(minor))), Access::ALL)
    }
    const RULES: &[Rule] = &[
        allow(Kind::Character, None, Access::MKNOD),
        allow(Kind::Block, None, Access::MKNOD),
        device(1, 3),                                           // null
        device(1, 8),                                           // random
        device(1, 7),                                           // full
        device(5, 0),                                           // tty
        device(1, 5),                                           // zero
        device(1, 9),                                           // urandom
        allow(Kind::Character, Some((136, None)), Access::ALL), // pts/*
        device(5, 2),                                           // ptmx
        device(10, 200),                                        // net/tun
    ];
    RULES
}

/// How a list of rules is enforced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enforcement {
    /// By writes into the files of the v1 controller, for [`super::Placement::apply`].
    Writes(Vec<Write<'static>>),
    /// By a program on the v2 cgroup, for [`super::Placement::apply_device_filter`].
    Filter(Program),
}

/// What makes this host's kernel enforce `rules`; what no rule matches is denied.
///
/// Fails on v1 without the devices controller, which runc holds necessary for a container's
/// security, and for rules that v1 can't express.
pub fn enforcement(rules: &[Rule], hierarchies: &Hierarchies) -> Result<Enforcement> {
    if hierarchies.layout == Layout::V2 {
        return Ok(Enforcement::Filter(Program::new(rules)));
    }
    if !hierarchies.has("devices") {
        return Err(Error::config(
            "/linux/resources/devices",
            "this host has no devices controller: a container could use any device",
        )
        .hint("mount the devices cgroup"));
    }
    v1_writes(rules).map(Enforcement::Writes)
}

/// Devices that an exception is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Match {
    kind: Kind,
    major: Option<u32>,
    minor: Option<u32>,
}

/// As the files of v1 want it: `c 1:3`, `b *:*`.
impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Block => 'b',
            Kind::Character => 'c',
        };
        let number = |n: Option<u32>| n.map_or("*".to_owned(), |n| n.to_string());
        write!(f, "{kind} {}:{}", number(self.major), number(self.minor))
    }
}

/// The access that is excepted from the default for some devices, and the entry of config.json
/// that first asked for it; in the order of the rules ("The runtime MUST apply entries in the listed
/// order"), which `devices.list` shows.
type Exceptions = Vec<(Match, (Access, Option<usize>))>;

/// The writes that make v1's controller enforce `rules`: first the default, then what is excepted
/// from it.
pub(super) fn v1_writes(rules: &[Rule]) -> Result<Vec<Write<'static>>> {
    let mut allow_by_default = false;
    let mut default_entry = None;
    let mut exceptions = Exceptions::new();
    for rule in rules {
        let everything = rule.kind.is_none()
            && (rule.major, rule.minor, rule.access) == (None, None, Access::ALL);
        if everything {
            allow_by_default = rule.allow;
            default_entry = rule.entry;
            exceptions.clear();
            continue;
        }
        let kinds = rule
            .kind
            .map_or(&[Kind::Block, Kind::Character][..], |kind| match kind {
                Kind::Block => &[Kind::Block],
                Kind::Character => &[Kind::Character],
            });
        for &kind in kinds {
            let devices = Match {
                kind,
                major: rule.major,
                minor: rule.minor,
            };
            if rule.allow == allow_by_default {
                end_exception(devices, rule, &mut exceptions)?;
            } else {
                let known = exceptions.iter_mut().find(|(known, _)| *known == devices);
                match known {
                    Some((_, (access, entry))) => {
                        *access = access.union(rule.access);
                        *entry = entry.or(rule.entry);
                    }
                    None => exceptions.push((devices, (rule.access, rule.entry))),
                }
            }
        }
    }
    let default = if allow_by_default {
        "devices.allow"
    } else {
        "devices.deny"
    };
    let exception = if allow_by_default {
        "devices.deny"
    } else {
        "devices.allow"
    };
    let mut writes = vec![write(default, "a".to_owned(), default_entry)];
    writes.extend(
        exceptions.into_iter().map(|(devices, (access, entry))| {
            write(exception, format!("{devices} {access}"), entry)
        }),
    );
    Ok(writes)
}

/// Takes `rule`'s access to `devices` out of the exceptions; refuses to make a hole in an exception
/// for more devices, which the kernel's v1 controller would ignore.
fn end_exception(devices: Match, rule: &Rule, exceptions: &mut Exceptions) -> Result<()> {
    let overlaps = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
    let within = |inner: Option<u32>, outer: Option<u32>| outer.is_none() || inner == outer;
    let touched: Vec<Match> = exceptions
        .iter()
        .filter(|(other, (access, _))| {
            other.kind == devices.kind
                && overlaps(other.major, devices.major)
                && overlaps(other.minor, devices.minor)
                && access.meets(rule.access)
        })
        .map(|(other, _)| *other)
        .collect();
    for other in touched {
        if !(within(other.major, devices.major) && within(other.minor, devices.minor)) {
            let pointer = rule.entry.map_or_else(String::new, |entry| {
                format!("/linux/resources/devices/{entry}")
            });
            return Err(Error::config(
                pointer,
                format!(
                    "cgroup v1 can't make \"{devices} {}\" an exception from \"{other}\" before it",
                    rule.access
                ),
            )
            .hint("allow single devices instead of the wider rule"));
        }
        if let Some((_, (access, _))) = exceptions.iter_mut().find(|(one, _)| *one == other) {
            *access = access.without(rule.access);
        }
    }
    exceptions.retain(|(_, (access, _))| *access != Access::NONE);
    Ok(())
}

fn write(file: &'static str, value: String, entry: Option<usize>) -> Write<'static> {
    Write {
        controller: Cow::Borrowed("devices"),
        file: Cow::Borrowed(file),
        value: Cow::Owned(value),
        pointer: entry.map_or(Cow::Borrowed(""), |entry| {
            format!("/linux/resources/devices/{entry}").into()
        }),
        clause: CLAUSE,
        absent: Absent::Refuse,
        above: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(devices: &str) -> Result<Vec<Rule>> {
        let json = format!(r#"{{"devices": {devices}}}"#);
        rules(&serde_json::from_str(&json).unwrap())
    }

    fn v1(devices: &str) -> Vec<String> {
        let lines =
            |write: Write<'_>| format!("{} {}", &write.file["devices.".len()..], write.value);
        v1_writes(&of(devices).unwrap())
            .unwrap()
            .into_iter()
            .map(lines)
            .collect()
    }

    #[test]
    fn runcs_default_for_a_container() {
        let mut rules = of(r#"[{"allow": false, "access": "rwm"}]"#).unwrap();
        rules.extend(default_rules());
        let writes = v1_writes(&rules).unwrap();
        assert_eq!(
            (writes[0].file.as_ref(), writes[0].value.as_ref()),
            ("devices.deny", "a")
        );
        assert_eq!(writes[0].pointer, "/linux/resources/devices/0");
        let allowed: Vec<_> = writes[1..]
            .iter()
            .map(|write| write.value.as_ref())
            .collect();
        assert_eq!(
            allowed,
            [
                "c *:* m",
                "b *:* m",
                "c 1:3 rwm",
                "c 1:8 rwm",
                "c 1:7 rwm",
                "c 5:0 rwm",
                "c 1:5 rwm",
                "c 1:9 rwm",
                "c 136:* rwm",
                "c 5:2 rwm",
                "c 10:200 rwm"
            ]
        );
        assert!(writes[1..].iter().all(|write| write.pointer.is_empty()));
    }

    #[test]
    fn later_rules_override_earlier_ones() {
        assert_eq!(
            v1(r#"[{"allow": true, "type": "b", "access": "r"},
                   {"allow": false, "access": "rwm"},
                   {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw"},
                   {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "m"},
                   {"allow": true, "type": "c", "major": 1, "minor": 5, "access": "rwm"},
                   {"allow": false, "type": "c", "major": 1, "access": "w"}]"#),
            ["deny a", "allow c 1:3 rm", "allow c 1:5 rm"]
        );
        assert_eq!(
            v1(r#"[{"allow": true, "access": "rwm"},
                   {"allow": false, "type": "b", "major": 8, "access": "rwm"}]"#),
            ["allow a", "deny b 8:* rwm"]
        );
    }

    #[test]
    fn a_rule_for_both_kinds_is_no_rule_for_everything() {
        assert_eq!(
            v1(r#"[{"allow": true, "type": "a", "major": 7, "access": "r"}]"#),
            ["deny a", "allow b 7:* r", "allow c 7:* r"]
        );
    }

    #[test]
    fn v1_refuses_what_the_kernel_would_ignore() {
        let rules = of(r#"[{"allow": true, "type": "c", "access": "rw"},
                           {"allow": false, "type": "c", "major": 1, "minor": 3, "access": "w"}]"#);
        let refusal = v1_writes(&rules.unwrap()).unwrap_err().to_string();
        assert!(refusal.contains("c 1:3 w") && refusal.contains("/linux/resources/devices/1"));
    }

    #[test]
    fn bad_rules_are_refused() {
        for (rule, field) in [
            (r#"{"allow": true}"#, "access"),
            (r#"{"allow": true, "access": "rx"}"#, "access"),
            (r#"{"allow": true, "type": "p", "access": "r"}"#, "type"),
            (
                r#"{"allow": true, "type": "c", "major": -2, "access": "r"}"#,
                "major",
            ),
            (
                r#"{"allow": true, "type": "c", "minor": 4294967296, "access": "r"}"#,
                "minor",
            ),
        ] {
            let refusal = of(&format!("[{rule}]")).unwrap_err().to_string();
            assert!(
                refusal.contains(&format!("/linux/resources/devices/0/{field}")),
                "{refusal}"
            );
        }
    }
}
