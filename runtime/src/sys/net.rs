//! netdevice(7): the loopback interface of a new network namespace.

use std::os::fd::AsRawFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::clone::last_errno;
use super::exec::leave_to_exec;

/// Brings `lo` up in the network namespace that we are in.
///
/// # Errors
/// socket(2)'s and ioctl(2)'s.
pub fn bring_loopback_up() -> Result<(), Errno> {
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: ifreq is plain data, for which zero is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    // A loopback interface has IFF_LOOPBACK from its driver; setting flags changes only what may
    // be changed (dev_change_flags in net/core/dev.c), so there is no need to read them first.
    #[allow(clippy::cast_possible_truncation)] // IFF_UP is 1
    {
        request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    }
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which is alive.
    let result = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCSIFFLAGS as _,
            &raw const request,
        )
    };
    if result != 0 {
        return Err(last_errno());
    }
    leave_to_exec(socket);
    Ok(())
}
