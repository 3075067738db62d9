//! Where a bus is (D-Bus specification, "Server Addresses").

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use rustix::net::SocketAddrUnix;

/// The system bus' place on every usual host ("Well-known Message Bus Instances").
const SYSTEM_BUS: &str = "unix:path=/run/dbus/system_bus_socket";

/// The address of the system bus.
pub fn system_bus() -> OsString {
    set("DBUS_SYSTEM_BUS_ADDRESS").unwrap_or_else(|| SYSTEM_BUS.into())
}

/// The address of the user's bus, if the environment tells: `DBUS_SESSION_BUS_ADDRESS`, or
/// `bus` in `XDG_RUNTIME_DIR`.
pub fn session_bus() -> Option<OsString> {
    set("DBUS_SESSION_BUS_ADDRESS").or_else(|| {
        let mut path = set("XDG_RUNTIME_DIR")?;
        path.push("/bus");
        let mut address = OsString::from("unix:path=");
        address.push(OsString::from_vec(escape(path.as_bytes())));
        Some(address)
    })
}

fn set(variable: &str) -> Option<OsString> {
    std::env::var_os(variable).filter(|value| !value.is_empty())
}

/// The sockets of `address`, in the order in which they are to be tried; transports other than
/// unix sockets are left out.
pub(super) fn sockets(address: &[u8]) -> Vec<SocketAddrUnix> {
    address
        .split(|&byte| byte == b';')
        .filter_map(|one| one.strip_prefix(b"unix:"))
        .filter_map(|keys| keys.split(|&byte| byte == b',').find_map(socket))
        .collect()
}

fn socket(pair: &[u8]) -> Option<SocketAddrUnix> {
    if let Some(path) = pair.strip_prefix(b"path=") {
        SocketAddrUnix::new(unescape(path)?).ok()
    } else if let Some(name) = pair.strip_prefix(b"abstract=") {
        SocketAddrUnix::new_abstract_name(&unescape(name)?).ok()
    } else {
        None
    }
}

/// Bytes that may stand in an address as they are.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_/.\\*".contains(&byte)
}

fn escape(value: &[u8]) -> Vec<u8> {
    let escaped = |&byte: &u8| {
        if is_plain(byte) {
            vec![byte]
        } else {
            format!("%{byte:02x}").into_bytes()
        }
    };
    value.iter().flat_map(escaped).collect()
}

fn unescape(value: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            out.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        } else {
            out.push(byte);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_name_several_sockets() {
        let found = sockets(
            b"tcp:host=x,port=1;unix:path=/tmp/a%20b,guid=12;unix:abstract=/x;unix:path=/%zz",
        );
        assert_eq!(
            found,
            [
                SocketAddrUnix::new("/tmp/a b").unwrap(),
                SocketAddrUnix::new_abstract_name(b"/x").unwrap(),
            ]
        );
        assert!(sockets(b"autolaunch:").is_empty());
    }

    #[test]
    fn what_is_escaped_can_be_unescaped() {
        let path = b"/run/user/1000/a b;c%,=\xff";
        let escaped = escape(path);
        assert!(escaped.iter().all(|&byte| is_plain(byte) || byte == b'%'));
        assert_eq!(unescape(&escaped).unwrap(), path);
    }
}
