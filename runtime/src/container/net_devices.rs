//! Moving network devices into a container's network namespace, and back when the container does
//! not come to be (config-linux.md, "Network Devices").
//!
//! Once the container is created, the devices are the namespace's: the spec forbids to move them out
//! of it before its deletion. Until then they are the host's, and a virtual device would be destroyed
//! with the namespace of a container that was never there.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::{CallContext, Error, ErrorContext, Result};
use crate::netlink::{Address, Device, Socket};
use crate::plan::NetDeviceStep;
use crate::report::Listener;

/// How many numbers that others take at the same moment are passed over.
const MOST_TRIED: i32 = 64;

/// Both ends of the way, and what has gone it. While it lives, so does the container's namespace.
#[derive(Debug)]
pub(super) struct NetDeviceMover {
    host: End,
    container: End,
    moved: Vec<Moved>,
}

/// A network namespace and a socket in it.
#[derive(Debug)]
struct End {
    namespace: OwnedFd,
    socket: Socket,
}

/// What it takes to undo a move.
#[derive(Debug)]
struct Moved {
    /// The device as it was on the host.
    before: Device,
    /// Its addresses there.
    addresses: Vec<Address>,
    /// The device as it is in the container.
    after: Device,
}

impl NetDeviceMover {
    /// From our network namespace to that of a process.
    ///
    /// # Errors
    /// With the call.
    pub(super) fn to(process: Pid) -> Result<Self> {
        let own = open_namespace("/proc/self/ns/net")?;
        let path = format!("/proc/{}/ns/net", process.as_raw_nonzero());
        let namespace = open_namespace(&path)?;
        let host = Socket::open().call(|| "socket(AF_NETLINK)")?;
        enter(&namespace)?;
        let container = Socket::open();
        enter(&own)?;
        Ok(NetDeviceMover {
            host: End {
                namespace: own,
                socket: host,
            },
            container: End {
                namespace,
                socket: container.call(|| "socket(AF_NETLINK) in the container's namespace")?,
            },
            moved: Vec::new(),
        })
    }

    /// Moves a device, with its lasting addresses, and brings it up.
    ///
    /// # Errors
    /// When it isn't there, when its new name is taken, and the kernel's.
    pub(super) fn carry(&mut self, step: &NetDeviceStep<'_>) -> Result<()> {
        let NetDeviceStep { name, new_name } = *step;
        self.carry_over(name, new_name)
            .context(|| format!("move netDevice {name} into the container's network namespace"))
    }

    fn carry_over(&mut self, name: &str, new_name: &str) -> Result<()> {
        let before = self.host.socket.device(name).map_err(|errno| {
            let error = Error::call(
                format!("link not found for interface {name} on runtime namespace"),
                errno,
            );
            match errno {
                Errno::NODEV => error.hint("`ip link` lists the devices"),
                _ => error,
            }
        })?;
        let there = self
            .container
            .socket
            .devices()
            .call(|| "RTM_GETLINK(all)")?;
        // The kernel would refuse only the renaming, once the device is there.
        if there.iter().any(|device| device.name == new_name) {
            return Err(Error::new(format!(
                "a network device with the name {new_name} exists there already"
            ))
            .hint("choose another name"));
        }
        let addresses = self
            .host
            .socket
            .lasting_addresses(&before)
            .call(|| format!("RTM_GETADDR({name})"))?;
        let index = self.move_with_a_number_of_ours(&before, &there, new_name)?;
        // With `%d` in the name, only the kernel knows it.
        let arrived = self.container.socket.devices();
        let after = arrived
            .call(|| "RTM_GETLINK(all)")?
            .into_iter()
            .find(|device| device.index == index)
            .ok_or_else(|| Error::new("it has not arrived"))?;
        self.moved.push(Moved {
            before,
            addresses: addresses.clone(),
            after: after.clone(),
        });
        settle(&mut self.container.socket, &after, &addresses, true)
    }

    /// Moves the device to a number that is free there, which the kernel would choose otherwise: it is
    /// what we know the device by, whoever else makes devices there at the same time.
    fn move_with_a_number_of_ours(
        &mut self,
        device: &Device,
        there: &[Device],
        new_name: &str,
    ) -> Result<i32> {
        let is_free = |index: &i32| there.iter().all(|known| known.index != *index);
        let last = there.iter().map(|known| known.index).max().unwrap_or(0);
        let own = Some(device.index).filter(is_free);
        let mut tried = own
            .into_iter()
            .chain((1..=MOST_TRIED).map(|step| last.saturating_add(step)));
        let namespace = self.container.namespace.as_fd();
        let socket = &mut self.host.socket;
        let name = &device.name;
        let result = loop {
            let Some(index) = tried.next() else {
                break Err(Errno::BUSY);
            };
            match socket.move_device(device, namespace, new_name, index) {
                Err(Errno::BUSY) => {}
                result => break result.map(|()| index),
            }
        };
        result.map_err(|errno| {
            let error = Error::call(format!("RTM_NEWLINK({name}, IFLA_NET_NS_FD)"), errno);
            match errno {
                Errno::INVAL => error.hint("some devices can't leave their namespace"),
                _ => error,
            }
        })
    }

    /// Takes all devices back to where and what they were; tells `listener` of those that can't be.
    pub(super) fn take_back(mut self, listener: &dyn Listener) {
        while let Some(moved) = self.moved.pop() {
            let name = &moved.before.name;
            if let Err(error) = self.take_one_back(&moved) {
                listener.warn(&format!("taking the network device {name} back: {error}"));
            }
        }
    }

    fn take_one_back(&mut self, moved: &Moved) -> Result<()> {
        let Moved {
            before,
            addresses,
            after,
        } = moved;
        self.container
            .socket
            .move_device(after, self.host.namespace.as_fd(), &before.name, 0)
            .call(|| "RTM_NEWLINK(IFLA_NET_NS_FD)")?;
        let back = self
            .host
            .socket
            .device(&before.name)
            .call(|| "RTM_GETLINK")?;
        settle(&mut self.host.socket, &back, addresses, before.up)
    }
}

/// Gives a device that has moved its addresses, and brings it up.
fn settle(socket: &mut Socket, device: &Device, addresses: &[Address], up: bool) -> Result<()> {
    let name = &device.name;
    for address in addresses {
        socket
            .add_address(device, address)
            .call(|| format!("RTM_NEWADDR({name})"))?;
    }
    if up {
        socket
            .bring_up(device)
            .call(|| format!("RTM_NEWLINK({name}, IFF_UP)"))?;
    }
    Ok(())
}

fn open_namespace(path: &str) -> Result<OwnedFd> {
    open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).call(|| format!("open({path})"))
}

/// The program has one thread: it moves as a whole.
fn enter(namespace: &OwnedFd) -> Result<()> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .call(|| "setns(network)")
}
