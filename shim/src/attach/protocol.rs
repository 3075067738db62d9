//! The packets. The socket is `SOCK_SEQPACKET`, so each packet arrives whole or not at all: one
//! byte that says what it is, and its payload.

use std::io::IoSlice;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, bind, connect, listen, recv, sendmsg, socket_with,
};
use rustix::termios::Winsize;

/// The most bytes that the payload of a packet has.
pub const MAX_PAYLOAD: usize = 32 * 1024;

/// What a client says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// First packet: send me output and take my input.
    Attach,
    /// First packet: only tell me how it ends.
    Wait,
    /// Bytes for the container's standard input. The next may only be sent after
    /// [`Reply::InputTaken`], so that signals and sizes never queue behind input.
    Input(&'a [u8]),
    /// The end of the container's standard input.
    EndOfInput,
    /// The terminal's size: rows, columns.
    Resize(u16, u16),
    /// A signal for the container's first process.
    Signal(i32),
    /// First packet: the container is not to be started again; and tell me how it ends.
    Last,
    /// First packet: how is it?
    Inspect,
    /// First packet: rotate its log now.
    Rotate,
}

/// What the supervisor says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The container runs; the text is what the runtime had to say.
    Started(&'a str),
    /// There is no container; the text says why.
    Refused(&'a str),
    /// Bytes from the container's standard output, or its terminal.
    Stdout(&'a [u8]),
    /// Bytes from its standard error.
    Stderr(&'a [u8]),
    /// The last [`Request::Input`] is where it should be.
    InputTaken,
    /// You read too slowly and get no more.
    CutOff,
    /// The container has ended with this status, and all its output came before; the text says
    /// what went wrong afterwards.
    Exited(i32, &'a str),
    /// How it is, as JSON.
    Report(&'a str),
}

impl<'a> Request<'a> {
    /// Its packet: first byte and payload.
    pub fn encode(self) -> (u8, Vec<u8>) {
        match self {
            Request::Attach => (b'A', Vec::new()),
            Request::Wait => (b'W', Vec::new()),
            Request::Input(bytes) => (b'I', bytes.to_vec()),
            Request::EndOfInput => (b'E', Vec::new()),
            Request::Resize(rows, columns) => {
                (b'R', [rows.to_le_bytes(), columns.to_le_bytes()].concat())
            }
            Request::Signal(number) => (b'S', number.to_le_bytes().to_vec()),
            Request::Last => (b'L', Vec::new()),
            Request::Inspect => (b'J', Vec::new()),
            Request::Rotate => (b'O', Vec::new()),
        }
    }

    /// What a packet means; none if it means nothing.
    pub fn decode(packet: &'a [u8]) -> Option<Self> {
        let (kind, payload) = packet.split_first()?;
        Some(match (kind, payload) {
            (b'A', []) => Request::Attach,
            (b'W', []) => Request::Wait,
            (b'L', []) => Request::Last,
            (b'J', []) => Request::Inspect,
            (b'O', []) => Request::Rotate,
            (b'I', bytes) => Request::Input(bytes),
            (b'E', []) => Request::EndOfInput,
            (b'R', &[a, b, c, d]) => {
                Request::Resize(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
            }
            (b'S', number) => Request::Signal(i32::from_le_bytes(number.try_into().ok()?)),
            _ => return None,
        })
    }
}

impl<'a> Reply<'a> {
    /// Its packet: first byte, first and second part of the payload.
    pub fn encode(&self) -> (u8, [u8; 4], &'a [u8]) {
        let none = [0; 4];
        match *self {
            Reply::Started(warnings) => (b'P', none, cut(warnings)),
            Reply::Refused(message) => (b'F', none, cut(message)),
            Reply::Stdout(bytes) => (b'O', none, bytes),
            Reply::Stderr(bytes) => (b'e', none, bytes),
            Reply::InputTaken => (b'T', none, &[]),
            Reply::CutOff => (b'C', none, &[]),
            Reply::Exited(status, troubles) => (b'X', status.to_le_bytes(), cut(troubles)),
            Reply::Report(json) => (b'J', none, cut(json)),
        }
    }

    /// What a packet means; none if it means nothing.
    pub fn decode(packet: &'a [u8]) -> Option<Self> {
        let (kind, rest) = packet.split_first()?;
        let (number, payload) = rest.split_first_chunk::<4>()?;
        let text = || std::str::from_utf8(payload).ok();
        Some(match kind {
            b'P' => Reply::Started(text()?),
            b'F' => Reply::Refused(text()?),
            b'O' => Reply::Stdout(payload),
            b'e' => Reply::Stderr(payload),
            b'T' => Reply::InputTaken,
            b'C' => Reply::CutOff,
            b'X' => Reply::Exited(i32::from_le_bytes(*number), text()?),
            b'J' => Reply::Report(text()?),
            _ => return None,
        })
    }
}

fn cut(text: &str) -> &[u8] {
    let mut end = text.len().min(MAX_PAYLOAD);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text.as_bytes()[..end]
}

/// Sends one packet without waiting; [`Errno::AGAIN`] if the socket is full.
pub fn send(socket: impl AsFd, kind: u8, parts: [&[u8]; 2]) -> rustix::io::Result<()> {
    let kind = [kind];
    let iov = [
        IoSlice::new(&kind),
        IoSlice::new(parts[0]),
        IoSlice::new(parts[1]),
    ];
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    rustix::io::retry_on_intr(|| {
        sendmsg(&socket, &iov, &mut SendAncillaryBuffer::default(), flags).map(|_| ())
    })
}

/// Receives one packet into `buffer` without waiting: its length, 0 when the other side is gone.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> rustix::io::Result<usize> {
    let outcome = rustix::io::retry_on_intr(|| {
        recv(&socket, &mut *buffer, RecvFlags::DONTWAIT).map(|(length, _)| length)
    });
    match outcome {
        Err(Errno::CONNRESET | Errno::PIPE) => Ok(0),
        other => other,
    }
}

const SOCKET_NAME: &str = "attach";

/// Listens in `directory` (whose mode keeps strangers out).
pub fn bind_in(directory: &Path) -> Result<OwnedFd> {
    let socket = new_socket()?;
    with_address(directory, |address| bind(&socket, address)).with_context(|| {
        format!(
            "binding the socket {}",
            directory.join(SOCKET_NAME).display()
        )
    })?;
    listen(&socket, 64).context("listen")?;
    Ok(socket)
}

/// Connects to the supervisor that listens in `directory`; none if there is none.
pub fn connect_in(directory: &Path) -> Result<Option<OwnedFd>> {
    let socket = new_socket()?;
    // A non-blocking connect says AGAIN while 64 others are waiting to be accepted.
    for _ in 0..500 {
        match with_address(directory, |address| connect(&socket, address)) {
            Ok(()) => return Ok(Some(socket)),
            Err(Errno::CONNREFUSED | Errno::NOENT) => return Ok(None),
            Err(Errno::AGAIN | Errno::INTR) => {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            Err(errno) => {
                let path = directory.join(SOCKET_NAME);
                return Err(errno).with_context(|| format!("connecting to {}", path.display()));
            }
        }
    }
    bail!(
        "the supervisor does not answer at {}",
        directory.join(SOCKET_NAME).display()
    )
}

fn new_socket() -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).context("socket")
}

/// Addresses the socket through a descriptor of its directory: the 107 bytes of a unix socket's
/// address are soon used up by a path.
fn with_address<T>(
    directory: &Path,
    call: impl FnOnce(&SocketAddrUnix) -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    use rustix::fs::{Mode, OFlags, open};
    let holder = open(
        directory,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&holder);
    call(&SocketAddrUnix::new(format!(
        "/proc/self/fd/{number}/{SOCKET_NAME}"
    ))?)
}

/// A size as the terminal calls take it; pixels are not passed on.
pub fn winsize(rows: u16, columns: u16) -> Winsize {
    Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_back_as_they_were_sent() {
        let requests = [
            Request::Attach,
            Request::Wait,
            Request::Input(b"abc"),
            Request::EndOfInput,
            Request::Resize(24, 500),
            Request::Signal(15),
        ];
        for request in requests {
            let (kind, mut payload) = request.encode();
            payload.insert(0, kind);
            assert_eq!(Request::decode(&payload), Some(request));
        }
    }

    #[test]
    fn nonsense_means_nothing() {
        for packet in [&b""[..], b"Z", b"A?", b"R123", b"S1", b"S12345"] {
            assert_eq!(Request::decode(packet), None, "{packet:?}");
        }
        assert_eq!(Reply::decode(b"X12"), None);
        assert_eq!(Reply::decode(b"F\0\0\0\0\xff"), None);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let text = "é".repeat(MAX_PAYLOAD);
        let (kind, number, payload) = Reply::Refused(&text).encode();
        let packet = [&[kind][..], &number, payload].concat();
        assert!(matches!(Reply::decode(&packet), Some(Reply::Refused(cut)) if !cut.is_empty()));
    }
}
