//! `delete`: what a shim has left that was killed, or that containerd can no longer reach, is removed.
//! It may be called for what was never created, and again for what it has removed already.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use prost::Message;

use super::command_line::CommandLine;
use super::messages::task::DeleteResponse;
use super::task_socket::TaskSocket;
use super::{rootfs, runtime_choice};

/// The file in a bundle that names the container's first process.
pub const PID_FILE: &str = "init.pid";
/// Containerd's own patience with `delete` is 5 s; what a runtime that hangs has left can still be
/// cleaned up within it.
const PATIENCE: Duration = Duration::from_secs(4);
/// How a process ends that is killed: 128 + SIGKILL.
const KILLED: u32 = 137;

/// Removes all that is left of a container, and tells containerd how it ended. What could not be
/// removed is said on standard error, and the rest is removed nevertheless.
pub fn delete(program: &str, line: CommandLine) -> Result<()> {
    if line.id.is_empty() || line.namespace.is_empty() {
        bail!("delete needs -id and -namespace");
    }
    let bundle = bundle(&line)?;
    let troubles = [
        remove_container(program, &line, &bundle),
        rootfs::unmount_all(&bundle.join("rootfs")),
        remove_socket(&bundle),
    ];
    for trouble in troubles.into_iter().filter_map(Result::err) {
        let _ = writeln!(std::io::stderr(), "{program}: {trouble:#}");
    }
    let response = DeleteResponse {
        pid: read_pid(&bundle).unwrap_or(0),
        exit_status: KILLED,
        exited_at: Some(SystemTime::now().into()),
    };
    std::io::stdout()
        .write_all(&response.encode_to_vec())
        .context("writing the answer to standard output")
}

/// The container's bundle: where we are called, or what `-bundle` names. It may be gone.
fn bundle(line: &CommandLine) -> Result<PathBuf> {
    let here = std::env::current_dir().context("getcwd")?;
    let bundle = match &line.bundle {
        Some(bundle) => here.join(bundle),
        None => here,
    };
    // The stock shim's rule: whatever bundle it is called in, the one of `-id` is beside it.
    let beside = bundle.with_file_name(&line.id);
    Ok(if beside.is_dir() { beside } else { bundle })
}

fn remove_container(program: &str, line: &CommandLine, bundle: &Path) -> Result<()> {
    let options = runtime_choice::read_options(bundle)?;
    let runtime = runtime_choice::runtime(program, &options, &line.namespace, bundle)?;
    match runtime.delete_within(PATIENCE, &line.id, true) {
        Err(failure) if !failure.message.contains("does not exist") => bail!(failure.message),
        _ => Ok(()),
    }
}

/// The socket goes with its shim; but another container's shim may live and serve it.
fn remove_socket(bundle: &Path) -> Result<()> {
    match TaskSocket::of_bundle(bundle) {
        Some(socket) => socket.remove_unless_served(),
        None => Ok(()),
    }
}

fn read_pid(bundle: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(bundle.join(PID_FILE)).ok()?;
    text.trim().parse().ok()
}
