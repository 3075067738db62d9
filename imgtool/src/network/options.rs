//! The options of `bundle` and `build` that are about networks.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Result, bail};
use clap::Args;

use super::hosts::AddedHost;
use super::publish::Publish;
use super::resolver::Wishes;

/// Which network a container has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkMode {
    /// The host's own.
    Host,
    /// One with nothing but a loopback.
    None,
    /// That of another container.
    Container(String),
    /// That of a namespace that is kept in a file.
    Namespace(PathBuf),
    /// One that CNI plugins make: the standard one, or the one of this name.
    Bridge(Option<String>),
}

impl FromStr for NetworkMode {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (kind, rest) = match text.split_once([':', '=']) {
            Some((kind, rest)) => (kind, Some(rest)),
            None => (text, None),
        };
        Ok(match (kind, rest) {
            ("host", None) => NetworkMode::Host,
            ("none", None) => NetworkMode::None,
            ("bridge", None) => NetworkMode::Bridge(None),
            ("bridge", Some(name)) if !name.is_empty() => {
                NetworkMode::Bridge(Some(name.to_owned()))
            }
            ("container", Some(id)) if !id.is_empty() => NetworkMode::Container(id.to_owned()),
            ("ns", Some(path)) if path.starts_with('/') => NetworkMode::Namespace(path.into()),
            ("ns", _) => bail!("ns: needs the absolute path of a network namespace"),
            _ => {
                bail!("'{text}' is none of none, host, bridge, bridge=NAME, container:ID, ns:PATH")
            }
        })
    }
}

/// A container's network.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Network")]
pub struct NetworkOptions {
    /// Its network: 'none' has only a loopback; 'host' is this host's; 'container:ID' another
    /// container's, which must exist; 'ns:PATH' that of a namespace's file; 'bridge' the standard
    /// network, or NAME's of the CNI configuration [default: bridge if a port is published,
    /// otherwise none; with --rootless host].
    #[arg(long, value_name = "none|host|bridge[=NAME]|container:ID|ns:PATH")]
    pub network: Option<NetworkMode>,

    /// Make a port of the container one of this host, all of whose addresses are meant unless IP is
    /// given. A free one is chosen, and printed, where HOST is left out or 0. Ranges are FIRST-LAST.
    /// PROTOCOL is tcp (default), udp or sctp.
    #[arg(long, short, value_name = "[IP:][HOST:]CONTAINER[/PROTOCOL]")]
    pub publish: Vec<Publish>,

    /// A name server, in place of this host's.
    #[arg(long, value_name = "IP")]
    pub dns: Vec<IpAddr>,

    /// A domain in which names are looked for, in place of this host's; '.' for none.
    #[arg(long, value_name = "DOMAIN", value_parser = word)]
    pub dns_search: Vec<String>,

    /// An option of resolv.conf(5), in place of this host's.
    #[arg(long, value_name = "OPTION", value_parser = word, alias = "dns-opt")]
    pub dns_option: Vec<String>,

    /// Give an address a name in /etc/hosts; 'host-gateway' is the address at which the container
    /// reaches this host.
    #[arg(long, value_name = "NAME:IP")]
    pub add_host: Vec<AddedHost>,

    /// Where bridge networks are described: a file, whose network is taken whatever its name, or a
    /// directory [default: /etc/cni/net.d].
    #[arg(long, value_name = "PATH")]
    pub cni_conf: Option<PathBuf>,

    /// Where the CNI plugins are [default: $CNI_PATH, or /usr/lib/cni, /usr/libexec/cni and
    /// /opt/cni/bin].
    #[arg(long, value_name = "DIR")]
    pub cni_bin: Vec<PathBuf>,

    /// For container:ID: the runtime that has it [default: windlass].
    #[arg(long, value_name = "PROGRAM")]
    pub runtime: Option<PathBuf>,

    /// For container:ID: the runtime's --root.
    #[arg(long, value_name = "DIR")]
    pub runtime_root: Option<PathBuf>,
}

/// What can stand in a line of resolv.conf.
fn word(text: &str) -> Result<String> {
    if text.is_empty()
        || text.contains(|character: char| character.is_whitespace() || character.is_control())
    {
        bail!("'{}' is not one word", text.escape_debug());
    }
    Ok(text.to_owned())
}

impl NetworkOptions {
    /// The network that is meant, if something is said of it.
    pub fn mode(&self) -> Option<NetworkMode> {
        let published = || (!self.publish.is_empty()).then_some(NetworkMode::Bridge(None));
        self.network.clone().or_else(published)
    }

    /// What is said of name servers.
    pub fn resolver(&self) -> Wishes {
        Wishes {
            servers: self.dns.clone(),
            search: self.dns_search.clone(),
            options: self.dns_option.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_named_as_for_docker_and_podman() {
        for (text, expected) in [
            ("host", NetworkMode::Host),
            ("none", NetworkMode::None),
            ("bridge", NetworkMode::Bridge(None)),
            ("bridge=lan", NetworkMode::Bridge(Some("lan".to_owned()))),
            ("bridge:lan", NetworkMode::Bridge(Some("lan".to_owned()))),
            ("container:web", NetworkMode::Container("web".to_owned())),
            (
                "ns:/run/netns/a",
                NetworkMode::Namespace("/run/netns/a".into()),
            ),
        ] {
            assert_eq!(text.parse::<NetworkMode>().unwrap(), expected);
        }
        for bad in [
            "",
            "lan",
            "container:",
            "container",
            "ns:relative",
            "host:x",
            "bridge=",
        ] {
            assert!(bad.parse::<NetworkMode>().is_err(), "{bad}");
        }
    }
}
