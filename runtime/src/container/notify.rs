//! systemd's notifications (sd_notify(3)) out of a container: its program says that it is ready on a
//! socket of ours, and we say so on the one in `$NOTIFY_SOCKET`, where systemd would believe nobody
//! but its own service.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect,
    recv, send, socket_with,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::time::Timespec;

use super::directory::ContainerDirectory;
use crate::error::{CallContext, Error, Result};
use crate::init::channel::send_descriptor;
use crate::spec::{Mount, Spec, Text};
use crate::unix_socket::address;

/// In the container's directory, and what the container sees of it.
const DIRECTORY: &str = "notify";
const SOCKET: &str = "notify.sock";
const INSIDE: &str = "/run/notify";

/// How long systemd may take to answer a barrier (sd_notify_barrier(3)): as long as runc waits.
const BARRIER: Timespec = Timespec {
    tv_sec: 30,
    tv_nsec: 0,
};

/// systemd's socket, if our caller is one of its services.
pub fn hosts_socket() -> Option<PathBuf> {
    let path = std::env::var_os("NOTIFY_SOCKET")?;
    (!path.is_empty()).then(|| path.into())
}

/// Gives the container the directory of the socket, and its program the path.
pub fn add_to(spec: &mut Spec<'_>, container_directory: &Path) {
    let source = container_directory.join(DIRECTORY);
    spec.mounts.push(Mount {
        destination: Text::from(INSIDE),
        kind: Some(Text::from("bind")),
        source: Some(Text::from(source.to_string_lossy().into_owned())),
        options: ["bind", "nosuid", "noexec", "nodev", "ro"]
            .map(Text::from)
            .into(),
        uid_mappings: Vec::new(),
        gid_mappings: Vec::new(),
    });
    if let Some(process) = &mut spec.process {
        let entry = format!("NOTIFY_SOCKET={INSIDE}/{SOCKET}");
        process.env.push(Text::from(entry));
    }
}

/// Makes the directory of the socket.
///
/// # Errors
/// With the path.
pub fn make_directory(directory: &ContainerDirectory) -> Result<()> {
    let path = directory.file(DIRECTORY);
    std::fs::create_dir(&path)
        .and_then(|()| std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)))
        .call(|| format!("mkdir {}", path.display()))
}

/// The two sockets.
#[derive(Debug)]
pub struct Notifier {
    inside: OwnedFd,
    host: OwnedFd,
}

impl Notifier {
    /// Binds the container's socket and connects to systemd's; `None` if the container was made
    /// without it.
    ///
    /// # Errors
    /// With the path.
    pub fn new(directory: &ContainerDirectory, host: &Path) -> Result<Option<Self>> {
        let path = directory.file(DIRECTORY);
        if !path.is_dir() {
            return Ok(None);
        }
        let path = path.join(SOCKET);
        // Of a `start` that was killed.
        let _ = std::fs::remove_file(&path);
        let inside = datagrams()?;
        let shown = || format!("bind({})", path.display());
        bind(&inside, &SocketAddrUnix::new(&path).call(shown)?).call(shown)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).call(shown)?;
        let outside = datagrams()?;
        let shown = || format!("connect({}) of NOTIFY_SOCKET", host.display());
        connect(&outside, &address(host.as_ref()).call(shown)?).call(shown)?;
        Ok(Some(Notifier {
            inside,
            host: outside,
        }))
    }

    /// What becomes readable when the container has something to say.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.inside.as_fd()
    }

    /// Takes one message; when it says that the container is ready, so do we, with the pid that
    /// systemd is to watch. Whether it was that.
    ///
    /// # Errors
    /// When systemd can't be told.
    pub fn pass_on(&self, pid: u32) -> Result<bool> {
        let mut message = [0_u8; 4096];
        let length = match recv(&self.inside, &mut message, RecvFlags::DONTWAIT) {
            Ok((length, _)) => length,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(errno) => return Err(Error::call("recv(notify socket)", errno)),
        };
        let Some(ready) = message[..length]
            .split(|byte| *byte == b'\n')
            .find(|line| line.starts_with(b"READY="))
        else {
            return Ok(false);
        };
        let tell = |line: &[u8]| {
            send(&self.host, line, SendFlags::NOSIGNAL).call(|| "send(NOTIFY_SOCKET)")
        };
        tell(&[ready, b"\n"].concat())?;
        tell(format!("MAINPID={pid}\n").as_bytes())?;
        Ok(true)
    }

    /// Waits until the container is ready, or its process has ended, and then until systemd has
    /// taken note: it looks up who has told it, so we must not be gone before.
    ///
    /// # Errors
    /// When systemd can't be told.
    pub fn wait(&self, pid: u32, pidfd: impl AsFd) -> Result<()> {
        loop {
            let mut fds = [
                PollFd::new(&self.inside, PollFlags::IN),
                PollFd::new(&pidfd, PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(Error::call("poll(notify socket)", errno)),
            }
            if !fds[0].revents().is_empty() {
                if self.pass_on(pid)? {
                    return self.barrier();
                }
            } else if !fds[1].revents().is_empty() {
                return Ok(());
            }
        }
    }

    fn barrier(&self) -> Result<()> {
        let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC).call(|| "pipe2()")?;
        send_descriptor(&self.host, "BARRIER=1", theirs.as_fd())
            .call(|| "sendmsg(NOTIFY_SOCKET, SCM_RIGHTS)")?;
        drop(theirs);
        // A systemd that doesn't know barriers never answers.
        let mut fds = [PollFd::new(&ours, PollFlags::IN)];
        let _ = poll(&mut fds, Some(&BARRIER));
        Ok(())
    }
}

fn datagrams() -> Result<OwnedFd> {
    socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .call(|| "socket(AF_UNIX, SOCK_DGRAM)")
}
