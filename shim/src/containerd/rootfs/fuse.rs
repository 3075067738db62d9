//! File systems that a program serves: for `fuse3.fuse-overlayfs` the helper `mount.fuse3` starts
//! `fuse-overlayfs`, and comes back when that has mounted itself.

use std::fs::File;
use std::io::Read;
use std::io::Seek;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::Target;
use crate::containerd::messages::task::Mount;

/// How long the helper may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Mounts by `helper`, whose word for the file system is `kind`.
pub fn mount(helper: &str, kind: &str, mount: &Mount, target: &Target<'_>) -> Result<()> {
    // The helper resolves what it is given once more: a link of the image may not lead it elsewhere.
    let place = std::fs::read_link(target.path()).context("readlink(/proc/self/fd)")?;
    let mut command = Command::new(helper);
    command.arg(&mount.source).arg(place);
    for option in &mount.options {
        command.arg("-o").arg(option);
    }
    command.arg("-t").arg(kind);
    // Not a pipe: the server that the helper leaves behind keeps its standard streams.
    let mut said =
        File::from(memfd_create(c"stderr", MemfdFlags::CLOEXEC).context("memfd_create")?);
    let stderr = said.try_clone().context("dup")?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr);
    crate::sys::with_clean_settings(&mut command);
    crate::sys::dying_with_us(&mut command);
    let mut child = command.spawn().with_context(|| format!("run {helper}"))?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let process = pidfd_open(pid.context("its process id")?, PidfdFlags::empty());
    let process = process.context("pidfd_open")?;
    let patience = Timespec {
        tv_sec: i64::try_from(PATIENCE.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: 0,
    };
    let mut fds = [PollFd::new(&process, PollFlags::IN)];
    let ended = poll(&mut fds, Some(&patience)).context("poll")? > 0;
    if !ended {
        // It may have ended in between, which is as good.
        let _ = child.kill();
    }
    let status = child.wait().with_context(|| format!("wait for {helper}"))?;
    if status.success() {
        return Ok(());
    }
    let mut words = String::new();
    let _ = said.rewind().and_then(|()| said.read_to_string(&mut words));
    let words = words.trim().replace('\n', "; ");
    if ended {
        bail!("{helper}: {status}: {words}");
    }
    bail!(
        "{helper} took more than {} s and was killed: {words}",
        PATIENCE.as_secs()
    );
}
