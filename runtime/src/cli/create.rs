//! `windlass create`

use super::ExitCode;

use super::log::Log;
use super::options::{ContainerOptions, check_preserved, console_socket, listen_fds, send_pidfd};
use super::{Global, own_name};
use crate::container::create::{Request, create, load_bundle};
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    options: ContainerOptions,
}

pub(super) fn run(arguments: &Arguments, global: &Global, log: &Log) -> Result<ExitCode> {
    create_container(arguments, global, log)
        .map_err(|error| error.context(format!("{} create failed", own_name())))?;
    Ok(ExitCode::SUCCESS)
}

fn create_container(arguments: &Arguments, global: &Global, log: &Log) -> Result<()> {
    let options = &arguments.options;
    let bundle = options.bundle()?;
    let config = load_bundle(&bundle)?;
    let spec = config.spec()?;
    let terminal = spec
        .process
        .as_ref()
        .is_some_and(|process| process.terminal);
    let console_socket = console_socket(options.console_socket.as_deref(), terminal, true)?;
    let (listen_fds, extra_env) = listen_fds()?;
    check_preserved(options.preserve_fds + listen_fds)?;
    let created = create(
        &global.store()?,
        &config,
        &spec,
        Request {
            id: &options.id,
            bundle: &bundle,
            no_pivot: options.no_pivot,
            no_new_keyring: options.no_new_keyring,
            preserve_fds: options.preserve_fds + listen_fds,
            extra_env: &extra_env,
            console_socket,
            pid_file: options.pid_file.as_deref(),
            wait_for_start: true,
        },
        &mut |warning| log.warn(warning),
    )?;
    log.debug("created the container");
    send_pidfd(options.pidfd_socket.as_deref(), &created.pidfd)
}
