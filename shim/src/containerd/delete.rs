//! `delete`: what a shim has left that was killed, or that containerd can no longer reach, is removed.
//! It may be called for what was never created, and again for what it has removed already.

use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use prost::Message;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::command_line::CommandLine;
use super::messages::task::DeleteResponse;
use super::task_socket::TaskSocket;
use super::{rootfs, runtime_choice};
use crate::supervise::Runtime;

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
    force_delete(&runtime, &line.id)
}

/// `delete --force`, which kills first. That there is no such container is as good.
fn force_delete(runtime: &Runtime, id: &str) -> Result<()> {
    let mut command = Command::new(&runtime.program);
    if let Some(root) = &runtime.root {
        command.arg("--root").arg(root);
    }
    command
        .args(&runtime.arguments)
        .args(["delete", "--force", id]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    crate::sys::with_default_signals(&mut command);
    let calling = || format!("{} delete --force {id}", runtime.name());
    let mut child = command.spawn().with_context(calling)?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.context("the runtime's process id is out of range")?;
    let process = pidfd_open(pid, PidfdFlags::empty()).context("pidfd_open(the runtime)")?;
    if !ends_within(&process, PATIENCE)? {
        child.kill().with_context(calling)?;
        child.wait().with_context(calling)?;
        bail!(
            "{} took more than {} s, so it was killed",
            calling(),
            PATIENCE.as_secs()
        );
    }
    let output = child.wait_with_output().with_context(calling)?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() || said.contains("does not exist") {
        return Ok(());
    }
    bail!("{} failed ({}): {}", calling(), output.status, said.trim())
}

fn ends_within(process: impl AsFd, patience: Duration) -> Result<bool> {
    let timeout = Timespec {
        tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(patience.subsec_nanos()),
    };
    loop {
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&timeout)) {
            Ok(ready) => return Ok(ready > 0),
            // No handler is installed that could interrupt it again and again.
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).context("poll"),
        }
    }
}

/// The socket goes with its shim; but another container's shim may live and serve it.
fn remove_socket(bundle: &Path) -> Result<()> {
    match TaskSocket::of_bundle(bundle) {
        Some(socket) if !socket.is_served() => socket.remove(),
        _ => Ok(()),
    }
}

fn read_pid(bundle: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(bundle.join(PID_FILE)).ok()?;
    text.trim().parse().ok()
}
