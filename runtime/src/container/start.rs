//! `start`: lets a created container's program run.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use super::hook_state::HookState;
use super::process::ProcessIdentity;
use super::state::{Container, EXEC_FIFO, Status};
use crate::error::{CallContext, Error, ErrorContext, Result};
use crate::hooks::{self, Surroundings};
use crate::plan::HookKind;

/// Starts it: init runs the startContainer hooks and becomes the program, and only then does this
/// come back; then the poststart hooks run.
///
/// # Errors
/// When it is not waiting to be started, and with init's own words when it can't become the
/// program.
pub fn start(container: &Container) -> Result<()> {
    let _lock = container.directory.lock()?;
    let state = container.created()?;
    match container.status()? {
        Status::Created => {}
        Status::Stopped => {
            return Err(Error::new("cannot start a container that has stopped"));
        }
        // Its first process couldn't become the program.
        Status::Paused => return Err(Error::new("cannot start a container in the paused state")),
        Status::Creating | Status::Running => {
            return Err(Error::new("cannot start an already running container"));
        }
    }
    call_init(container)?;
    if !state.late_hooks {
        return Ok(());
    }
    let config = container.config()?;
    let spec = config.spec()?;
    let hook_state = HookState {
        oci_version: &state.oci_version,
        id: &state.id,
        bundle: &state.bundle,
        annotations: Some(&spec.annotations),
    };
    container.init().map_or(Ok(()), |init| {
        run_poststart(init, &spec.hooks.poststart, &hook_state)
    })
}

/// Runs the poststart hooks; when one fails the container is stopped (runtime.md, "Lifecycle",
/// step 9 of version 1.3).
///
/// # Errors
/// The hook's.
pub fn run_poststart(
    init: ProcessIdentity,
    list: &[crate::spec::Hook<'_>],
    hook_state: &HookState<'_>,
) -> Result<()> {
    if list.is_empty() {
        return Ok(());
    }
    let json = hook_state.json("running", init.pid.unsigned_abs());
    let bundle = hook_state.bundle;
    hooks::run(
        HookKind::Poststart,
        list,
        &json,
        Surroundings::Host { bundle },
    )
    .inspect_err(|_| {
        // The hook's failure is what the caller has to hear of.
        let _ = init.signal(libc::SIGKILL);
    })
}

/// Writes the byte that init waits for, and waits until init has closed its end: it has become
/// the program, or has left the reason in the fifo why not.
fn call_init(container: &Container) -> Result<()> {
    let path = container.directory.file(EXEC_FIFO);
    let opened = |flags: OFlags| {
        open(
            &path,
            flags | OFlags::NONBLOCK | OFlags::CLOEXEC,
            Mode::empty(),
        )
    };
    let writer = match opened(OFlags::WRONLY) {
        Err(Errno::NXIO) => {
            return Err(Error::new("container process is already dead"));
        }
        result => result.call(|| format!("open {}", path.display()))?,
    };
    rustix::io::write(&writer, b"0").call(|| "write(exec.fifo)")?;
    let mut fds = [PollFd::from_borrowed_fd(writer.as_fd(), PollFlags::empty())];
    while !fds[0].revents().contains(PollFlags::ERR) {
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::call("poll(exec.fifo)", errno)),
        }
    }
    let reader = opened(OFlags::RDONLY).call(|| format!("open {}", path.display()))?;
    let mut left = vec![0_u8; 32 << 10];
    let length = match rustix::io::read(&reader, &mut left[..]) {
        Err(Errno::AGAIN) => 0,
        result => result.call(|| "read(exec.fifo)")?,
    };
    std::fs::remove_file(&path).call(|| format!("unlink {}", path.display()))?;
    match &left[..length] {
        [] => Ok(()),
        // Init died between our opening of the fifo and its reading of the byte.
        [b'0'] => Err(Error::new("container process is already dead")),
        why => Err(Error::new(String::from_utf8_lossy(why).into_owned())),
    }
    .context(|| "unable to start container process")
}
