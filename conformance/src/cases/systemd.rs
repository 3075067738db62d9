//! Cgroups that systemd makes for the runtime: `--systemd-cgroup`, with a cgroupsPath of the form
//! SLICE:PREFIX:NAME.

use std::process::Command;

use serde_json::json;

use crate::case::{Case, Need, Stop, Verdict, check, equal};
use crate::harness::{Bundle, Container, Context, cgroup};

const NEEDS: &[Need] = &[Need::File("/run/systemd/system"), Need::CgroupV2("pids")];
const FILE: &str = "runc command line";
const HEADING: &str = "--systemd-cgroup";

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::contract(
        "cgroups/systemd-scope",
        "the container is in a scope of systemd's, which goes with it",
        "looks for PREFIX-NAME.scope in the slice, and asks systemd",
        scope,
    )
    .clause(FILE, HEADING, "SLICE:PREFIX:NAME")
    .needs(NEEDS),
    Case::contract(
        "cgroups/systemd-limits",
        "limits are those of the scope",
        "reads pids.max, memory.max and cpu.max",
        limits,
    )
    .clause(FILE, HEADING, "enable systemd cgroup support")
    .needs(NEEDS),
    Case::contract(
        "cgroups/systemd-update",
        "update changes what systemd knows of the scope",
        "updates the pids limit, and reads it from systemd and from the kernel",
        update,
    )
    .clause(FILE, HEADING, "enable systemd cgroup support")
    .needs(NEEDS),
    Case::contract(
        "cgroups/systemd-properties",
        "annotations org.systemd.property.* are properties of the unit",
        "sets TimeoutStopUSec and reads it from systemd",
        properties,
    )
    .clause(
        "runc documentation",
        "systemd",
        "org.systemd.property.<PropertyName>",
    )
    .needs(NEEDS),
    Case::contract(
        "cgroups/systemd-path-form",
        "a cgroupsPath of another form is an error",
        "tries one with slashes",
        path_form,
    )
    .clause(
        FILE,
        HEADING,
        "expected cgroupsPath to be of format \"slice:prefix:name\"",
    )
    .needs(NEEDS),
];

/// The name of the case's unit.
fn unit(context: &Context) -> String {
    format!("wconf-{}.scope", context.word)
}

fn created(context: &Context, mut bundle: Bundle) -> Result<Container<'_>, Stop> {
    bundle.set_probe(&["wait"]);
    bundle.config["linux"]["cgroupsPath"] = json!(format!("system.slice:wconf:{}", context.word));
    bundle.write()?;
    let container = context.container()?;
    let directory = bundle.directory.to_string_lossy();
    context
        .call(&["create", "--bundle", &directory, &container.id])
        .global(&["--systemd-cgroup"])
        .run()?
        .must_work()?;
    Ok(container)
}

fn property(unit: &str, name: &str) -> Result<String, Stop> {
    let output = Command::new("systemctl")
        .args(["show", "--value", "--property", name, unit])
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn scope(context: &Context) -> Verdict {
    let mut container = created(context, context.bundle()?)?;
    let directory = cgroup::directory(container.pid()?, "")?;
    let unit = unit(context);
    // It may make a cgroup of its own below what systemd gives it, as crun does.
    let scope = format!("system.slice/{unit}");
    check(
        directory.ancestors().any(|above| above.ends_with(&scope)),
        format_args!("the process is in {}", directory.display()),
    )?;
    equal(
        "state of the unit",
        property(&unit, "ActiveState")?,
        "active".to_owned(),
    )?;
    container.delete(&["--force"])?;
    check(
        !directory.exists(),
        format_args!("{} is left", directory.display()),
    )?;
    equal(
        "state of the unit",
        property(&unit, "ActiveState")?,
        "inactive".to_owned(),
    )
}

fn limits(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    let resources = &mut bundle.config["linux"]["resources"];
    resources["pids"] = json!({ "limit": 17 });
    resources["memory"] = json!({ "limit": 64 << 20 });
    resources["cpu"] = json!({ "quota": 30_000, "period": 100_000 });
    let container = created(context, bundle)?;
    let pid = container.pid()?;
    for (file, wanted) in [
        ("pids.max", "17"),
        ("memory.max", "67108864"),
        ("cpu.max", "30000 100000"),
    ] {
        equal(file, cgroup::value(pid, "", file)?, wanted.to_owned())?;
    }
    Ok(())
}

fn update(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.config["linux"]["resources"]["pids"] = json!({ "limit": 17 });
    let container = created(context, bundle)?;
    let pid = container.pid()?;
    container
        .call("update", &["--pids-limit", "23"], &[])?
        .must_work()?;
    equal(
        "pids.max",
        cgroup::value(pid, "", "pids.max")?,
        "23".to_owned(),
    )?;
    equal(
        "TasksMax",
        property(&unit(context), "TasksMax")?,
        "23".to_owned(),
    )
}

fn properties(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.config["annotations"] =
        json!({ "org.systemd.property.TimeoutStopUSec": "uint64 123456789" });
    let _container = created(context, bundle)?;
    equal(
        "TimeoutStopUSec",
        property(&unit(context), "TimeoutStopUSec")?,
        "2min 3.456789s".to_owned(),
    )
}

fn path_form(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    bundle.write()?;
    let container = context.container()?;
    let directory = bundle.directory.to_string_lossy();
    let output = context
        .call(&["create", "--bundle", &directory, &container.id])
        .global(&["--systemd-cgroup"])
        .run()?
        .must_fail()?;
    check(
        !output.stderr().trim().is_empty(),
        "no message on standard error",
    )
}
