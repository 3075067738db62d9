//! Addresses for a network of our own that nothing on this host uses yet.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, bail};

use super::resolver;

const ROUTES: &str = "/proc/net/route";

/// An IPv4 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    address: u32,
    mask: u32,
}

/// A route of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where it leads.
    pub destination: Subnet,
    /// The name of the interface.
    pub device: String,
}

impl Subnet {
    /// `10.87.third.0/24`: other engines begin elsewhere in 10/8, in 172.16/12 or 192.168/16.
    fn ours(third: u8) -> Self {
        Subnet {
            address: Ipv4Addr::new(10, 87, third, 0).to_bits(),
            mask: 0xffff_ff00,
        }
    }

    /// Understands `ADDRESS/LENGTH`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let length: u32 = length.parse().ok().filter(|length| *length <= 32)?;
        let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
        let address = address.parse::<Ipv4Addr>().ok()?.to_bits() & mask;
        Some(Subnet { address, mask })
    }

    fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask == self.address
    }

    /// Whether an address is in both.
    pub fn overlaps(self, other: Subnet) -> bool {
        let mask = self.mask & other.mask;
        self.address & mask == other.address & mask
    }
}

impl std::fmt::Display for Subnet {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let address = Ipv4Addr::from_bits(self.address);
        write!(formatter, "{address}/{}", self.mask.leading_ones())
    }
}

/// The host's routes but the default ones.
pub fn routes() -> Result<Vec<Route>> {
    let text = std::fs::read_to_string(ROUTES).with_context(|| format!("read {ROUTES}"))?;
    Ok(text.lines().skip(1).filter_map(route).collect())
}

/// A line of /proc/net/route (Linux, net/ipv4/fib_trie.c): device, destination, gateway, flags, three
/// counts, mask, …; addresses are the words of memory as numbers.
fn route(line: &str) -> Option<Route> {
    let mut fields = line.split_whitespace();
    let device = fields.next()?.to_owned();
    let address = |field: &str| u32::from_str_radix(field, 16).ok().map(u32::from_be);
    let destination = Subnet {
        address: address(fields.next()?)?,
        mask: address(fields.nth(5)?)?,
    };
    (destination.mask != 0).then_some(Route {
        destination,
        device,
    })
}

/// The first subnet, from the `first`th on, that overlaps no route and holds no name server.
pub fn unused(first: u8) -> Result<Subnet> {
    let routes = routes()?;
    let servers = resolver::servers_of_host();
    let is_unused = |subnet: &Subnet| {
        let routed = routes
            .iter()
            .any(|route| subnet.overlaps(route.destination));
        let serves =
            |server: &IpAddr| matches!(server, IpAddr::V4(server) if subnet.contains(*server));
        !routed && !servers.iter().any(serves)
    };
    let candidates = (0..=u8::MAX).map(|step| Subnet::ours(first.wrapping_add(step)));
    let mut unused = candidates.filter(is_unused);
    let Some(subnet) = unused.next() else {
        bail!("this host has routes to all of 10.87.0.0/16: give a network with --cni-conf");
    };
    Ok(subnet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn routes_are_read_as_the_kernel_writes_them() {
        let line = "eth0\t0000570A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0";
        let found = route(line).unwrap();
        assert_eq!(found.device, "eth0");
        assert_eq!(found.destination.to_string(), "10.87.0.0/24");
        let default = "eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0";
        assert_eq!(route(default), None);
    }

    #[test]
    fn subnets_overlap_whichever_is_larger() {
        let of = |text: &str| Subnet::parse(text).unwrap();
        assert!(of("10.0.0.0/8").overlaps(of("10.87.3.0/24")));
        assert!(of("10.87.3.0/24").overlaps(of("10.87.3.128/25")));
        assert!(!of("10.87.3.0/24").overlaps(of("10.87.4.0/24")));
        assert!(of("10.87.3.77/24").contains("10.87.3.1".parse().unwrap()));
        for bad in ["10.0.0.0", "10.0.0.0/33", "x/8"] {
            assert_eq!(Subnet::parse(bad), None);
        }
    }
}
