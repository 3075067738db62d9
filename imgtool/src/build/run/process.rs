//! The call of windlass-shim, from its start to its end.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::Programs;
use super::guard;
use crate::build::report::{Report, Step};
use crate::sys::signal::{self, Interrupted};

/// Runs the container of a bundle; its exit status.
pub(super) fn run(
    programs: &Programs,
    private: &Path,
    bundle: &Path,
    id: &str,
    step: &Step,
    report: Report,
) -> Result<i32> {
    let mut shim = Command::new(&programs.shim);
    shim.arg("--state").arg(guard::state_directory(private));
    shim.args(["run", "--rm", "--no-stdin", "--runtime"]);
    shim.arg(&programs.runtime)
        .arg("--root")
        .arg(private.join("runtime"));
    shim.arg("--bundle").arg(bundle).arg(id);
    // Signals come from us: a terminal's would reach the container twice.
    shim.stdin(Stdio::null()).process_group(0);
    if report.is_quiet() {
        shim.stdout(Stdio::null()).stderr(Stdio::null());
    } else if report.wants_output_as_events() {
        shim.stdout(Stdio::piped()).stderr(Stdio::piped());
    } else {
        let stderr = io::stderr()
            .as_fd()
            .try_clone_to_owned()
            .context("dup stderr")?;
        shim.stdout(Stdio::from(stderr)).stderr(Stdio::inherit());
    }
    let mut child = shim
        .spawn()
        .with_context(|| format!("execute {}", programs.shim.display()))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        let mut readers = Vec::new();
        if let (Some(stdout), Some(stderr)) = (stdout, stderr) {
            readers.push(scope.spawn(move || report.output(step, "stdout", stdout)));
            readers.push(scope.spawn(move || report.output(step, "stderr", stderr)));
        }
        let status = wait(&mut child, programs, private, id)?;
        for reader in readers {
            reader
                .join()
                .map_err(|_| anyhow::anyhow!("a reading thread failed"))??;
        }
        Ok(status)
    })
}

/// Waits for the shim; a signal to us ends the container.
fn wait(child: &mut Child, programs: &Programs, private: &Path, id: &str) -> Result<i32> {
    let pid = Pid::from_child(child);
    let descriptor = pidfd_open(pid, PidfdFlags::empty()).context("pidfd_open the shim")?;
    loop {
        if let Err(Interrupted(number)) = signal::check() {
            guard::remove_container(&programs.shim, private, id)?;
            child.wait().context("wait for windlass-shim")?;
            return Err(Interrupted(number).into());
        }
        let mut events = [PollFd::new(&descriptor, PollFlags::IN)];
        match poll(&mut events, None) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).context("poll"),
        }
    }
    let status = child.wait().context("wait for windlass-shim")?;
    match (status.code(), status.signal()) {
        // Its own failures; it has said why.
        (Some(125), _) => bail!("windlass-shim could not run it (status 125)"),
        (Some(code), _) => Ok(code),
        (None, signal) => bail!("windlass-shim was killed by signal {}", signal.unwrap_or(0)),
    }
}
