//! `windlass state`

use super::ExitCode;

use super::{Global, to_json};
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The container's name
    #[arg(value_name = "CONTAINER-ID")]
    id: String,
}

pub(super) fn run(arguments: &Arguments, global: &Global) -> Result<ExitCode> {
    let report = global.container(&arguments.id)?.report()?;
    print!("{}", to_json(&report)?);
    Ok(ExitCode::SUCCESS)
}
