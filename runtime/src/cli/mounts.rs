//! `windlass mounts`: crun's, experimental there.

use std::path::Path;

use super::ExitCode;
use super::global::Global;
use super::log::Log;
use super::parse::Arguments;
use super::syntax::{Positionals, Verb};
use crate::container::mounts::{add, remove};
use crate::error::{Error, Result};
use crate::spec::{Mount, read_process_file};

pub(super) static VERB: Verb = Verb {
    name: "mounts",
    summary: "add mounts to a running container, or remove them",
    description: "\
The file holds a JSON array in the form of `mounts` in config.json. Bind mounts,
also idmapped ones, and file systems like tmpfs can be added; relative sources
are relative to the working directory. `remove` looks at the destinations only.",
    positionals: Positionals {
        shown: "add|remove <container-id> <file>",
        least: 3,
        most: 3,
        end_options: false,
    },
    flags: &[],
    enters_container: true,
    failure_status: 1,
    run,
};

fn run(arguments: &Arguments<'_>, global: &Global<'_>, _: &Log) -> Result<ExitCode> {
    let [action, id, file] = arguments.positionals() else {
        return Err(Error::new(
            "add or remove, a container and a file are wanted",
        ));
    };
    let id = id
        .to_str()
        .ok_or_else(|| Error::new("the container's id is not UTF-8"))?;
    let text = read_process_file(Path::new(file))?;
    let mounts: Vec<Mount<'_>> = text
        .parse()
        .map_err(|error| error.in_document("mounts file"))?;
    let container = global.container(id)?;
    if *action == "add" {
        let config = container.config()?;
        add(&container, &config.spec()?, &mounts)?;
    } else if *action == "remove" {
        remove(&container, &mounts)?;
    } else {
        return Err(
            Error::new(format!("unknown command {:?}", action.to_string_lossy()))
                .hint("add or remove"),
        );
    }
    Ok(ExitCode::SUCCESS)
}
