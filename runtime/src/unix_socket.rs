//! Unix sockets that others listen on.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

/// The address of a path, or of a name in the abstract namespace: `@name` (sd_notify(3), and Go's
/// net package).
///
/// # Errors
/// ENAMETOOLONG for more than 107 bytes (unix(7)), EINVAL for a path with a NUL byte.
pub fn address(name: &OsStr) -> Result<SocketAddrUnix, Errno> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name),
        _ => SocketAddrUnix::new(name),
    }
}

/// Connects to a stream socket.
///
/// # Errors
/// socket(2)'s and connect(2)'s.
pub fn connect_stream(address: &SocketAddrUnix) -> Result<OwnedFd, Errno> {
    connect_as(SocketType::STREAM, address)
}

/// Connects to a datagram socket.
///
/// # Errors
/// socket(2)'s and connect(2)'s.
pub fn connect_datagram(address: &SocketAddrUnix) -> Result<OwnedFd, Errno> {
    connect_as(SocketType::DGRAM, address)
}

fn connect_as(kind: SocketType, address: &SocketAddrUnix) -> Result<OwnedFd, Errno> {
    let socket = socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
    connect(&socket, address)?;
    Ok(socket)
}
