//! The container's terminal: the runtime makes it inside the container and sends us its master
//! over a unix socket (`--console-socket`, runc's docs/terminals.md).

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::pty::OpenptFlags;

use super::ProcessKey;

/// The longest path that fits a unix socket's address (`sun_path`, unix(7)), with its final zero.
const LONGEST_SOCKET_PATH: usize = 107;
/// How long a runtime whose call has succeeded may take to connect. All of them have by then; this is
/// the only place where the supervisor would wait for one that has not.
const PATIENCE: Timespec = Timespec {
    tv_sec: 1,
    tv_nsec: 0,
};

/// The socket that a runtime connects to.
#[derive(Debug)]
pub(super) struct ConsoleSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Where `path` is too long for an address: the directory that stands for its beginning.
    _directory: Option<OwnedFd>,
    address: PathBuf,
}

/// A terminal, from the side that a person would sit at.
#[derive(Debug)]
pub(super) struct Console {
    /// What we read and write.
    pub(super) master: OwnedFd,
    /// The container's side, held open until the container has ended: a container that closes all
    /// of its own and opens `/dev/console` again later hangs up nothing, and nothing spins on `HUP`.
    pub(super) _peer: OwnedFd,
}

impl ConsoleSocket {
    /// Listens in `directory`, at a place that only this process has.
    pub(super) fn bind(directory: &Path, key: ProcessKey) -> Result<Self> {
        let name = format!("console.{}.sock", key.0);
        let path = directory.join(&name);
        let (address, holder) = if path.as_os_str().len() > LONGEST_SOCKET_PATH {
            let holder = rustix::fs::open(
                directory,
                rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC,
                rustix::fs::Mode::empty(),
            )
            .with_context(|| format!("opening {}", directory.display()))?;
            let number = std::os::fd::AsRawFd::as_raw_fd(&holder);
            let address = format!("/proc/{}/fd/{number}/{name}", std::process::id());
            (PathBuf::from(address), Some(holder))
        } else {
            (path.clone(), None)
        };
        let listener = UnixListener::bind(&address)
            .with_context(|| format!("binding the console socket {}", path.display()))?;
        listener.set_nonblocking(true).context("ioctl(FIONBIO)")?;
        Ok(ConsoleSocket {
            listener,
            path,
            _directory: holder,
            address,
        })
    }

    /// What to give as `--console-socket`.
    pub(super) fn address(&self) -> &Path {
        &self.address
    }

    /// Whether the runtime has connected, so that its terminal is there or on its way.
    pub(super) fn has_connection(&self) -> bool {
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut fds = [PollFd::new(&self.listener, PollFlags::IN)];
        poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready > 0)
    }

    /// The terminal that the runtime has sent.
    pub(super) fn receive(self) -> Result<Console> {
        wait_readable(&self.listener)?;
        let (connection, _) = self.listener.accept().context("accept(console socket)")?;
        connection.set_nonblocking(true).context("ioctl(FIONBIO)")?;
        wait_readable(&connection)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut name = [0; 256];
        recvmsg(
            &connection,
            &mut [IoSliceMut::new(&mut name)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        )
        .context("recvmsg(console socket)")?;
        let mut received = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        });
        let master = received.next().and_then(|mut fds| fds.next());
        let master = master.context("the runtime sent no descriptor over the console socket")?;
        let peer = rustix::pty::ioctl_tiocgptpeer(
            &master,
            OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC,
        )
        .context("what the runtime sent over the console socket is no terminal")?;
        super::call::set_nonblocking(&master)?;
        Ok(Console {
            master,
            _peer: peer,
        })
    }
}

impl AsFd for ConsoleSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for ConsoleSocket {
    fn drop(&mut self) {
        // Whoever removes the directory removes a socket that stays.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn wait_readable(fd: impl AsFd) -> Result<()> {
    match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&PATIENCE)) {
        Ok(0) => bail!("the runtime did not send the container's terminal within 1 s"),
        Ok(_) => Ok(()),
        Err(errno) => Err(errno).context("poll(console socket)"),
    }
}
