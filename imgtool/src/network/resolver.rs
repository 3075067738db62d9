//! /etc/resolv.conf of a container, resolv.conf(5).

use std::fmt::Write as _;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::cni::result::Dns;

const FILE: &str = "/etc/resolv.conf";
/// What systemd-resolved forwards to, where [`FILE`] names only systemd-resolved itself.
const BEHIND_SYSTEMD: &str = "/run/systemd/resolve/resolv.conf";
const SYSTEMD: &str = "127.0.0.53";

/// What the caller says: `--dns`, `--dns-search`, `--dns-option`. Each that is empty is as on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wishes {
    /// Name servers.
    pub servers: Vec<IpAddr>,
    /// Domains in which a name is looked for; only `.` for none.
    pub search: Vec<String>,
    /// resolv.conf(5)'s options.
    pub options: Vec<String>,
}

/// The lines of a file that count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Resolver {
    servers: Vec<String>,
    search: Vec<String>,
    options: Vec<String>,
}

impl Resolver {
    fn parse(text: &str) -> Self {
        let mut resolver = Resolver::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let keyword = words.next();
            let values = words.map(str::to_owned);
            match keyword {
                Some("nameserver") => resolver.servers.extend(values.take(1)),
                // The last one counts.
                Some("domain" | "search") => resolver.search = values.collect(),
                Some("options") => resolver.options.extend(values),
                _ => {}
            }
        }
        resolver
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for server in &self.servers {
            let _ = writeln!(text, "nameserver {server}");
        }
        for (keyword, values) in [("search", &self.search), ("options", &self.options)] {
            if !values.is_empty() {
                let _ = writeln!(text, "{keyword} {}", values.join(" "));
            }
        }
        text
    }
}

/// The host's file as it is, for a container in the host's own network.
pub fn of_host() -> String {
    std::fs::read_to_string(FILE).unwrap_or_default()
}

/// The addresses of the host's name servers.
pub fn servers_of_host() -> Vec<IpAddr> {
    let servers = host().servers;
    servers
        .iter()
        .filter_map(|server| server.parse().ok())
        .collect()
}

fn host() -> Resolver {
    let resolver = Resolver::parse(&of_host());
    if resolver.servers == [SYSTEMD]
        && let Ok(text) = std::fs::read_to_string(BEHIND_SYSTEMD)
    {
        return Resolver::parse(&text);
    }
    resolver
}

/// The text of the file in the host's own network namespace.
pub fn in_hosts_network(wishes: &Wishes) -> String {
    if *wishes == Wishes::default() {
        return of_host();
    }
    merge(Resolver::parse(&of_host()), wishes).text()
}

/// The text of the file in another network namespace: the host's loopback isn't the container's, so
/// name servers there are left out. `network` is what the network itself says.
pub fn in_own_network(wishes: &Wishes, network: &Dns) -> String {
    let mut resolver = host();
    resolver.servers.retain(|server| !is_loopback(server));
    if !network.nameservers.is_empty() {
        resolver = Resolver {
            servers: network.nameservers.clone(),
            search: network.search.clone(),
            options: network.options.clone(),
        };
        let domain = Some(&network.domain).filter(|domain| !domain.is_empty());
        if resolver.search.is_empty() {
            resolver.search.extend(domain.cloned());
        }
    }
    merge(resolver, wishes).text()
}

fn is_loopback(server: &str) -> bool {
    server
        .parse()
        .is_ok_and(|address: IpAddr| address.is_loopback())
}

fn merge(mut resolver: Resolver, wishes: &Wishes) -> Resolver {
    if !wishes.servers.is_empty() {
        resolver.servers = wishes.servers.iter().map(ToString::to_string).collect();
    }
    if !wishes.search.is_empty() {
        resolver.search.clone_from(&wishes.search);
    }
    resolver.search.retain(|domain| domain != ".");
    if !wishes.options.is_empty() {
        resolver.options.clone_from(&wishes.options);
    }
    resolver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_followed_where_the_caller_says_nothing() {
        let host = "# of the host\nnameserver 127.0.0.1\nnameserver 192.0.2.1\ndomain old\n\
                    search a.example b.example\noptions ndots:2 rotate\n";
        let host = Resolver::parse(host);
        assert_eq!(
            merge(host.clone(), &Wishes::default()).text(),
            "nameserver 127.0.0.1\nnameserver 192.0.2.1\nsearch a.example b.example\n\
             options ndots:2 rotate\n"
        );
        let wishes = Wishes {
            servers: vec!["192.0.2.7".parse().unwrap()],
            search: vec![".".to_owned()],
            options: vec!["ndots:1".to_owned()],
        };
        assert_eq!(
            merge(host, &wishes).text(),
            "nameserver 192.0.2.7\noptions ndots:1\n"
        );
    }

    #[test]
    fn a_network_has_its_own_name_servers() {
        let network = Dns {
            nameservers: vec!["10.1.0.1".to_owned()],
            domain: "example".to_owned(),
            ..Dns::default()
        };
        assert_eq!(
            in_own_network(&Wishes::default(), &network),
            "nameserver 10.1.0.1\nsearch example\n"
        );
        let own = in_own_network(&Wishes::default(), &Dns::default());
        assert!(!own.contains("nameserver 127."), "{own}");
    }
}
