//! `windlass explain`: the plan of a bundle, as `create` would carry it out.

use serde_json::json;

use super::container_options::{BUNDLE, load_bundle};
use super::global::Global;
use super::log::Log;
use super::parse::Arguments;
use super::syntax::{Flag, Positionals, Verb};
use super::{ExitCode, to_json};
use crate::cgroup::Maker;
use crate::error::Result;
use crate::host::Host;
use crate::obstacles::{Lack, imagine, obstacle};
use crate::plan::{ContainerRequest, Plan, for_container};
use crate::spec::{Spec, check, check_rootless};

pub(super) static VERB: Verb = Verb {
    name: "explain",
    summary: "print what \"create\" would do for a bundle, step by step, without doing it",
    description: "\
Each step stands with the place in config.json and the clause of the specification
that ask for it, with what undoes it, and with why this host can't do it, if that can
be told without trying.",
    positionals: Positionals::NONE,
    flags: &[&BUNDLE, &JSON],
    enters_container: false,
    failure_status: 1,
    run,
};

static JSON: Flag = Flag::switch("json", "print the steps as JSON");

fn run(arguments: &Arguments<'_>, global: &Global<'_>, _: &Log) -> Result<ExitCode> {
    let (bundle, config) = load_bundle(arguments)?;
    let mut spec = config.spec()?;
    check(&spec)?;
    let cgroups = global.cgroups()?;
    let mut host = Host::detect(&spec, spec.process.as_ref(), cgroups.driver)?;
    let mut lacks = Vec::new();
    if host.rootless
        && let Err(error) = check_rootless(&spec)
    {
        lacks.push(Lack::of(&error).ok_or(error)?);
    }
    // What this host lacks must not hide the rest.
    while let Err(error) = with_plan(&spec, &host, &bundle, global, |_| Ok(())) {
        lacks.push(imagine(&mut host, &mut spec, &error).ok_or(error)?);
    }
    with_plan(&spec, &host, &bundle, global, |plan| {
        let steps = plan.steps.iter();
        let obstacles: Vec<_> = steps.map(|step| obstacle(step, &host, &lacks)).collect();
        if arguments.switch(&JSON) {
            println!("{}", to_json(&as_json(plan, &obstacles))?);
        } else {
            print_lines(plan, &obstacles);
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Makes the plan as `create` would.
pub(super) fn with_plan<T>(
    spec: &Spec<'_>,
    host: &Host,
    bundle: &str,
    global: &Global<'_>,
    look: impl FnOnce(&Plan<'_>) -> Result<T>,
) -> Result<T> {
    let cgroups = global.cgroups()?;
    // Where the cgroups would be is for `create` to know; that they can be anywhere is for us.
    let cgroups_path = spec.linux.cgroups_path.as_deref();
    let maker = cgroups.maker(cgroups_path, "ID", &global.store().place("ID"))?;
    if maker == Maker::Runtime {
        host.hierarchies.place(cgroups_path, "ID")?;
    }
    let request = ContainerRequest {
        bundle,
        no_pivot: false,
        no_new_keyring: false,
        preserve_fds: 0,
        extra_env: &[],
        wait_for_start: true,
        cgroups: &maker,
    };
    look(&for_container(spec, host, &request)?)
}

fn print_lines(plan: &Plan<'_>, obstacles: &[Option<String>]) {
    for (index, (step, obstacle)) in plan.steps.iter().zip(obstacles).enumerate() {
        println!(
            "{:3} {:7} {}  [{}{}]",
            index + 1,
            step.action.side().name(),
            step.action,
            step.clause,
            match step.pointer.to_string() {
                pointer if pointer.is_empty() => String::new(),
                pointer => format!(" {pointer}"),
            }
        );
        if let Some(undo) = step.action.undo() {
            println!("{:12}undo: {undo}", "");
        }
        if let Some(why) = obstacle {
            println!("{:12}not possible here: {why}", "");
        }
    }
    for warning in &plan.warnings {
        println!("warning: {warning}");
    }
}

fn as_json(plan: &Plan<'_>, obstacles: &[Option<String>]) -> serde_json::Value {
    let steps: Vec<_> = plan
        .steps
        .iter()
        .zip(obstacles)
        .map(|(step, obstacle)| {
            json!({
                "side": step.action.side().name(),
                "step": step.action.to_string(),
                "clause": step.clause,
                "pointer": step.pointer.to_string(),
                "undo": step.action.undo(),
                "possible": obstacle.is_none(),
                "obstacle": obstacle,
            })
        })
        .collect();
    json!({"steps": steps, "warnings": plan.warnings})
}
