//! rtnetlink(7), as far as moving network devices needs it: no more of it than fits on a few pages,
//! and no crate of its own (docs/decisions/dependencies.md).

mod device;
mod message;

use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{recv, send, socket_with};

pub use device::{Address, Device};
use message::{Message, Request, messages};

/// A route socket: it stays in the network namespace in which it was opened.
#[derive(Debug)]
pub struct Socket {
    socket: OwnedFd,
    sequence: u32,
}

/// The kernel fills at most this much of a buffer with a dump (`NLMSG_GOODSIZE` and
/// `netlink_dump` in net/netlink/af_netlink.c); a device with very many virtual functions has more.
const BUFFER: usize = 64 << 10;

impl Socket {
    /// Opens one in the network namespace that we are in.
    ///
    /// # Errors
    /// socket(2)'s.
    pub fn open() -> Result<Self, Errno> {
        // Protocol 0 is NETLINK_ROUTE.
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok(Socket {
            socket,
            sequence: 0,
        })
    }

    /// Sends a request and hands every answer to `answer`, until the kernel says that there are no
    /// more.
    fn ask(&mut self, request: Request, answer: &mut dyn FnMut(&Message<'_>)) -> Result<(), Errno> {
        self.sequence += 1;
        send(
            &self.socket,
            &request.finish(self.sequence),
            SendFlags::empty(),
        )?;
        let mut buffer = vec![0; BUFFER];
        loop {
            let (_, length) = match recv(&self.socket, &mut buffer[..], RecvFlags::TRUNC) {
                Err(Errno::INTR) => continue,
                result => result?,
            };
            let packet = buffer.get(..length).ok_or(Errno::MSGSIZE)?;
            for message in messages(packet) {
                // What is left of an earlier answer.
                if message.sequence != self.sequence {
                    continue;
                }
                match message.outcome() {
                    Some(0) => return Ok(()),
                    Some(errno) => return Err(Errno::from_raw_os_error(errno)),
                    None => answer(&message),
                }
            }
        }
    }
}
