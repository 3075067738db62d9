//! The front that podman and CRI-O know: conmon's command line, pipes, sockets and files. One
//! process supervises one container, or one process that is executed in one.

mod attach;
mod control;
mod create;
mod ending;
mod exit_file;
mod glib;
mod log_drivers;
mod notify;
mod oom;
mod options;
mod parent_pipe;
mod report;
mod sockets;
mod supervision;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::Mode;

use self::log_drivers::LogDrivers;
use self::options::{Options, Request, Wrong};
use self::parent_pipe::{Inherited, ParentPipe};
use self::report::{Level, Report};
use crate::supervise::Log;
use crate::sys::{self, Forked};

/// The exit status of everything that fails.
const FAILED: u8 = 1;

/// Whether a program of this name is to be conmon.
pub fn is_name_of_conmon(program: &str) -> bool {
    program.contains("conmon")
}

/// The whole program; returns its exit status.
pub fn main() -> u8 {
    let inherited = match sys::adopt_inherited_descriptors() {
        Ok(inherited) => inherited,
        Err(error) => return refuse("conmon: ", &format!("reading /proc/self/fd: {error}")),
    };
    match Options::read(sys::argv::words().iter().skip(1).cloned()) {
        Ok(Request::Print(text)) => {
            // A closed pipe (`--help | head -1`) is no failure.
            let _ = std::io::stdout().write_all(text.as_bytes());
            0
        }
        Ok(Request::Supervise(options)) => supervise(*options, inherited),
        Err(Wrong::Unreadable(why)) => refuse("conmon: ", &why),
        Err(Wrong::Unfit(why)) => refuse("[conmon:e]: ", &why),
    }
}

fn refuse(who: &str, why: &str) -> u8 {
    let _ = writeln!(std::io::stderr(), "{who}{why}");
    FAILED
}

fn supervise(options: Options, mut inherited: Inherited) -> u8 {
    let about = match &options.log_tag {
        Some(tag) => format!("{}: {tag}", options.cid),
        None => options.cid.clone(),
    };
    let report = Report {
        level: options.log_level,
        syslog: options.syslog,
        about,
    };
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let prepared = prepare(&options, &mut inherited).and_then(|(task, start)| {
        let goes_on = options.sync || !has_gone_on_in_child(&options)?;
        Ok((task, start, goes_on))
    });
    match prepared {
        Ok((task, start, true)) => see_through(options, report, task, start, inherited),
        Ok((_, _, false)) => 0,
        Err(error) => {
            report.say(Level::Error, &format!("{error:#}"));
            FAILED
        }
    }
}

/// What is done with the output.
struct Outlets {
    drivers: LogDrivers,
    log: Option<Log>,
}

/// What the caller learns of from our exit status: whether there are logs, and a start pipe. Of that
/// only what is to be said later is left, the word that an exec session may begin.
fn prepare(options: &Options, inherited: &mut Inherited) -> Result<(Outlets, Option<OwnedFd>)> {
    let drivers = LogDrivers::read(options).map_err(anyhow::Error::msg)?;
    let log = drivers.open(options)?;
    let outlets = Outlets { drivers, log };
    let Some(start) = parent_pipe::take("_OCI_STARTPIPE", inherited)? else {
        return Ok((outlets, None));
    };
    // The caller puts us into a cgroup before it writes here, so there must be no child before.
    let mut start = File::from(start);
    start
        .read(&mut [0; 512])
        .context("start-pipe read failed")?;
    Ok((outlets, options.exec_attach.then(|| start.into())))
}

/// Forks: true in the parent, which is done.
fn has_gone_on_in_child(options: &Options) -> Result<bool> {
    match sys::fork().context("fork")? {
        Forked::Child => Ok(false),
        Forked::Parent(child) => {
            if let Some(path) = &options.conmon_pidfile {
                exit_file::write(Path::new(path), &child.as_raw_nonzero().to_string())
                    .context("Failed to write conmon pidfile")?;
            }
            Ok(true)
        }
    }
}

/// The long life of the process that supervises; returns its exit status.
fn see_through(
    options: Options,
    report: Report,
    outlets: Outlets,
    start: Option<OwnedFd>,
    mut inherited: Inherited,
) -> u8 {
    let mut sync = match parent_pipe::take("_OCI_SYNCPIPE", &mut inherited) {
        Ok(pipe) => ParentPipe::new(pipe, options.key_of_messages()),
        Err(error) => {
            report.say(Level::Error, &format!("{error:#}"));
            return FAILED;
        }
    };
    let began = supervision::begin(&options, &report, outlets, start, &mut sync, &mut inherited);
    let (outcome, attach) = match began {
        Ok((mut core, mut supervision)) => {
            supervision.run(&mut core);
            supervision.conclude()
        }
        Err(error) => {
            let why = format!("{error:#}");
            report.say(Level::Error, &why);
            sync.say(-1, &why);
            return FAILED;
        }
    };
    ending::conclude(&options, &report, outcome, attach, sync, inherited)
}
