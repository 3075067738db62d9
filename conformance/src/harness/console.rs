//! Terminals: the receiving end of `--console-socket`, and a pseudo-terminal of our own.

use std::fs::File;
use std::io::Read;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::verdict::{Stop, fail};

/// A socket on which a runtime hands over the master of a container's terminal.
#[derive(Debug)]
pub struct ConsoleSocket {
    listener: UnixListener,
    /// What goes behind `--console-socket`.
    pub path: PathBuf,
}

impl ConsoleSocket {
    /// Listens in a directory.
    ///
    /// # Errors
    /// Those of bind(2): the path must be short.
    pub fn listen(directory: &Path) -> Result<ConsoleSocket, Stop> {
        let path = directory.join("console.sock");
        let listener = UnixListener::bind(&path)?;
        Ok(ConsoleSocket { listener, path })
    }

    /// Takes the master that the runtime sends, and the payload that came with it.
    ///
    /// # Errors
    /// A failure of the runtime when it does not connect, or sends no descriptor.
    pub fn receive(&self) -> Result<(File, String), Stop> {
        if !readable(&self.listener, Duration::from_secs(5))? {
            return fail("the runtime did not connect to the console socket");
        }
        let (stream, _) = self.listener.accept()?;
        if !readable(&stream, Duration::from_secs(5))? {
            return fail("the runtime sent nothing over the console socket");
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut payload = [0_u8; 4096];
        let mut vectors = [std::io::IoSliceMut::new(&mut payload)];
        let got = recvmsg(&stream, &mut vectors, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        let descriptors: Vec<OwnedFd> = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .collect();
        let payload = String::from_utf8_lossy(&payload[..got.bytes]).into_owned();
        match <[OwnedFd; 1]>::try_from(descriptors) {
            Ok([master]) => Ok((File::from(master), payload)),
            Err(other) => fail(format_args!("{} descriptors came, not one", other.len())),
        }
    }
}

/// A new pseudo-terminal: master and slave.
///
/// # Errors
/// Those of posix_openpt(3) and its relatives.
pub fn open_terminal() -> Result<(File, File), Stop> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = ptsname(&master, Vec::new())?;
    let name = name.to_string_lossy().into_owned();
    let slave = rustix::fs::open(
        name.as_str(),
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    )?;
    Ok((File::from(master), File::from(slave)))
}

/// Reads from a terminal's master until a line begins with `{` and ends, the last slave is closed
/// (EIO), or the time is over; returns all that came.
///
/// # Errors
/// That of poll(2).
pub fn read_terminal(master: &mut File, limit: Duration) -> Result<String, Stop> {
    let deadline = Instant::now() + limit;
    let mut text = Vec::new();
    let mut part = [0_u8; 8192];
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        if !readable(&*master, left)? {
            break;
        }
        match master.read(&mut part) {
            Ok(0) | Err(_) => break,
            Ok(count) => text.extend_from_slice(&part[..count]),
        }
        if text.ends_with(b"}\r\n") {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn readable(descriptor: impl AsFd, limit: Duration) -> Result<bool, Stop> {
    let timeout = Timespec::try_from(limit)?;
    let mut watched = [PollFd::new(&descriptor, PollFlags::IN)];
    Ok(poll(&mut watched, Some(&timeout))? > 0)
}
