//! Network devices and their addresses (rtnetlink(7): `RTM_GETLINK`, `RTM_NEWLINK`, `RTM_GETADDR`,
//! `RTM_NEWADDR`).

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

use super::Socket;
use super::message::{Message, NLM_F_CREATE_EXCL, NLM_F_DUMP, Request, word};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;

const IFLA_IFNAME: u16 = 3;
const IFLA_NET_NS_FD: u16 = 28;
/// The device's number in the namespace that it moves to (Linux 5.12).
const IFLA_NEW_IFINDEX: u16 = 49;

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_CACHEINFO: u16 = 6;
const IFA_FLAGS: u16 = 8;
const IFA_RT_PRIORITY: u16 = 9;
const IFA_PROTO: u16 = 11;

const IFF_UP: u32 = 1;
const RT_SCOPE_UNIVERSE: u8 = 0;
const IFA_F_PERMANENT: u32 = 0x80;
/// Those that the one who sets an address chooses; the kernel sets the others
/// (include/uapi/linux/if_addr.h).
const CHOSEN_FLAGS: u32 = 0x002 // IFA_F_NODAD
    | 0x004 // IFA_F_OPTIMISTIC
    | 0x010 // IFA_F_HOMEADDRESS
    | 0x100 // IFA_F_MANAGETEMPADDR
    | 0x200 // IFA_F_NOPREFIXROUTE
    | 0x400; // IFA_F_MCAUTOJOIN

/// A network device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its number in its network namespace.
    pub index: i32,
    /// Its name.
    pub name: String,
    /// Whether it is up.
    pub up: bool,
}

/// An address of a device, as it is to be set anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    family: u8,
    prefix_length: u8,
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Socket {
    /// The device with this name.
    ///
    /// # Errors
    /// `ENODEV` when there is none.
    pub fn device(&mut self, name: &str) -> Result<Device, Errno> {
        let mut request = Request::new(RTM_GETLINK, 0, &link_body(0, 0, 0));
        request.text(IFLA_IFNAME, name);
        let mut found = None;
        self.ask(request, &mut |message| {
            found = found.take().or_else(|| device(message));
        })?;
        found.ok_or(Errno::NODEV)
    }

    /// All devices.
    ///
    /// # Errors
    /// The kernel's.
    pub fn devices(&mut self) -> Result<Vec<Device>, Errno> {
        let mut found = Vec::new();
        let request = Request::new(RTM_GETLINK, NLM_F_DUMP, &link_body(0, 0, 0));
        self.ask(request, &mut |message| found.extend(device(message)))?;
        Ok(found)
    }

    /// The addresses of a device that config-linux.md wants kept: permanent, and of global scope.
    ///
    /// # Errors
    /// The kernel's.
    pub fn lasting_addresses(&mut self, device: &Device) -> Result<Vec<Address>, Errno> {
        let mut found = Vec::new();
        let request = Request::new(RTM_GETADDR, NLM_F_DUMP, &[0; 8]);
        self.ask(request, &mut |message| {
            found.extend(lasting_address(message, device.index));
        })?;
        Ok(found)
    }

    /// Adds an address to a device.
    ///
    /// # Errors
    /// The kernel's.
    pub fn add_address(&mut self, device: &Device, address: &Address) -> Result<(), Errno> {
        let [a, b, c, d] = device.index.to_ne_bytes();
        let body = [
            address.family,
            address.prefix_length,
            0,
            RT_SCOPE_UNIVERSE,
            a,
            b,
            c,
            d,
        ];
        let mut request = Request::new(RTM_NEWADDR, NLM_F_CREATE_EXCL, &body);
        for (kind, value) in &address.attributes {
            request.attribute(*kind, value);
        }
        self.ask(request, &mut |_| {})
    }

    /// Moves a device into another network namespace under another name and, if `index` is not 0,
    /// with that number, in one request. The kernel takes it down and takes its addresses away.
    ///
    /// # Errors
    /// The kernel's: `EEXIST` when the name is taken there, `EBUSY` when the number is, `EINVAL` for a
    /// device that can't leave its namespace.
    pub fn move_device(
        &mut self,
        device: &Device,
        namespace: BorrowedFd<'_>,
        name: &str,
        index: i32,
    ) -> Result<(), Errno> {
        let mut request = Request::new(RTM_NEWLINK, 0, &link_body(device.index, 0, 0));
        request.text(IFLA_IFNAME, name);
        request.attribute(IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes());
        if index != 0 {
            request.attribute(IFLA_NEW_IFINDEX, &index.to_ne_bytes());
        }
        self.ask(request, &mut |_| {})
    }

    /// Brings a device up.
    ///
    /// # Errors
    /// The kernel's.
    pub fn bring_up(&mut self, device: &Device) -> Result<(), Errno> {
        let request = Request::new(RTM_NEWLINK, 0, &link_body(device.index, IFF_UP, IFF_UP));
        self.ask(request, &mut |_| {})
    }
}

/// `struct ifinfomsg`: family, padding, type, index, flags, and which flags are meant.
fn link_body(index: i32, flags: u32, change: u32) -> [u8; 16] {
    let mut body = [0; 16];
    body[4..8].copy_from_slice(&index.to_ne_bytes());
    body[8..12].copy_from_slice(&flags.to_ne_bytes());
    body[12..].copy_from_slice(&change.to_ne_bytes());
    body
}

fn device(message: &Message<'_>) -> Option<Device> {
    let (body, mut attributes) = message.split::<16>()?;
    let (_, name) = attributes.find(|(kind, _)| *kind == IFLA_IFNAME)?;
    let name = name.split(|byte| *byte == 0).next()?;
    Some(Device {
        index: word(&body[4..])?.cast_signed(),
        name: String::from_utf8_lossy(name).into_owned(),
        up: word(&body[8..])? & IFF_UP != 0,
    })
}

fn lasting_address(message: &Message<'_>, index: i32) -> Option<Address> {
    let (&[family, prefix_length, flags, scope, ref of @ ..], attributes) = message.split::<8>()?;
    if word(of)?.cast_signed() != index || scope != RT_SCOPE_UNIVERSE {
        return None;
    }
    let mut flags = u32::from(flags);
    let mut kept = Vec::new();
    for (kind, value) in attributes {
        match kind {
            IFA_FLAGS => flags = word(value)?,
            // Not IFA_LABEL, which holds the device's old name.
            IFA_ADDRESS | IFA_LOCAL | IFA_BROADCAST | IFA_CACHEINFO | IFA_RT_PRIORITY
            | IFA_PROTO => kept.push((kind, value.to_vec())),
            _ => {}
        }
    }
    kept.push((IFA_FLAGS, (flags & CHOSEN_FLAGS).to_ne_bytes().to_vec()));
    (flags & IFA_F_PERMANENT != 0).then_some(Address {
        family,
        prefix_length,
        attributes: kept,
    })
}

#[cfg(test)]
mod tests {
    use super::super::message::messages;
    use super::*;

    /// An answer to `RTM_GETADDR`.
    fn answer(index: u32, scope: u8, flags: u32) -> Vec<u8> {
        let [a, b, c, d] = index.to_ne_bytes();
        let mut message = Request::new(RTM_NEWADDR, 0, &[2, 24, 0x80, scope, a, b, c, d]);
        message.attribute(IFA_ADDRESS, &[10, 0, 0, 1]);
        message.text(3, "eth0");
        message.attribute(IFA_FLAGS, &flags.to_ne_bytes());
        message.finish(1)
    }

    #[test]
    fn permanent_global_addresses_of_the_device_are_kept() {
        let kept = |index, scope, flags| {
            let packet = answer(index, scope, flags);
            messages(&packet).find_map(|message| lasting_address(&message, 4))
        };
        let address = kept(4, 0, 0x80 | 0x200 | 0x01).unwrap();
        assert_eq!((address.family, address.prefix_length), (2, 24));
        let attributes = [
            (IFA_ADDRESS, vec![10, 0, 0, 1]),
            (IFA_FLAGS, 0x200_u32.to_ne_bytes().to_vec()),
        ];
        assert_eq!(address.attributes, attributes);
        assert!(kept(5, 0, 0x80).is_none(), "another device's");
        assert!(kept(4, 254, 0x80).is_none(), "of the host's scope");
        assert!(kept(4, 0, 0).is_none(), "one that runs out");
    }

    #[test]
    fn the_loopback_device_is_found() {
        let mut socket = Socket::open().unwrap();
        let lo = socket.device("lo").unwrap();
        assert_eq!(lo.name, "lo");
        assert!(socket.devices().unwrap().contains(&lo));
        assert_eq!(socket.device("none-of-that").unwrap_err(), Errno::NODEV);
    }
}
