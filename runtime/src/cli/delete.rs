//! `windlass delete`

use super::ExitCode;

use super::Global;
use super::log::Log;
use crate::container::delete::delete;
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// End the container if it is running, and succeed if there is none
    #[arg(short, long)]
    force: bool,
    /// The container's name
    #[arg(value_name = "CONTAINER-ID")]
    id: String,
}

pub(super) fn run(arguments: &Arguments, global: &Global, log: &Log) -> Result<ExitCode> {
    let found = global.container(&arguments.id);
    match found {
        Err(error) if arguments.force && error.to_string() == "container does not exist" => {
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    delete(found?, arguments.force, &mut |warning| log.warn(warning))?;
    Ok(ExitCode::SUCCESS)
}
