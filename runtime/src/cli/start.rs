//! `windlass start`

use super::ExitCode;

use super::Global;
use crate::container::start::start;
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The container's name
    #[arg(value_name = "CONTAINER-ID")]
    id: String,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<ExitCode> {
    start(&global.container(&arguments.id)?)?;
    Ok(ExitCode::SUCCESS)
}
