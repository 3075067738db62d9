//! Running hooks (config.md, "POSIX-platform Hooks").

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use rustix::time::Timespec;

use crate::error::{CallContext, Error, Result};
use crate::plan::HookKind;
use crate::spec::Hook;
use crate::sys::spawn::{begin_afresh, keep_descriptors_from};

/// Where hooks run, and with what.
#[derive(Clone, Copy, Debug)]
pub enum Surroundings<'a> {
    /// On the host, with the bundle as the working directory, as runc runs them. They have nothing
    /// but their own `env` in their environment: what an image says never reaches a hook on the host
    /// (CVE-2025-23266).
    Host {
        /// The bundle.
        bundle: &'a str,
    },
    /// Where the caller, init, is already: in the rootfs, or in the container. The environment is
    /// for hooks that have no `env` of their own: runc's startContainer hooks get the program's, and
    /// their users rely on it.
    Container {
        /// `NAME=VALUE`.
        env: &'a [CString],
    },
}

/// Runs hooks in their order, each with the container's state on its standard input.
///
/// # Errors
/// At the first that fails, in runc's words: `error running KIND hook #N: …`.
pub fn run(
    kind: HookKind,
    hooks: &[Hook<'_>],
    state: &str,
    surroundings: Surroundings<'_>,
) -> Result<()> {
    for (index, hook) in hooks.iter().enumerate() {
        run_one(kind, hook, state, surroundings).map_err(|error| {
            error
                .at(format!("/hooks/{}/{index}", kind.name()))
                .context(format!("error running {} hook #{index}", kind.name()))
        })?;
    }
    Ok(())
}

fn run_one(
    kind: HookKind,
    hook: &Hook<'_>,
    state: &str,
    surroundings: Surroundings<'_>,
) -> Result<()> {
    let mut command = Command::new(&*hook.path);
    if let Some((name, arguments)) = hook.args.split_first() {
        command
            .arg0(&**name)
            .args(arguments.iter().map(|argument| &**argument));
    }
    command.env_clear();
    match surroundings {
        // A bundle may be removed before its container.
        Surroundings::Host { bundle } if !Path::new(bundle).is_dir() => {
            command.current_dir("/");
        }
        Surroundings::Host { bundle } => {
            command.current_dir(bundle);
        }
        Surroundings::Container { env } if hook.env.is_empty() => {
            command.envs(env.iter().filter_map(|entry| split(entry.as_bytes())));
        }
        Surroundings::Container { .. } => {}
    }
    command.envs(hook.env.iter().filter_map(|entry| entry.split_once('=')));
    // Files, not pipes: no hook can block on one, none that doesn't read its input ends us by
    // SIGPIPE, and none that leaves a child behind keeps us waiting.
    let mut input = memory_file("hook-state")?;
    input
        .write_all(state.as_bytes())
        .and_then(|()| input.rewind())
        .call(|| "write(memfd)")?;
    let errors = memory_file("hook-stderr")?;
    command.stdin(input).stdout(Stdio::null());
    command.stderr(errors.try_clone().call(|| "dup(memfd)")?);
    // In the foreground we block all signals, and init has umask 0 to make devices with.
    begin_afresh(&mut command);
    // Inside, all is closed already, and the filter may be one that ends whoever tries.
    if kind != HookKind::StartContainer {
        keep_descriptors_from(&mut command);
    }
    let mut child = command
        .spawn()
        .call(|| format!("fork/exec {}", &*hook.path))?;
    if let Some(seconds) = hook.timeout {
        wait_at_most(&mut child, seconds)?;
    }
    let status = child.wait().call(|| "wait4(hook)")?;
    if status.success() {
        return Ok(());
    }
    Err(Error::new(format!(
        "{}, stderr: {}",
        describe(status),
        beginning_of(&errors)
    )))
}

/// The name and the value of an entry of an environment.
fn split(entry: &[u8]) -> Option<(&OsStr, &OsStr)> {
    let at = entry.iter().position(|byte| *byte == b'=')?;
    let (name, value) = (&entry[..at], &entry[at + 1..]);
    Some((OsStr::from_bytes(name), OsStr::from_bytes(value)))
}

fn memory_file(name: &str) -> Result<File> {
    memfd_create(name, MemfdFlags::CLOEXEC)
        .map(File::from)
        .call(|| "memfd_create()")
}

/// Waits until the hook is done, and kills it when its time is over.
fn wait_at_most(child: &mut Child, seconds: i64) -> Result<()> {
    let limit = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    // One that the clock never comes to is none.
    let Some(deadline) = Instant::now().checked_add(limit) else {
        return Ok(());
    };
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| Error::new("the hook has no process id"))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).call(|| "pidfd_open(hook)")?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).unwrap_or(Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        });
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) => {
                child.kill().call(|| "kill(hook)")?;
                child.wait().call(|| "wait4(hook)")?;
                return Err(Error::new(format!(
                    "hook ran past specified timeout of {seconds}s"
                )));
            }
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::call("poll(hook)", errno)),
        }
    }
}

/// What the hook wrote to its standard error, as far as one line can carry it.
fn beginning_of(errors: &File) -> String {
    let mut text = [0_u8; 4096];
    let length = errors.read_at(&mut text, 0).unwrap_or(0);
    String::from_utf8_lossy(&text[..length])
        .trim()
        .replace('\n', "; ")
}

/// In Go's words, which engines and their users know.
fn describe(status: ExitStatus) -> String {
    match status.signal() {
        Some(libc::SIGSYS) => "signal: bad system call".to_owned(),
        Some(libc::SIGKILL) => "signal: killed".to_owned(),
        Some(libc::SIGSEGV) => "signal: segmentation fault".to_owned(),
        Some(libc::SIGTERM) => "signal: terminated".to_owned(),
        Some(other) => format!("signal: {other}"),
        None => format!("exit status {}", status.code().unwrap_or(-1)),
    }
}
