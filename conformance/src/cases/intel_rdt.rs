//! `linux.intelRdt`: groups of the resctrl file system. Few processors have one, so the runtime is
//! shown an imitation of it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::case::{CRUN, Case, Known, OLD_CRUN, RUNC, Stop, Verdict, check, equal, fail};
use crate::harness::{Container, Context, Output};
use crate::tracer::{Imitation, NOT_LOOKED};

const FILE: &str = "config-linux.md";
const HEADING: &str = "IntelRdt";

const IGNORED: &[Known] = &[Known {
    runtimes: CRUN,
    why: "looks for resctrl in another way than by its path or its mount, or not at all",
}];

const CAME_LATER: &[Known] = &[
    Known {
        runtimes: RUNC,
        why: "came with runc 1.4; ignored before",
    },
    Known {
        runtimes: CRUN,
        why: "came with a later crun; ignored before",
    },
];

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::must(
        "intel-rdt/no-resctrl",
        "without a mounted resctrl, intelRdt is an error",
        "asks for a group on a host without it",
        no_resctrl,
    )
    .clause(FILE, HEADING, "If no mounted `resctrl` [...] is available [...] generate an error")
    .known(&[
        Known { runtimes: RUNC, why: "ignores it" },
        Known { runtimes: OLD_CRUN, why: "ignores it" },
    ]),
    Case::must(
        "intel-rdt/tasks",
        "the container's process is in the group that closID names, or in one of the container's own",
        "reads `tasks` of both",
        tasks,
    )
    .clause(FILE, HEADING, "MUST write the container process ID to the `tasks` file")
    .known(IGNORED),
    Case::must(
        "intel-rdt/unset",
        "without intelRdt nothing of resctrl is touched",
        "compares it before and behind a container's life",
        unset,
    )
    .clause(FILE, HEADING, "MUST NOT manipulate any `resctrl` pseudo-filesystems"),
    Case::must(
        "intel-rdt/default-group",
        "closID `/` is the default group",
        "reads the top's `tasks`, and looks for other groups",
        default_group,
    )
    .clause(FILE, HEADING, "value `/` means that the container MUST be assigned to the default CLOS")
    .known(CAME_LATER),
    Case::must(
        "intel-rdt/forms",
        "lines of schemata that are more than one line, or of another resource, are refused",
        "tries memBwSchema without MB:, and each field with a newline",
        forms,
    )
    .clause(FILE, HEADING, "The value MUST start with `MB:` and MUST NOT contain newlines.")
    .known(&[
        Known { runtimes: RUNC, why: "leaves the form to the kernel" },
        Known { runtimes: CRUN, why: "leaves the form to the kernel" },
    ]),
    Case::must(
        "intel-rdt/schemata-of-two",
        "l3CacheSchema and memBwSchema are written, in this order",
        "sets one, the other, and both",
        schemata_of_two,
    )
    .clause(FILE, HEADING, "MUST write `l3CacheSchema` first and `memBwSchema` last.")
    .known(IGNORED),
    Case::must(
        "intel-rdt/schemata",
        "schemata is written, behind the other two",
        "sets it alone, and with them",
        schemata,
    )
    .clause(FILE, HEADING, "If `schemata` field is set, runtimes MUST write the value")
    .known(CAME_LATER),
    Case::must(
        "intel-rdt/no-schema",
        "where no line is given, none is written",
        "reads the schemata of a new group and of one that was there",
        no_schema,
    )
    .clause(FILE, HEADING, "MUST NOT write to `schemata` files")
    .known(IGNORED),
    Case::must(
        "intel-rdt/group-made",
        "a group that closID names and that is missing is made, and stays",
        "gives it a line, and deletes the container",
        group_made,
    )
    .clause(FILE, HEADING, "doesn't exist, the runtimes MUST create it")
    .known(IGNORED),
    Case::must(
        "intel-rdt/group-compared",
        "a group that is there has to have the lines that are asked for",
        "asks for what it has, and for another share of the cache",
        group_compared,
    )
    .clause(FILE, HEADING, "MUST compare `l3CacheSchema` and/or `memBwSchema` value")
    .known(&[
        Known { runtimes: RUNC, why: "overwrites what the group has" },
        Known { runtimes: CRUN, why: "looks for resctrl in another way than by its path or its mount, or not at all" },
    ]),
    Case::must(
        "intel-rdt/group-pre-configured",
        "without lines, the group that closID names has to be there",
        "names one that is, and one that is not",
        group_pre_configured,
    )
    .clause(FILE, HEADING, "MUST check if corresponding pre-configured directory `closID` is present")
    .known(IGNORED),
    Case::must(
        "intel-rdt/group-removed",
        "the container's own group goes with it",
        "deletes it",
        group_removed,
    )
    .clause(FILE, HEADING, "MUST remove the sub-directory when the container is deleted")
    .known(IGNORED),
    Case::must(
        "intel-rdt/monitoring",
        "enableMonitoring makes a monitoring group of the container's name",
        "reads its `tasks`, and deletes the container",
        monitoring,
    )
    .clause(FILE, HEADING, "MUST create a dedicated MON group for the container")
    .known(CAME_LATER),
    Case::must(
        "intel-rdt/monitoring-fails",
        "a monitoring group that can't be made is an error",
        "puts a file where its directory has to be",
        monitoring_fails,
    )
    .clause(FILE, HEADING, "if creating the MON group fails [...] MUST generate an error")
    .known(CAME_LATER),
];

/// A host with resctrl, and the runtime on it.
struct Host<'a> {
    context: &'a Context,
    imitation: Imitation,
}

impl<'a> Host<'a> {
    fn new(context: &'a Context) -> Result<Self, Stop> {
        Ok(Host {
            context,
            imitation: Imitation::make(std::process::id())?,
        })
    }

    fn call(&self, words: &[&str]) -> Result<Output, Stop> {
        let directory = self.imitation.directory.to_string_lossy();
        let output = self
            .context
            .call(words)
            .tracer(&["resctrl", &directory])
            .run()?;
        if output.stderr().contains("tracer: Input/output error") {
            return Err(Stop::Skipped(
                "needs a kernel whose ptrace tells of system calls".to_owned(),
            ));
        }
        if !output.worked() && output.stderr().contains(NOT_LOOKED) {
            return Err(Stop::Skipped(
                "needs a runtime that looks for resctrl by its path or in /proc/self/mountinfo, \
                 where it can be shown one"
                    .to_owned(),
            ));
        }
        Ok(output)
    }

    /// `create` with this `intelRdt`, whatever comes of it.
    fn attempt(&self, wanted: Value) -> Result<(Container<'a>, Output), Stop> {
        let mut bundle = self.context.bundle()?;
        bundle.set_probe(&["wait"]);
        if !wanted.is_null() {
            bundle.config["linux"]["intelRdt"] = wanted;
        }
        bundle.write()?;
        let container = self.context.container()?;
        let directory = bundle.directory.to_string_lossy();
        let output = self.call(&["create", "--bundle", &directory, &container.id])?;
        Ok((container, output))
    }

    fn create(&self, wanted: Value) -> Result<Container<'a>, Stop> {
        let (container, output) = self.attempt(wanted)?;
        output.must_work()?;
        Ok(container)
    }

    fn refuse(&self, wanted: &Value) -> Verdict {
        let (container, output) = self.attempt(wanted.clone())?;
        if output.worked() {
            self.delete(container)?;
            return fail(format_args!("{wanted}: taken"));
        }
        Ok(())
    }

    fn delete(&self, mut container: Container<'a>) -> Verdict {
        self.call(&["delete", "--force", &container.id])?
            .must_work()?;
        container.gone();
        Ok(())
    }

    fn group(&self, name: &str) -> PathBuf {
        self.imitation.directory.join(name)
    }

    /// What a file of a group says, by its trimmed lines.
    fn lines(&self, group: &str, file: &str) -> Result<Vec<String>, Stop> {
        let path = self.group(group).join(file);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.lines().map(|line| line.trim().to_owned()).collect()),
            Err(error) => fail(format_args!("{}: {error}", path.display())),
        }
    }

    /// Demands that the container's process is in the group: itself, or by one that has started it
    /// and ended, from which it would have inherited that.
    fn is_member(&self, container: &Container<'_>, group: &str) -> Verdict {
        let pid = container.pid()?.to_string();
        let mut tasks = self.lines(group, "tasks")?;
        tasks.retain(|task| !task.is_empty());
        let have_ended = tasks
            .iter()
            .all(|task| !Path::new("/proc").join(task).exists());
        check(
            tasks.contains(&pid) || (have_ended && !tasks.is_empty()),
            format_args!("process {pid} is not in {group:?}, which has {tasks:?}"),
        )
    }
}

/// Every file below a directory with what it says.
fn everything(directory: &Path) -> Result<Vec<(PathBuf, String)>, Stop> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            all.push((path.clone(), String::new()));
            all.append(&mut everything(&path)?);
        } else if !path.to_string_lossy().contains("mnt") && !path.ends_with("mountinfo-t") {
            // (What the imitation says of mounts is no file of resctrl.)
            all.push((path.clone(), fs::read_to_string(&path)?));
        }
    }
    all.sort();
    Ok(all)
}

fn no_resctrl(context: &Context) -> Verdict {
    if crate::harness::mounts()
        .iter()
        .any(|mount| mount.kind == "resctrl")
    {
        return Err(Stop::Skipped("needs a host without resctrl".to_owned()));
    }
    context.must_refuse_with(|config| {
        config["linux"]["intelRdt"] = json!({ "closID": "conformance" });
    })?;
    Ok(())
}

fn tasks(context: &Context) -> Verdict {
    let host = Host::new(context)?;
    host.imitation.group("shared")?;
    let named = host.create(json!({ "closID": "shared" }))?;
    host.is_member(&named, "shared")?;
    host.delete(named)?;
    let own = host.create(json!({ "l3CacheSchema": "L3:0=f" }))?;
    host.is_member(&own, &own.id)?;
    host.delete(own)
}

fn unset(context: &Context) -> Verdict {
    let host = Host::new(context)?;
    let before = everything(&host.imitation.directory)?;
    let container = host.create(Value::Null)?;
    equal(
        "resctrl",
        everything(&host.imitation.directory)?,
        before.clone(),
    )?;
    host.delete(container)?;
    equal("resctrl", everything(&host.imitation.directory)?, before)
}

fn default_group(context: &Context) -> Verdict {
    let host = Host::new(context)?;
    let container = host.create(json!({ "closID": "/" }))?;
    host.is_member(&container, "")?;
    check(
        !host.group(&container.id).exists(),
        "a group of the container's name was made",
    )?;
    host.delete(container)?;
    check(
        host.group("schemata").exists(),
        "the default group is damaged",
    )
}

fn forms(context: &Context) -> Verdict {
    let host = Host::new(context)?;
    for wanted in [
        json!({ "memBwSchema": "L3:0=f" }),
        json!({ "memBwSchema": "MB:0=20\nL3:0=f" }),
        json!({ "schemata": ["L3:0=f\nMB:0=20"] }),
    ] {
        host.refuse(&wanted)?;
    }
    Ok(())
}

fn schemata_of_two(context: &Context) -> Verdict {
    let host = Host::new(context)?;
    for (wanted, lines) in [
        (json!({ "l3CacheSchema": "L3:0=f" }), vec!["L3:0=f"]),
        (json!({ "memBwSchema": "MB:0=20" }), vec!["MB:0=20"]),
        (
            json!({ "memBwSchema": "MB:0=20", "l3CacheSchema": "L3:0=f" }),
            vec!["L3:0=f", "MB:0=20"],
        ),
    ] {
        has_lines(&host, wanted, &lines)?;
    }
    Ok(())
}

fn schemata(context: &Context) -> Verdict {
    let host = Host::new(context)?;
    has_lines(&host, json!({ "schemata": ["L3:0=7"] }), &["L3:0=7"])?;
    has_lines(
        &host,
        json!({ "schemata": ["L2:0=3"], "memBwSchema": "MB:0=20", "l3CacheSchema": "L3:0=f" }),
        &["L3:0=f", "MB:0=20", "L2:0=3"],
    )
}

/// The lines are what was written last: the imitation is a plain file.
fn has_lines(host: &Host<'_>, wanted: Value, lines: &[&str]) -> Verdict {
    let container = host.create(wanted)?;
    let mut written = host.lines(&container.id, "schemata")?;
    written.retain(|line| !line.is_empty());
    equal(
        "schemata",
        written,
        lines.iter().map(|&line| line.to_owned()).collect(),
    )?;
    host.delete(container)
}

fn no_schema(context: &Context) -> Verdict {
    let host = Host::new(context)?;
    let shared = host.imitation.group("shared")?;
    let untouched = fs::read_to_string(shared.join("schemata"))?;
    for wanted in [json!({ "closID": "shared" }), json!({})] {
        let container = host.create(wanted.clone())?;
        let name = if wanted["closID"].is_string() {
            "shared"
        } else {
            &container.id
        };
        host.is_member(&container, name)?;
        for group in ["shared", name, ""] {
            let text = fs::read_to_string(host.group(group).join("schemata"))?;
            equal(group, text, untouched.clone())?;
        }
        host.delete(container)?;
    }
    Ok(())
}

fn group_made(context: &Context) -> Verdict {
    let host = Host::new(context)?;
    let container = host.create(json!({ "closID": "new", "l3CacheSchema": "L3:0=f" }))?;
    host.is_member(&container, "new")?;
    equal(
        "schemata",
        host.lines("new", "schemata")?.first().cloned(),
        Some("L3:0=f".to_owned()),
    )?;
    host.delete(container)?;
    check(
        host.group("new").exists(),
        "the group went with the container",
    )
}

fn group_compared(context: &Context) -> Verdict {
    let host = Host::new(context)?;
    host.imitation.group("shared")?;
    let same = json!({ "closID": "shared", "l3CacheSchema": "L3:0=fff" });
    let container = host.create(same)?;
    host.delete(container)?;
    host.imitation.group("other")?;
    host.refuse(&json!({ "closID": "other", "l3CacheSchema": "L3:0=f" }))
}

fn group_pre_configured(context: &Context) -> Verdict {
    let host = Host::new(context)?;
    host.refuse(&json!({ "closID": "missing" }))?;
    check(
        !host.group("missing").exists(),
        "the missing group was made",
    )?;
    host.imitation.group("shared")?;
    let container = host.create(json!({ "closID": "shared" }))?;
    host.is_member(&container, "shared")?;
    host.delete(container)?;
    check(
        host.group("shared").exists(),
        "the group went with the container",
    )
}

fn group_removed(context: &Context) -> Verdict {
    let host = Host::new(context)?;
    let container = host.create(json!({ "l3CacheSchema": "L3:0=f" }))?;
    let group = host.group(&container.id);
    check(group.exists(), "there is no group of the container's name")?;
    host.delete(container)?;
    check(!group.exists(), "the group is left")
}

fn monitoring(context: &Context) -> Verdict {
    let host = Host::new(context)?;
    host.imitation.group("shared")?;
    let container = host.create(json!({ "closID": "shared", "enableMonitoring": true }))?;
    let group = format!("shared/mon_groups/{}", container.id);
    check(
        host.group(&group).exists(),
        format_args!("there is no {group}"),
    )?;
    host.is_member(&container, &group)?;
    host.delete(container)?;
    check(!host.group(&group).exists(), "the group is left")
}

fn monitoring_fails(context: &Context) -> Verdict {
    let host = Host::new(context)?;
    let shared = host.imitation.group("shared")?;
    fs::remove_dir(shared.join("mon_groups"))?;
    fs::write(shared.join("mon_groups"), "")?;
    host.refuse(&json!({ "closID": "shared", "enableMonitoring": true }))
}
