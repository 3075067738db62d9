//! `windlass restore`

use std::os::fd::AsFd;

use super::ExitCode;
use super::container_options::{self as options, ContainerOptions};
use super::criu_options::{self as criu, settings, warn_without_root};
use super::foreground::{Foreground, Signals, Terminal, adopt_orphans};
use super::global::Global;
use super::log::Log;
use super::parse::Arguments;
use super::syntax::{Flag, Positionals, Verb};
use crate::container::delete::delete_ended;
use crate::container::hook_state::HookState;
use crate::container::restore::{Request, restore};
use crate::error::Result;

pub(super) static VERB: Verb = Verb {
    name: "restore",
    summary: "bring a container back from a checkpoint, by CRIU",
    description: "\
The bundle is the one that the container had. In the foreground, signals are
passed on to the container's process, whose exit status is then this program's,
and the container is deleted when it has ended. criu is looked for in $PATH.",
    positionals: Positionals::CONTAINER,
    flags: &[
        &options::CONSOLE_SOCKET,
        &criu::IMAGE_PATH,
        &criu::WORK_PATH,
        &criu::TCP_ESTABLISHED,
        &criu::EXT_UNIX_SK,
        &criu::SHELL_JOB,
        &criu::FILE_LOCKS,
        &criu::MANAGE_CGROUPS_MODE,
        &options::BUNDLE,
        &DETACH,
        &options::PID_FILE,
        &NO_SUBREAPER,
        &NO_PIVOT,
        &criu::EMPTY_NS,
        &criu::AUTO_DEDUP,
        &criu::LAZY_PAGES,
        &LSM_PROFILE,
        &LSM_MOUNT_CONTEXT,
    ],
    enters_container: false,
    failure_status: 1,
    run,
};

static DETACH: Flag = Flag::switch("detach", "don't wait for the container").or('d');
static NO_SUBREAPER: Flag = Flag::switch(
    "no-subreaper",
    "leave orphans of the container to the system's own reaper",
);
static NO_PIVOT: Flag = Flag::switch(
    "no-pivot",
    "taken as runc takes it, and of no effect: CRIU changes the root",
);
static LSM_PROFILE: Flag = Flag::text(
    "lsm-profile",
    "type:name",
    "the LSM profile, instead of the one that was dumped",
);
static LSM_MOUNT_CONTEXT: Flag = Flag::text(
    "lsm-mount-context",
    "context",
    "the LSM mount context, instead of the one that was dumped",
);

fn run(arguments: &Arguments<'_>, global: &Global<'_>, log: &Log) -> Result<ExitCode> {
    let asked = Request {
        settings: settings(arguments)?,
        lsm_profile: arguments.text(&LSM_PROFILE),
        lsm_mount_context: arguments.text(&LSM_MOUNT_CONTEXT),
    };
    warn_without_root(log);
    let (bundle, config) = options::load_bundle(arguments)?;
    let options = ContainerOptions::new(arguments, bundle)?;
    let detach = arguments.switch(&DETACH);
    let spec = config.spec()?;
    let (terminal, socket) = Terminal::of(&spec, arguments, detach)?;
    if !detach && !arguments.switch(&NO_SUBREAPER) {
        adopt_orphans()?;
    }
    let signals = if detach { None } else { Some(Signals::take()?) };
    let restored = restore(
        &global.store(),
        &config,
        &spec,
        options.request(global, socket, false)?,
        &asked,
        log,
    )?;
    let Some(signals) = signals else {
        return Ok(ExitCode::SUCCESS);
    };
    let unlocked = restored.lock.release()?;
    let (status, rest) = Foreground {
        pid: restored.init.pid,
        pidfd: restored.pidfd.as_fd(),
        signals,
        terminal,
        notifier: None,
    }
    .wait()?;
    let hook_state = HookState {
        oci_version: &spec.oci_version,
        id: options.id,
        bundle: &options.bundle,
        annotations: Some(&spec.annotations),
    };
    delete_ended(
        unlocked,
        &restored.directory,
        &restored.records,
        &spec.hooks.poststop,
        &hook_state,
        log,
    );
    rest.pass_on();
    Ok(status)
}
