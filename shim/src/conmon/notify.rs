//! Messages of sd_notify(3) from the container, passed on to the host's manager.
//!
//! The container sees the directory `notify` of its bundle and sends to `notify.sock` in it. Only
//! what can't be turned against the host passes: not `MAINPID=`, `FDSTORE=1` and their like.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, recv, sendto,
    socket_with,
};

use super::sockets;

/// Lines that pass as they are.
const WHOLE: [&[u8]; 5] = [
    b"READY=1",
    b"RELOADING=1",
    b"STOPPING=1",
    b"WATCHDOG=1",
    b"WATCHDOG=trigger",
];
/// Lines that pass whatever follows.
const BEGINNINGS: [&[u8]; 4] = [b"STATUS=", b"ERRNO=", b"BUSERROR=", b"MONOTONIC_USEC="];
/// The longest message, in bytes; conmon's.
const LONGEST: usize = 32 * 1024;
/// When to try again after the host's socket was full.
const RETRY: Duration = Duration::from_millis(50);

/// Both ends.
#[derive(Debug)]
pub struct NotifyProxy {
    container: OwnedFd,
    host: OwnedFd,
    address: SocketAddrUnix,
    /// What the host's socket had no room for, and when to try again.
    waiting: Option<(Vec<u8>, Instant)>,
}

impl NotifyProxy {
    /// Listens at `bundle/notify/notify.sock` for messages to the socket at `host`: a path, or an
    /// abstract name after `@`.
    pub fn new(bundle: &Path, host: &str) -> Result<Self> {
        let address = match host.strip_prefix('@') {
            Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes()),
            None => SocketAddrUnix::new(host),
        };
        let address = address.with_context(|| format!("--sdnotify-socket {host}"))?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let host = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)
            .context("Failed to create notify socket")?;
        // Anyone in the container may send, whatever user they are.
        let container = sockets::bind_in(
            &bundle.join("notify"),
            "notify.sock",
            SocketType::DGRAM,
            0o777,
        )?;
        Ok(NotifyProxy {
            container,
            host,
            address,
            waiting: None,
        })
    }

    /// Passes on what has come, and what could not be passed on before; the error is what the host's
    /// socket refused.
    pub fn pass_on(&mut self) -> Result<(), String> {
        if let Some((message, _)) = self.waiting.take() {
            self.send(message)?;
        }
        let mut buffer = vec![0; LONGEST];
        while self.waiting.is_none() {
            match recv(&self.container, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((length, _)) => {
                    let message = allowed(&buffer[..length]);
                    if !message.is_empty() {
                        self.send(message)?;
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        Ok(())
    }

    /// When to call [`pass_on`](Self::pass_on) although nothing has come; until then there is no use
    /// in watching the container's end.
    pub fn next_try(&self) -> Option<Instant> {
        self.waiting.as_ref().map(|(_, due)| *due)
    }

    fn send(&mut self, message: Vec<u8>) -> Result<(), String> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = rustix::io::retry_on_intr(|| sendto(&self.host, &message, flags, &self.address));
        match sent {
            Ok(_) => Ok(()),
            Err(Errno::AGAIN | Errno::NOBUFS) => {
                self.waiting = Some((message, Instant::now() + RETRY));
                Ok(())
            }
            Err(errno) => Err(format!(
                "Failed to write to socket host notify socket: {errno}"
            )),
        }
    }
}

impl AsFd for NotifyProxy {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.container.as_fd()
    }
}

/// The lines of a message that may pass.
fn allowed(message: &[u8]) -> Vec<u8> {
    let passes = |line: &&[u8]| {
        WHOLE.contains(line)
            || BEGINNINGS
                .iter()
                .any(|beginning| line.starts_with(beginning))
    };
    let lines: Vec<&[u8]> = message
        .split(|byte| matches!(byte, b'\n' | b'\r' | 0))
        .filter(passes)
        .collect();
    lines.join(&b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_lines_pass() {
        let message = b"READY=1\nMAINPID=1\nSTATUS=up\r\nREADY=10\nFDSTORE=1\n\nERRNO=2\nXREADY=1";
        assert_eq!(allowed(message), b"READY=1\nSTATUS=up\nERRNO=2");
        assert_eq!(allowed(b"MAINPID=7\n"), b"");
    }

    #[test]
    fn messages_reach_the_host_and_wait_while_it_is_slow() {
        let place = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(place.path().join("notify")).expect("a directory");
        let host_path = place.path().join("host");
        let host = std::os::unix::net::UnixDatagram::bind(&host_path).expect("bound");
        host.set_nonblocking(true).expect("set");
        let mut proxy =
            NotifyProxy::new(place.path(), host_path.to_str().expect("UTF-8")).expect("made");
        let container = std::os::unix::net::UnixDatagram::unbound().expect("a socket");
        let inner = place.path().join("notify/notify.sock");
        let mut passed = 0;
        let mut buffer = [0; 100];
        for number in 0..1000 {
            let message = format!("STATUS={number}\nMAINPID=1");
            container.send_to(message.as_bytes(), &inner).expect("sent");
            proxy.pass_on().expect("passed on");
            if proxy.next_try().is_some() {
                // Full: it reads one.
                let length = host.recv(&mut buffer).expect("received");
                assert_eq!(buffer[..length], *format!("STATUS={passed}").as_bytes());
                passed += 1;
                proxy.pass_on().expect("passed on");
            }
        }
        assert!(passed > 0, "the host's queue was never full");
        while passed < 1000 {
            let length = host.recv(&mut buffer).expect("received");
            assert_eq!(buffer[..length], *format!("STATUS={passed}").as_bytes());
            passed += 1;
            proxy.pass_on().expect("passed on");
        }
        drop(host);
        container.send_to(b"READY=1", &inner).expect("sent");
        assert!(proxy.pass_on().is_err());
    }
}
