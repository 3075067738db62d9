//! `windlass start`

use super::ExitCode;
use super::global::Global;
use super::log::Log;
use super::parse::Arguments;
use super::syntax::{Positionals, Verb};
use crate::container::notify::{Notifier, hosts_socket};
use crate::container::start::start;
use crate::error::Result;

pub(super) static VERB: Verb = Verb {
    name: "start",
    summary: "start the program of a created container",
    description: "\
With $NOTIFY_SOCKET set, as for a service of systemd, it comes back when the program
has said that it is ready (sd_notify(3)).",
    positionals: Positionals::CONTAINER,
    flags: &[],
    enters_container: false,
    failure_status: 1,
    run,
};

fn run(arguments: &Arguments<'_>, global: &Global<'_>, _: &Log) -> Result<ExitCode> {
    let container = global.container(arguments.id()?)?;
    // Before the program can say anything.
    let notifier = match hosts_socket() {
        Some(host) => Notifier::new(&container.directory, &host)?,
        None => None,
    };
    start(&container)?;
    if let (Some(notifier), Some(init)) = (notifier, container.init())
        && let Some(pidfd) = init.open()?
    {
        notifier.wait(init.pid.unsigned_abs(), pidfd)?;
    }
    Ok(ExitCode::SUCCESS)
}
