//! Options that `create`, `run` and `exec` share.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::error::{CallContext, Error, Result};
use crate::init::channel::send_descriptor;

/// As many descriptors as can be asked for: `fs.nr_open`'s default.
pub(super) const MOST_DESCRIPTORS: i64 = 1 << 20;

/// The options of `create` and `run`.
#[derive(Debug, clap::Args)]
pub(super) struct ContainerOptions {
    /// The bundle: the directory with config.json; default: the current one
    #[arg(short, long, value_name = "DIR")]
    pub(super) bundle: Option<PathBuf>,
    /// A unix socket to which the pseudo-terminal's other end is sent
    #[arg(long, value_name = "PATH")]
    pub(super) console_socket: Option<PathBuf>,
    /// A unix socket to which a pidfd of the process is sent
    #[arg(long, value_name = "PATH")]
    pub(super) pidfd_socket: Option<PathBuf>,
    /// Write the process id to this file
    #[arg(long, value_name = "FILE")]
    pub(super) pid_file: Option<PathBuf>,
    /// Change the root without pivot_root(2), for a root on a ramdisk
    #[arg(long)]
    pub(super) no_pivot: bool,
    /// Keep the caller's session keyring
    #[arg(long)]
    pub(super) no_new_keyring: bool,
    /// Pass on this many more descriptors, from 3 on
    #[arg(long, value_name = "N", default_value_t = 0,
        value_parser = clap::value_parser!(u32).range(..=MOST_DESCRIPTORS))]
    pub(super) preserve_fds: u32,
    /// The container's name
    #[arg(value_name = "CONTAINER-ID")]
    pub(super) id: String,
}

impl ContainerOptions {
    /// The bundle, absolute, without symbolic links in it.
    pub(super) fn bundle(&self) -> Result<String> {
        let bundle = self.bundle.as_deref().unwrap_or(Path::new("."));
        let shown = || format!("bundle {}", bundle.display());
        let bundle = std::fs::canonicalize(bundle).call(shown)?;
        bundle.into_os_string().into_string().map_err(|path| {
            Error::new(format!(
                "bundle {} is not UTF-8",
                PathBuf::from(path).display()
            ))
        })
    }
}

/// Socket activation (sd_listen_fds(3)): when the descriptors were meant for us they are the
/// container's, where its first process has the pid 1. How many, and what to tell it.
///
/// # Errors
/// When there are too many to be true.
pub(super) fn listen_fds() -> Result<(u32, Vec<String>)> {
    let meant_for_us =
        std::env::var("LISTEN_PID").is_ok_and(|pid| pid.parse() == Ok(std::process::id()));
    let count = std::env::var("LISTEN_FDS")
        .ok()
        .and_then(|count| count.parse::<u32>().ok());
    match count {
        Some(count) if meant_for_us && i64::from(count) > MOST_DESCRIPTORS => Err(Error::new(
            format!("LISTEN_FDS={count} is more than a process can have"),
        )),
        Some(count) if meant_for_us && count > 0 => Ok((
            count,
            vec![format!("LISTEN_FDS={count}"), "LISTEN_PID=1".to_owned()],
        )),
        _ => Ok((0, Vec::new())),
    }
}

/// Checks that the descriptors to be passed on are there: the app must get what was promised.
pub(super) fn check_preserved(count: u32) -> Result<()> {
    for fd in 3..3 + count {
        let path = format!("/proc/self/fd/{fd}");
        std::fs::symlink_metadata(&path).map_err(|_| {
            Error::new(format!("unable to preserve fd {fd}: it is not open")).hint("--preserve-fds")
        })?;
    }
    Ok(())
}

/// The console socket, if there is a terminal to send through it.
pub(super) fn console_socket(
    path: Option<&Path>,
    terminal: bool,
    detached: bool,
) -> Result<Option<OwnedFd>> {
    match path {
        Some(path) if terminal => connect_to(path).map(Some),
        Some(_) => Err(Error::new(
            "cannot use console socket if runc will not detach or allocate tty",
        )
        .hint("process.terminal is false")),
        None if terminal && detached => Err(Error::new(
            "cannot allocate tty if runc will detach without setting console socket",
        )),
        None => Ok(None),
    }
}

fn connect_to(path: &Path) -> Result<OwnedFd> {
    let shown = || format!("connect({})", path.display());
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .call(|| "socket(AF_UNIX)")?;
    let address = SocketAddrUnix::new(path).call(shown)?;
    connect(&socket, &address).call(shown)?;
    Ok(socket)
}

/// Sends a pidfd to whoever listens on the socket.
pub(super) fn send_pidfd(path: Option<&Path>, pidfd: impl std::os::fd::AsFd) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let socket = connect_to(path)?;
    send_descriptor(&socket, "pidfd", pidfd.as_fd())
        .call(|| format!("sendmsg({}, SCM_RIGHTS)", path.display()))
}
