//! `windlass explain`: the plan of a bundle, as `create` would carry it out.

use super::ExitCode;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::to_json;
use crate::container::create::load_bundle;
use crate::error::{CallContext, Error, Result};
use crate::host::Host;
use crate::plan::{ContainerRequest, Plan, for_container};
use crate::spec::check;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The bundle: the directory with config.json; default: the current one
    #[arg(short, long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// Print the steps as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode> {
    let bundle = arguments.bundle.as_deref().unwrap_or(Path::new("."));
    let bundle = std::fs::canonicalize(bundle).call(|| format!("bundle {}", bundle.display()))?;
    let bundle = bundle
        .to_str()
        .ok_or_else(|| Error::new("the bundle's path is not UTF-8"))?;
    let config = load_bundle(bundle)?;
    let spec = config.spec()?;
    check(&spec)?;
    let host = Host::detect(&spec, spec.process.as_ref())?;
    // Where the cgroups would be is for `create` to know; that they can be anywhere is for us.
    host.hierarchies
        .place(spec.linux.cgroups_path.as_deref(), "explain")?;
    let request = ContainerRequest {
        bundle,
        no_pivot: false,
        no_new_keyring: false,
        preserve_fds: 0,
        extra_env: &[],
        wait_for_start: true,
    };
    let plan = for_container(&spec, &host, &request)?;
    if arguments.json {
        println!("{}", to_json(&as_json(&plan))?);
    } else {
        print_lines(&plan);
    }
    Ok(ExitCode::SUCCESS)
}

fn print_lines(plan: &Plan<'_>) {
    for (index, step) in plan.steps.iter().enumerate() {
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
    }
    for warning in &plan.warnings {
        println!("warning: {warning}");
    }
}

fn as_json(plan: &Plan<'_>) -> serde_json::Value {
    let steps: Vec<_> = plan
        .steps
        .iter()
        .map(|step| {
            json!({
                "side": step.action.side().name(),
                "step": step.action.to_string(),
                "clause": step.clause,
                "pointer": step.pointer.to_string(),
                "undo": step.action.undo(),
            })
        })
        .collect();
    json!({"steps": steps, "warnings": plan.warnings})
}
