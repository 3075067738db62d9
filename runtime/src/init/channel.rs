//! What the runtime and init say to each other: a pair of sequenced-packet sockets, one packet a
//! message. When one side dies, the other reads the end of the stream.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, send, sendmsg, socketpair,
};

use crate::error::{CallContext, Error, Result};
use crate::sys;

/// A message.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    /// The other side goes on with its steps.
    Turn,
    /// The process before init has made it, with this pid.
    Born(u32),
    /// Init has installed a filter, whose listener has this number there.
    SeccompListener(RawFd),
    /// Init failed; this is why.
    Failure(String),
    /// Init can't open the source of this entry of `mounts` as it should be, or the rootfs
    /// ([`ROOTFS`]), and asks for it.
    MountWanted(u32),
    /// The kernel refused to execute the program; this is why.
    NotExecuted(String),
    /// A debug message.
    Debug(String),
}

/// One end.
#[derive(Debug)]
pub struct Channel {
    socket: Option<OwnedFd>,
    /// Whether this is init's end.
    inits: bool,
}

/// What stands for the rootfs where entries of `mounts` are counted.
pub const ROOTFS: u32 = u32::MAX;

/// Longer ones are cut.
const LONGEST_TEXT: usize = 8 << 10;

impl Channel {
    /// Both ends: the runtime's and init's.
    ///
    /// # Errors
    /// socketpair(2)'s.
    pub fn pair() -> Result<(Self, Self)> {
        // Ours is the second, so that init's has the number after what else is given up then.
        let (inits, ours) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .call(|| "socketpair(AF_UNIX, SOCK_SEQPACKET)")?;
        Ok((
            Channel {
                socket: Some(ours),
                inits: false,
            },
            Channel {
                socket: Some(inits),
                inits: true,
            },
        ))
    }

    /// Sends a message.
    ///
    /// # Errors
    /// send(2)'s: `EPIPE` when the other side is gone.
    pub fn send(&self, message: &Message) -> Result<()> {
        let socket = self.socket()?;
        let number: [u8; 4];
        let (kind, text) = match message {
            Message::Turn => (b'T', &[][..]),
            Message::MountWanted(wanted) => {
                number = wanted.to_le_bytes();
                (b'M', &number[..])
            }
            Message::Born(pid) => {
                number = pid.to_le_bytes();
                (b'B', &number[..])
            }
            Message::SeccompListener(descriptor) => {
                number = descriptor.to_le_bytes();
                (b'L', &number[..])
            }
            Message::Failure(why) => (b'E', why.as_bytes()),
            Message::NotExecuted(why) => (b'X', why.as_bytes()),
            Message::Debug(text) => (b'D', text.as_bytes()),
        };
        let mut packet = vec![kind];
        packet.extend_from_slice(&text[..text.len().min(LONGEST_TEXT)]);
        // A filter may already be on init, and more of them allow write(2) than sendto(2). The
        // runtime, which must not be ended by SIGPIPE, has no filter.
        if self.inits {
            rustix::io::write(socket, &packet).map(drop)
        } else {
            send(socket, &packet, SendFlags::NOSIGNAL).map(drop)
        }
        .call(|| "send(init channel)")
    }

    /// Waits for a message; `None` when the other side is gone.
    ///
    /// # Errors
    /// read(2)'s, and for what is no message.
    pub fn receive(&self) -> Result<Option<Message>> {
        let mut packet = Vec::with_capacity(1 + LONGEST_TEXT);
        let socket = self.socket()?;
        match retry_on_intr(|| rustix::io::read(socket, spare_capacity(&mut packet))) {
            Err(Errno::CONNRESET) | Ok(0) => Ok(None),
            Ok(_) => decode(&packet).map(Some),
            Err(errno) => Err(errno).call(|| "read(init channel)"),
        }
    }

    /// Asks the runtime for the source of an entry of `mounts`.
    ///
    /// # Errors
    /// Its own.
    pub fn ask_for_mount(&self, index: u32) -> Result<OwnedFd> {
        self.send(&Message::MountWanted(index))?;
        let (word, tree) =
            receive_word(self.socket()?).call(|| "recvmsg(init channel, SCM_RIGHTS)")?;
        match (decode(&word), tree) {
            (Ok(Message::MountWanted(answer)), Some(tree)) if answer == index => Ok(tree),
            (Ok(Message::Failure(why)), _) => Err(Error::new(why)),
            _ => Err(Error::new("the runtime ended before it opened the source")),
        }
    }

    /// Answers [`Channel::ask_for_mount`].
    ///
    /// # Errors
    /// sendmsg(2)'s.
    pub fn answer_with_mount(&self, index: u32, tree: Result<OwnedFd>) -> Result<()> {
        match tree {
            Ok(tree) => {
                let mut packet = vec![b'M'];
                packet.extend_from_slice(&index.to_le_bytes());
                send_bytes(self.socket()?, &packet, tree.as_fd())
                    .call(|| "sendmsg(init channel, SCM_RIGHTS)")
            }
            Err(error) => self.send(&Message::Failure(error.to_string())),
        }
    }

    /// As [`Channel::receive`], of what has arrived already.
    ///
    /// # Errors
    /// As there.
    pub fn receive_arrived(&self) -> Result<Option<Message>> {
        let mut packet = Vec::with_capacity(1 + LONGEST_TEXT);
        let socket = self.socket()?;
        match rustix::net::recv(socket, spare_capacity(&mut packet), RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN | Errno::CONNRESET) | Ok((0, _)) => Ok(None),
            Ok(_) => decode(&packet).map(Some),
            Err(errno) => Err(errno).call(|| "recv(init channel)"),
        }
    }

    /// Gives this end up, which is closed with all else that is spent.
    pub fn spend(mut self) {
        sys::exec::spend(self.socket.take());
    }

    /// Closes this end.
    pub fn close(&mut self) {
        self.socket = None;
    }

    /// Its descriptor, until it is closed.
    pub fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    fn socket(&self) -> Result<&OwnedFd> {
        self.socket
            .as_ref()
            .ok_or_else(|| Error::new("the init channel is closed"))
    }
}

fn decode(packet: &[u8]) -> Result<Message> {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    match packet {
        [b'T'] => Ok(Message::Turn),
        [b'M', index @ ..] => index
            .try_into()
            .map(|index| Message::MountWanted(u32::from_le_bytes(index)))
            .map_err(|_| Error::new("init channel: a request of the wrong length")),
        [b'B', pid @ ..] => pid
            .try_into()
            .map(|pid| Message::Born(u32::from_le_bytes(pid)))
            .map_err(|_| Error::new("init channel: a pid of the wrong length")),
        [b'L', number @ ..] => number
            .try_into()
            .map(|number| Message::SeccompListener(RawFd::from_le_bytes(number)))
            .map_err(|_| Error::new("init channel: a descriptor of the wrong length")),
        [b'E', why @ ..] => Ok(Message::Failure(text(why))),
        [b'X', why @ ..] => Ok(Message::NotExecuted(text(why))),
        [b'D', message @ ..] => Ok(Message::Debug(text(message))),
        _ => Err(Error::new("init channel: unknown message")),
    }
}

/// Sends a descriptor over a stream socket, with a word beside it, as runc does for consoles and
/// pidfds (`SCM_RIGHTS`, unix(7)).
///
/// # Errors
/// sendmsg(2)'s.
pub fn send_descriptor(
    socket: &OwnedFd,
    word: &str,
    descriptor: BorrowedFd<'_>,
) -> Result<(), Errno> {
    send_bytes(socket, word.as_bytes(), descriptor)
}

fn send_bytes(socket: &OwnedFd, word: &[u8], descriptor: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let word = [IoSlice::new(word)];
    sendmsg(socket, &word, &mut control, SendFlags::NOSIGNAL).map(drop)
}

/// Receives a descriptor sent by [`send_descriptor`]; `None` when the other side is gone.
///
/// # Errors
/// recvmsg(2)'s.
pub fn receive_descriptor(socket: impl AsFd) -> Result<Option<OwnedFd>, Errno> {
    receive_word(socket).map(|(_, descriptor)| descriptor)
}

/// The word and the descriptor that came with it, if any did.
fn receive_word(socket: impl AsFd) -> Result<(Vec<u8>, Option<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut word = vec![0_u8; 1 + LONGEST_TEXT];
    let length = {
        let mut parts = [IoSliceMut::new(&mut word)];
        loop {
            match recvmsg(&socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                Err(Errno::INTR) => {}
                received => break received?.bytes,
            }
        }
    };
    word.truncate(length);
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok((word, descriptor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_whole_and_death_is_seen() {
        let (one, other) = Channel::pair().unwrap();
        one.send(&Message::Turn).unwrap();
        one.send(&Message::Failure("x".repeat(1000))).unwrap();
        one.send(&Message::MountWanted(300)).unwrap();
        assert_eq!(other.receive().unwrap(), Some(Message::Turn));
        assert_eq!(
            other.receive().unwrap(),
            Some(Message::Failure("x".repeat(1000)))
        );
        assert_eq!(
            other.receive_arrived().unwrap(),
            Some(Message::MountWanted(300))
        );
        assert_eq!(other.receive_arrived().unwrap(), None);
        drop(one);
        assert_eq!(other.receive().unwrap(), None);
    }

    #[test]
    fn a_mount_is_asked_for_and_given_or_refused() {
        let (runtime, init) = Channel::pair().unwrap();
        let tree = rustix::fs::open("/", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty());
        runtime
            .answer_with_mount(7, tree.map_err(|_| Error::new("open")))
            .unwrap();
        assert!(init.ask_for_mount(7).is_ok());
        assert_eq!(runtime.receive().unwrap(), Some(Message::MountWanted(7)));
        runtime
            .answer_with_mount(8, Err(Error::new("no such tree")))
            .unwrap();
        let error = init.ask_for_mount(8).unwrap_err();
        assert_eq!(error.to_string(), "no such tree");
    }

    #[test]
    fn nonsense_is_refused() {
        for packet in [&b""[..], b"?", b"T1", b"M1", b"L1"] {
            assert!(decode(packet).is_err(), "{packet:?}");
        }
    }
}
