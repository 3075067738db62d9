//! `windlass run`

use rustix::process::Pid;
use std::os::fd::AsFd;

use super::ExitCode;

use super::foreground::{Foreground, Signals, Terminal};
use super::log::Log;
use super::options::{ContainerOptions, check_preserved, console_socket, listen_fds, send_pidfd};
use super::{Global, own_name};
use crate::container::create::{Created, Request, create, load_bundle};
use crate::container::delete::delete_done;
use crate::container::hook_state::HookState;
use crate::container::start::run_poststart;
use crate::error::{CallContext, Result};
use crate::plan::NamespaceKind;
use crate::spec::Spec;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    options: ContainerOptions,
    /// Don't wait for the container
    #[arg(short, long)]
    detach: bool,
    /// Keep the container's state when it has ended
    #[arg(long)]
    keep: bool,
    /// Leave orphans of the container to the system's own reaper
    #[arg(long)]
    no_subreaper: bool,
}

pub(super) fn run(arguments: &Arguments, global: &Global, log: &Log) -> Result<ExitCode> {
    run_container(arguments, global, log)
        .map_err(|error| error.context(format!("{} run failed", own_name())))
}

fn run_container(arguments: &Arguments, global: &Global, log: &Log) -> Result<ExitCode> {
    let options = &arguments.options;
    let bundle = options.bundle()?;
    let config = load_bundle(&bundle)?;
    let spec = config.spec()?;
    let wants_terminal = spec
        .process
        .as_ref()
        .is_some_and(|process| process.terminal);
    let mut terminal = None;
    let mut socket = console_socket(
        options.console_socket.as_deref(),
        wants_terminal,
        arguments.detach,
    )?;
    if wants_terminal && socket.is_none() {
        let (ours, for_init) = Terminal::pair()?;
        terminal = Some(ours);
        socket = Some(for_init);
    }
    let (listen_fds, extra_env) = listen_fds()?;
    check_preserved(options.preserve_fds + listen_fds)?;
    if !arguments.detach && !arguments.no_subreaper && !has_own_pids(&spec) {
        // What the container leaves behind becomes ours to reap. Any pid says yes (prctl(2)).
        rustix::process::set_child_subreaper(Some(Pid::INIT))
            .call(|| "prctl(PR_SET_CHILD_SUBREAPER)")?;
    }
    let signals = if arguments.detach {
        None
    } else {
        Some(Signals::take()?)
    };
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
            console_socket: socket,
            pid_file: options.pid_file.as_deref(),
            wait_for_start: false,
        },
        &mut |warning| log.warn(warning),
    )?;
    let hook_state = HookState {
        oci_version: &spec.oci_version,
        id: &options.id,
        bundle: &bundle,
        annotations: Some(&spec.annotations),
    };
    let Created {
        directory,
        init,
        pidfd,
        records,
        lock,
    } = created;
    // Others may change the container while it runs; the directory that is held stays this one's,
    // whatever has its name by then.
    let unlocked = lock.release()?;
    let finish = || {
        let mut warn = |warning: &str| log.warn(warning);
        let deleted = match unlocked.lock_again() {
            Ok(Some(_lock)) => {
                let poststop = &spec.hooks.poststop;
                delete_done(&directory, &records, poststop, &hook_state, &mut warn)
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = deleted {
            log.warn(&format!("deleting the container: {error}"));
        }
    };
    let started = send_pidfd(options.pidfd_socket.as_deref(), &pidfd)
        .and_then(|()| run_poststart(init, &spec.hooks.poststart, &hook_state));
    if let Err(error) = started {
        finish();
        return Err(error);
    }
    let Some(signals) = signals else {
        return Ok(ExitCode::SUCCESS);
    };
    let foreground = Foreground {
        pid: init.pid,
        pidfd: pidfd.as_fd(),
        signals,
        terminal,
    };
    let status = foreground.wait()?;
    if !arguments.keep {
        finish();
    }
    Ok(status)
}

/// In a pid namespace of its own a container leaves nothing behind (pid_namespaces(7)).
fn has_own_pids(spec: &Spec<'_>) -> bool {
    spec.linux
        .namespaces
        .iter()
        .any(|namespace| &*namespace.kind == NamespaceKind::Pid.name() && namespace.path.is_none())
}
