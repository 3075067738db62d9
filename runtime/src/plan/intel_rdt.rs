//! `linux.intelRdt` to its steps.

use std::fmt;

use crate::error::{Error, Result};
use crate::resctrl::{Group, Resctrl, Schemata};
use crate::spec::IntelRdt;

/// What is done with the container's group.
#[derive(Debug)]
pub enum ResctrlStep<'a> {
    /// It is made as far as it is missing, and its schemata are written.
    Make(Group<'a>, Schemata<'a>),
    /// The process is put into it.
    Enter(Group<'a>),
}

impl fmt::Display for ResctrlStep<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |group: &Group<'_>| match group.clos_id {
            Some(name) => name.to_owned(),
            None => "of the container's name".to_owned(),
        };
        match self {
            ResctrlStep::Make(group, schemata) => {
                write!(f, "make the resctrl group {}", name(group))?;
                schemata
                    .lines
                    .iter()
                    .try_for_each(|line| write!(f, " {line}"))
            }
            ResctrlStep::Enter(group) => write!(f, "enter the resctrl group {}", name(group)),
        }
    }
}

/// The group and its schemata, as config.json asks for them.
///
/// # Errors
/// When this host has no resctrl, or not the part of it that is asked for, and for a name or a
/// line that is none; in runc's words, with its place.
pub fn group<'a>(
    wanted: &'a IntelRdt<'a>,
    resctrl: Option<&Resctrl>,
) -> Result<(Group<'a>, Schemata<'a>)> {
    let refuse =
        |key: &str, problem: String| Err(Error::config(format!("/linux/intelRdt{key}"), problem));
    let Some(resctrl) = resctrl else {
        return Err(Error::config(
            "/linux/intelRdt",
            "intelRdt is specified in config, but Intel RDT is not enabled",
        )
        .hint("mount -t resctrl resctrl /sys/fs/resctrl, where the kernel and the CPU have it"));
    };
    let name = &*wanted.clos_id;
    if matches!(name, "." | "..") || (name != "/" && name.contains(['/', '\0'])) {
        return refuse("/closID", format!("invalid intelRdt.ClosID {name:?}"));
    }
    let mut schemata = Schemata::default();
    for (key, field, feature, line, can) in [
        (
            "/l3CacheSchema",
            "l3CacheSchema",
            "CAT",
            &wanted.l3_cache_schema,
            resctrl.cache,
        ),
        (
            "/memBwSchema",
            "memBwSchema",
            "MBA",
            &wanted.mem_bw_schema,
            resctrl.bandwidth,
        ),
    ] {
        if line.is_empty() {
            continue;
        }
        if !can {
            return refuse(
                key,
                format!(
                    "intelRdt.{field} is specified in config, but Intel RDT/{feature} is not enabled"
                ),
            );
        }
        schemata.lines.push(line);
    }
    schemata.settled = schemata.lines.len();
    schemata.lines.extend(
        wanted
            .schemata
            .iter()
            .map(|line| &**line)
            .filter(|line| !line.is_empty()),
    );
    if let Some(line) = schemata.lines.iter().find(|line| line.contains('\n')) {
        return refuse("", format!("{line:?} is more than one line"));
    }
    if !wanted.mem_bw_schema.is_empty() && !wanted.mem_bw_schema.starts_with("MB:") {
        return refuse("/memBwSchema", "memBwSchema must start with MB:".to_owned());
    }
    let group = Group {
        root: resctrl.root.clone(),
        clos_id: (!name.is_empty()).then_some(name),
        monitoring: wanted.enable_monitoring,
    };
    Ok((group, schemata))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(text: &str, resctrl: Option<&Resctrl>) -> Result<String, String> {
        let wanted: IntelRdt<'_> = serde_json::from_str(text).unwrap();
        group(&wanted, resctrl)
            .map(|(group, schemata)| {
                let (clos, monitoring) = (group.clos_id, group.monitoring);
                format!(
                    "{clos:?} {monitoring} {:?} {}",
                    schemata.lines, schemata.settled
                )
            })
            .map_err(|error| error.to_string())
    }

    fn resctrl(cache: bool, bandwidth: bool) -> Resctrl {
        Resctrl {
            root: "/r".into(),
            cache,
            bandwidth,
        }
    }

    #[test]
    fn cache_first_then_bandwidth_then_the_rest() {
        let text = r#"{"closID":"c","schemata":["L2:0=f"],"memBwSchema":"MB:0=20",
                       "l3CacheSchema":"L3:0=f","enableMonitoring":true}"#;
        assert_eq!(
            planned(text, Some(&resctrl(true, true))).unwrap(),
            r#"Some("c") true ["L3:0=f", "MB:0=20", "L2:0=f"] 2"#
        );
        assert_eq!(
            planned("{}", Some(&resctrl(false, false))).unwrap(),
            "None false [] 0"
        );
    }

    #[test]
    fn what_can_not_be_honoured_is_refused() {
        let all = resctrl(true, true);
        for (text, resctrl, words) in [
            ("{}", None, "but Intel RDT is not enabled"),
            (
                r#"{"closID":".."}"#,
                Some(&all),
                "invalid intelRdt.ClosID \"..\"",
            ),
            (
                r#"{"closID":"a/b"}"#,
                Some(&all),
                "invalid intelRdt.ClosID \"a/b\"",
            ),
            (
                r#"{"l3CacheSchema":"L3:0=f"}"#,
                Some(&resctrl(false, true)),
                "Intel RDT/CAT is not enabled",
            ),
            (
                r#"{"memBwSchema":"MB:0=1"}"#,
                Some(&resctrl(true, false)),
                "Intel RDT/MBA is not enabled",
            ),
            (
                r#"{"memBwSchema":"0=1"}"#,
                Some(&all),
                "must start with MB:",
            ),
            (
                r#"{"schemata":["L3:0=f\nMB:0=1"]}"#,
                Some(&all),
                "more than one line",
            ),
        ] {
            let refused = planned(text, resctrl).unwrap_err();
            assert!(
                refused.contains(words) && refused.contains("/linux/intelRdt"),
                "{refused}"
            );
        }
    }
}
