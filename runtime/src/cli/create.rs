//! `windlass create`

use super::container_options::{self as options, ContainerOptions};
use super::global::Global;
use super::log::Log;
use super::parse::Arguments;
use super::syntax::{Positionals, Verb};
use super::{ExitCode, own_name};
use crate::container::create::create;
use crate::error::Result;

pub(super) static VERB: Verb = Verb {
    name: "create",
    summary: "create a container, and let it wait for \"start\"",
    description: "\
The container is set up as the bundle's config.json says, up to the execution of
its program, which \"start\" brings about. A trace ends where the container is
recorded as created: what init does after \"start\", nobody is there to note.",
    positionals: Positionals::CONTAINER,
    flags: &[
        &options::BUNDLE,
        &options::CONSOLE_SOCKET,
        &options::PIDFD_SOCKET,
        &options::PID_FILE,
        &options::NO_PIVOT,
        &options::NO_NEW_KEYRING,
        &options::PRESERVE_FDS,
        &options::TRACE,
    ],
    enters_container: true,
    failure_status: 1,
    run,
};

fn run(arguments: &Arguments<'_>, global: &Global<'_>, log: &Log) -> Result<ExitCode> {
    create_container(arguments, global, log)
        .map_err(|error| error.context(format!("{} create failed", own_name())))?;
    Ok(ExitCode::SUCCESS)
}

fn create_container(arguments: &Arguments<'_>, global: &Global<'_>, log: &Log) -> Result<()> {
    let (bundle, config) = options::load_bundle(arguments)?;
    let options = ContainerOptions::new(arguments, bundle)?;
    let mut spec = config.spec()?;
    options.add_to(&mut spec, global);
    let terminal = spec
        .process
        .as_ref()
        .is_some_and(|process| process.terminal);
    let console_socket = options::console_socket(arguments, terminal, true)?;
    let created = create(
        &global.store(),
        &config,
        &spec,
        options.request(global, console_socket, true)?,
        log,
    )?;
    options::send_pidfd(arguments, &created.pidfd)
}
