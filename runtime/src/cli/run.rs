//! `windlass run`

use std::os::fd::AsFd;

use super::container_options::{self as options, ContainerOptions};
use super::foreground::{Foreground, Signals, Terminal, adopt_orphans, own_size};
use super::global::Global;
use super::log::Log;
use super::parse::Arguments;
use super::syntax::{Flag, Positionals, Verb};
use super::{ExitCode, own_name};
use crate::container::create::{Created, create};
use crate::container::delete::delete_ended;
use crate::container::hook_state::HookState;
use crate::container::journal::{Record, forget_ended_init};
use crate::container::start::run_poststart;
use crate::error::Result;
use crate::plan::NamespaceKind;
use crate::spec::Spec;

pub(super) static VERB: Verb = Verb {
    name: "run",
    summary: "create and start a container, and wait for it unless told to detach",
    description: "\
In the foreground, signals are passed on to the container's process, whose exit
status is then this program's, and the container is deleted when it has ended.",
    positionals: Positionals::CONTAINER,
    flags: &[
        &options::BUNDLE,
        &options::CONSOLE_SOCKET,
        &options::PIDFD_SOCKET,
        &DETACH,
        &KEEP,
        &options::PID_FILE,
        &NO_SUBREAPER,
        &options::NO_PIVOT,
        &options::NO_NEW_KEYRING,
        &options::PRESERVE_FDS,
        &options::TRACE,
    ],
    enters_container: true,
    failure_status: 1,
    run,
};

static DETACH: Flag = Flag::switch("detach", "don't wait for the container").or('d');
static KEEP: Flag = Flag::switch("keep", "don't delete the container when it has ended");
static NO_SUBREAPER: Flag = Flag::switch(
    "no-subreaper",
    "leave orphans of the container to the system's own reaper",
);

fn run(arguments: &Arguments<'_>, global: &Global<'_>, log: &Log) -> Result<ExitCode> {
    run_container(arguments, global, log)
        .map_err(|error| error.context(format!("{} run failed", own_name())))
}

fn run_container(arguments: &Arguments<'_>, global: &Global<'_>, log: &Log) -> Result<ExitCode> {
    let (bundle, config) = options::load_bundle(arguments)?;
    let options = ContainerOptions::new(arguments, bundle)?;
    let detach = arguments.switch(&DETACH);
    let mut spec = config.spec()?;
    options.add_to(&mut spec, global);
    let (terminal, socket) = Terminal::of(&spec, arguments, detach)?;
    if terminal.is_some()
        && let (Some(process), Some(size)) = (&mut spec.process, own_size())
    {
        process.console_size = Some(size);
    }
    if !detach && !arguments.switch(&NO_SUBREAPER) && !has_own_pids(&spec) {
        adopt_orphans()?;
    }
    let signals = if detach { None } else { Some(Signals::take()?) };
    let created = create(
        &global.store(),
        &config,
        &spec,
        options.request(global, socket, false)?,
        log,
    )?;
    let hook_state = HookState {
        oci_version: &spec.oci_version,
        id: options.id,
        bundle: &options.bundle,
        annotations: Some(&spec.annotations),
    };
    let Created {
        directory,
        init,
        pidfd,
        mut records,
        notifier,
        lock,
    } = created;
    // Others may change the container while it runs; the directory that is held stays this one's,
    // whatever has its name by then.
    let unlocked = lock.release()?;
    let finish = |records: &[Record]| {
        let poststop = &spec.hooks.poststop;
        delete_ended(unlocked, &directory, records, poststop, &hook_state, log);
    };
    let started = options::send_pidfd(arguments, &pidfd)
        .and_then(|()| run_poststart(init, &spec.hooks.poststart, &hook_state));
    if let Err(error) = started {
        finish(&records);
        return Err(error);
    }
    let Some(signals) = signals else {
        if let Some(notifier) = notifier {
            notifier.wait(init.pid.unsigned_abs(), &pidfd)?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let foreground = Foreground {
        pid: init.pid,
        pidfd: pidfd.as_fd(),
        signals,
        terminal,
        notifier,
    };
    let (status, rest) = foreground.wait()?;
    if !arguments.switch(&KEEP) {
        forget_ended_init(&mut records);
        finish(&records);
    }
    rest.pass_on();
    // What is open is closed by the end of this program.
    std::mem::forget(pidfd);
    Ok(status)
}

/// In a pid namespace of its own a container leaves nothing behind (pid_namespaces(7)).
fn has_own_pids(spec: &Spec<'_>) -> bool {
    spec.linux
        .namespaces
        .iter()
        .any(|namespace| &*namespace.kind == NamespaceKind::Pid.name() && namespace.path.is_none())
}
