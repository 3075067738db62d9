//! `--publish`: a port of this host that leads to one of the container.

use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::RangeInclusive;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// What carries the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        })
    }
}

/// Ports as the caller names them: `[IP:][HOST[-HOST]:]CTR[-CTR][/PROTOCOL]`, as for docker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    address: Option<IpAddr>,
    /// None: any that is free.
    host: Option<RangeInclusive<u16>>,
    container: RangeInclusive<u16>,
    protocol: Protocol,
}

/// One published port, in the form that the `portmap` plugin takes (CNI's CONVENTIONS.md,
/// "portMappings").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortMapping {
    /// The port on the host.
    pub host_port: u16,
    /// The port in the container.
    pub container_port: u16,
    /// What carries it.
    pub protocol: Protocol,
    /// The host's address; none for all that it has.
    #[serde(rename = "hostIP", default, skip_serializing_if = "Option::is_none")]
    pub host_address: Option<IpAddr>,
}

impl fmt::Display for PortMapping {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.host_address.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let host = SocketAddr::new(address, self.host_port);
        write!(
            formatter,
            "{host}->{}/{}",
            self.container_port, self.protocol
        )
    }
}

impl FromStr for Publish {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (ports, protocol) = match text.rsplit_once('/') {
            None => (text, Protocol::Tcp),
            Some((ports, "tcp")) => (ports, Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some((ports, "sctp")) => (ports, Protocol::Sctp),
            Some((_, other)) => bail!("protocol '{other}' is none of tcp, udp, sctp"),
        };
        let (host, container) = match ports.rsplit_once(':') {
            Some((host, container)) => (Some(host), container),
            None => (None, ports),
        };
        let container = range(container)?;
        let (address, host) = match host {
            None => (None, ""),
            Some(host) => match host.rsplit_once(':') {
                Some((address, host)) => (Some(address), host),
                None => (None, host),
            },
        };
        let address = address.filter(|address| !address.is_empty());
        let address = address.map(|text| {
            let bare = text
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'));
            bare.unwrap_or(text)
                .parse()
                .with_context(|| format!("'{text}' is no IP address"))
        });
        let host = match host {
            "" | "0" => None,
            host => Some(range(host)?),
        };
        if let Some(host) = &host
            && host.len() != container.len()
            && container.len() != 1
        {
            bail!("the two ranges of ports are not of the same length");
        }
        Ok(Publish {
            address: address.transpose()?,
            host,
            container,
            protocol,
        })
    }
}

fn range(text: &str) -> Result<RangeInclusive<u16>> {
    let port = |text: &str| match text.parse() {
        Ok(0) | Err(_) => bail!("'{text}' is no port: a number from 1 to 65535"),
        Ok(port) => Ok(port),
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        bail!("'{text}' ends before it begins");
    }
    Ok(first..=last)
}

impl Publish {
    /// Whether the caller leaves the host's port to us.
    pub fn leaves_choice(&self) -> bool {
        let host = self.host.as_ref();
        host.is_none_or(|host| host.len() != self.container.len())
    }

    /// The ports, one by one. Where the caller leaves the choice, it is one that is free now:
    /// neither `taken` nor some program's.
    pub fn mappings(&self, taken: &[PortMapping]) -> Result<Vec<PortMapping>> {
        let mut mappings = Vec::new();
        let mut taken = taken.to_vec();
        for (index, container_port) in self.container.clone().enumerate() {
            let mut mapping = PortMapping {
                host_port: 0,
                container_port,
                protocol: self.protocol,
                host_address: self.address,
            };
            mapping.host_port = match &self.host {
                Some(host) if host.len() == self.container.len() => {
                    host.clone().nth(index).unwrap_or(*host.end())
                }
                Some(host) => free_of(host.clone(), &mapping, &taken)?,
                None => free_of(any_port()?, &mapping, &taken)?,
            };
            taken.push(mapping.clone());
            mappings.push(mapping);
        }
        Ok(mappings)
    }
}

/// The ports that the kernel gives out itself, ip(7).
fn any_port() -> Result<RangeInclusive<u16>> {
    const FILE: &str = "/proc/sys/net/ipv4/ip_local_port_range";
    let text = std::fs::read_to_string(FILE).with_context(|| format!("read {FILE}"))?;
    let mut ports = text.split_whitespace().map(str::parse);
    match (ports.next(), ports.next()) {
        (Some(Ok(first)), Some(Ok(last))) => Ok(first..=last),
        _ => bail!("{FILE} holds '{}'", text.trim()),
    }
}

fn free_of(
    candidates: RangeInclusive<u16>,
    like: &PortMapping,
    taken: &[PortMapping],
) -> Result<u16> {
    let (first, last) = (*candidates.start(), *candidates.end());
    for host_port in candidates {
        let mapping = PortMapping {
            host_port,
            ..like.clone()
        };
        if !taken.iter().any(|other| mapping.conflicts_with(other)) && mapping.check_free().is_ok()
        {
            return Ok(host_port);
        }
    }
    bail!(
        "no port from {first} to {last}/{} is free on this host",
        like.protocol
    )
}

impl PortMapping {
    /// Whether both want the same port of the host.
    pub fn conflicts_with(&self, other: &PortMapping) -> bool {
        let everywhere = |address: IpAddr| address.is_unspecified();
        let same_address = match (self.host_address, other.host_address) {
            (Some(one), Some(other)) => one == other || everywhere(one) || everywhere(other),
            _ => true,
        };
        same_address && self.host_port == other.host_port && self.protocol == other.protocol
    }

    /// An error if a program of this host has the port: packets would reach only one of both.
    pub fn check_free(&self) -> Result<()> {
        let address = self.host_address.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let address = SocketAddr::new(address, self.host_port);
        let bound = match self.protocol {
            Protocol::Tcp => TcpListener::bind(address).map(drop),
            Protocol::Udp => UdpSocket::bind(address).map(drop),
            // Such sockets are rare, and often not in the kernel.
            Protocol::Sctp => Ok(()),
        };
        match bound {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                bail!("port {self} can't be published: a program of this host has it")
            }
            Err(error) => {
                Err(error).with_context(|| format!("port {self} can't be published: bind"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mappings(text: &str) -> Vec<String> {
        let publish: Publish = text.parse().unwrap();
        let mappings = publish.mappings(&[]).unwrap();
        mappings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn ports_are_written_as_for_docker() {
        for (text, expected) in [
            ("4000:80", &["0.0.0.0:4000->80/tcp"][..]),
            ("127.0.0.1:53:53/udp", &["127.0.0.1:53->53/udp"]),
            ("[::1]:80:8080", &["[::1]:80->8080/tcp"]),
            ("::1:80:8080", &["[::1]:80->8080/tcp"]),
            (
                "7000-7001:80-81/sctp",
                &["0.0.0.0:7000->80/sctp", "0.0.0.0:7001->81/sctp"],
            ),
        ] {
            assert_eq!(mappings(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_left_open_is_a_free_port() {
        for text in ["80", "0:80", ":80", "127.0.0.1::80", "127.0.0.1:0:80"] {
            let publish: Publish = text.parse().unwrap();
            let mapping = publish.mappings(&[]).unwrap().remove(0);
            assert_ne!(mapping.host_port, 0, "{text}");
            mapping.check_free().unwrap();
            let next = publish.mappings(std::slice::from_ref(&mapping)).unwrap();
            assert!(!next[0].conflicts_with(&mapping), "{text}");
        }
        let publish: Publish = "80-82".parse().unwrap();
        let mappings = publish.mappings(&[]).unwrap();
        assert_eq!(mappings.len(), 3);
        for (index, mapping) in mappings.iter().enumerate() {
            let mut others = mappings[index + 1..].iter();
            assert!(!others.any(|other| other.conflicts_with(mapping)));
        }
    }

    #[test]
    fn a_port_of_a_range_is_one_that_nobody_has() {
        let (listener, port) = (20_000..60_000)
            .find_map(|port| Some((TcpListener::bind(("0.0.0.0", port)).ok()?, port)))
            .unwrap();
        let publish: Publish = format!("{port}-{}:80", port + 50).parse().unwrap();
        let chosen = publish.mappings(&[]).unwrap();
        assert_eq!(chosen.len(), 1);
        assert_ne!(chosen[0].host_port, port);
        let taken = PortMapping {
            host_port: port,
            ..chosen[0].clone()
        };
        let error = taken.check_free().unwrap_err().to_string();
        assert!(error.contains("a program of this host has it"), "{error}");
        drop(listener);
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for (text, why) in [
            ("", "no port"),
            ("80/icmp", "protocol 'icmp'"),
            ("99999:80", "'99999'"),
            ("80:0", "'0'"),
            ("1-3:1-2", "same length"),
            ("3-1:80", "ends before"),
            ("example:80:80", "no IP address"),
        ] {
            let error = format!("{:#}", text.parse::<Publish>().unwrap_err());
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn the_same_port_of_two_addresses_is_two() {
        let of = |text: &str| {
            let publish: Publish = text.parse().unwrap();
            publish.mappings(&[]).unwrap().remove(0)
        };
        assert!(of("80:1").conflicts_with(&of("127.0.0.1:80:2")));
        assert!(of("0.0.0.0:80:1").conflicts_with(&of("127.0.0.1:80:2")));
        assert!(!of("127.0.0.2:80:1").conflicts_with(&of("127.0.0.1:80:2")));
        assert!(!of("80:1/udp").conflicts_with(&of("80:2")));
    }
}
